"""LoRA adapters on disk in PEFT's layout, which PEFT, transformers and vLLM load as it is.

A folder with adapter_model.safetensors (`base_model.model.<layer>.lora_A.weight`, `..lora_B..`) and
adapter_config.json. Writing is atomic and the bytes depend on the values alone, so equal adapters
have equal hashes. Reading accepts what other tools write, with ranks and alphas per layer; what is
more than plain LoRA (DoRA, trained embeddings or biases) is refused by name.

Legend: I inputs, O outputs, R rank.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from modiste.errors import InvalidInput

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
KEY = re.compile(
    r"(?:base_model\.model\.)?(?P<layer>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight"
)

OTHER_KINDS = ("use_qalora", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config")
"""Settings under which the stored matrices mean something else than B A."""
CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that move a part of the base's weights into the adapter."""


class AdapterLayer(NamedTuple):
    """delta W = scaling * B A"""

    A_RI: Tensor
    B_OR: Tensor
    scaling: float


class PeftAdapter(NamedTuple):
    layers: dict[str, AdapterLayer]
    """By the layer's name in the transformers model: `model.layers.0.self_attn.q_proj`."""
    base: str | None
    """What the adapter says it was trained on."""


def save_peft(
    folder: Path,
    weights: Mapping[str, tuple[Tensor, Tensor]],
    *,
    rank: int,
    scaling: float,
    targets: Sequence[str],
    base: str,
) -> None:
    """Write (A, B) pairs by layer name; an adapter that is already there is replaced whole.

    `targets` are layer names or suffixes that select exactly these layers in the model.

    Raises:
        OSError: the folder cannot be written; what was there before is still there.
    """
    tensors = {}
    for name, (a, b) in sorted(weights.items()):
        tensors[f"base_model.model.{name}.lora_A.weight"] = a.detach().cpu().contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = b.detach().cpu().contiguous()
    config = _config(sorted(targets), rank=rank, alpha=scaling * rank, base=base)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write(partial / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    _write(partial / CONFIG, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def load_peft(folder: Path) -> PeftAdapter:
    """Read an adapter folder; tensors come in the dtype they were written in.

    Raises:
        InvalidInput: not there, not readable, or more than plain LoRA; the message says which.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except OSError as error:
        raise InvalidInput(f"{folder}: not an adapter in PEFT layout: {error}") from None
    except (ValueError, SafetensorError) as error:
        raise InvalidInput(f"{folder}: the adapter cannot be read: {error}") from None
    _refuse_more_than_lora(config, folder)
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key)
        if match is None:
            raise InvalidInput(f"{folder}: tensor {key!r} is not part of a plain LoRA adapter")
        halves.setdefault(match["layer"], {})[match["side"]] = tensor
    layers = {}
    for name, half in halves.items():
        if set(half) != {"A", "B"} or half["A"].shape[0] != half["B"].shape[1]:
            raise InvalidInput(f"{folder}: layer {name} lacks a lora_A or lora_B that fit together")
        layers[name] = AdapterLayer(half["A"], half["B"], _scaling(config, name, len(half["A"])))
    return PeftAdapter(layers, config.get("base_model_name_or_path"))


def _config(targets: list[str], *, rank: int, alpha: float, base: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "target_modules": targets,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_rslora": False,
        "use_dora": False,
    }


def _scaling(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """alpha / r (or / sqrt r), with PEFT's per-layer patterns: a suffix of the name, or a regex."""
    alpha = float(config.get("lora_alpha", 8))
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", layer):
            alpha = float(value)
            break
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _refuse_more_than_lora(config: Mapping[str, Any], folder: Path) -> None:
    extras = {
        f"peft_type {config.get('peft_type')}": config.get("peft_type") != "LORA",
        "DoRA": config.get("use_dora"),
        "trained biases": config.get("bias", "none") != "none" or config.get("lora_bias"),
        "fully trained modules": config.get("modules_to_save"),
        "trained tokens": config.get("trainable_token_indices"),
        "adapted parameters": config.get("target_parameters"),
        "transposed weights": config.get("fan_in_fan_out"),
        "replicated layers": config.get("layer_replication"),
        "activation tokens (aLoRA)": config.get("alora_invocation_tokens"),
    }
    extras |= {kind: config.get(kind) for kind in OTHER_KINDS}
    start = str(config.get("init_lora_weights", True)).lower()
    extras[f"init_lora_weights {start!r}, which changed the base (convert it with PEFT)"] = (
        start.startswith(CHANGES_THE_BASE)
    )
    found = [name for name, there in extras.items() if there]
    if found:
        raise InvalidInput(
            f"{folder}: only plain LoRA is read, this adapter has {', '.join(found)}"
        )


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
