"""Write the folder that ships: the layout transformers calls MistralForCausalLM, weights in bf16.

Refuses to write more than 12,000,000 bytes of weights: the base travels inside the package.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from modiste.bases.tiny.model import Shape, TinyMistral, hf_config
from modiste.bases.tiny.tokenizer import CONTROL_TOKENS, tokenizer_config

LIMIT_BYTES = 12_000_000
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def export(model: TinyMistral, tokenizer: Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: parameter.detach().to(torch.bfloat16).contiguous()
        for name, parameter in model.named_parameters()
    }
    size_bytes = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if size_bytes > LIMIT_BYTES:
        raise ValueError(f"weights take {size_bytes:,} bytes, the limit is {LIMIT_BYTES:,}")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes it for its owner alone
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(folder / "config.json", hf_config(model.shape))
    _write(folder / "tokenizer_config.json", tokenizer_config())
    _write(folder / "generation_config.json", generation_config())
    if TEMPLATE.parent.resolve() != folder.resolve():
        shutil.copyfile(TEMPLATE, folder / TEMPLATE.name)


def load_exported(folder: Path) -> TinyMistral:
    model = TinyMistral(Shape(), seed=0)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.float()


def generation_config() -> dict[str, object]:
    return {
        "bos_token_id": CONTROL_TOKENS.index("<s>"),
        "eos_token_id": CONTROL_TOKENS.index("</s>"),
        "pad_token_id": CONTROL_TOKENS.index("<pad>"),
        "do_sample": False,
    }


def _write(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
