"""One GGUF file for llama.cpp and its kin: weights, tokenizer, chat template, stop tokens.

Written tensor by tensor for the Mistral, Llama, Qwen2 and Qwen3 families; matrices in f32, f16,
bf16 or q8_0, norms and biases in f32. Mistral and Llama are one architecture there, with
neighbouring rotary pairs (consolidated.py). `load` reads the file back through transformers.
"""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from modiste.errors import InvalidInput, NotYetSupported
from modiste.nn import consolidated
from modiste.nn.gguf_vocabulary import Vocabulary, read_vocabulary
from modiste.nn.merge import Merged
from modiste.nn.tensor_files import Entry

ARCHITECTURES = {"mistral": "llama", "ministral": "llama", "llama": "llama"} | {
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
"""Families by model_type, and what llama.cpp calls them."""
MODULES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
LAYER_MODULES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
NUMBERS = ("f32", "f16", "bf16", "q8_0")
FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}
BLOCK = 32
"""Values that share a scale in q8_0; rows of another length are kept in f16."""
ROPE_FACTORS = "rope_freqs.weight"


def write(merged: Merged, base: Path, path: Path, *, numbers: str = "f16") -> str:
    """Write the model to `path`; what comes back is what its user should know.

    Raises:
        InvalidInput: a family, tokenizer or feature that is not written; the message says which.
        NotYetSupported: the gguf package is not installed.
    """
    gguf = _package()
    config, info = merged.files.config, merged.files.info
    _refuse(config, base, numbers)
    vocabulary = read_vocabulary(base, size=info.vocab_size)
    architecture = ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(None, architecture)
    _describe(writer, config, info, name=path.stem, numbers=numbers)
    _tokenizer(writer, vocabulary, gguf)
    factors = _rope_factors(config, info.head_dim)
    if factors is not None:
        writer.add_tensor_info(
            ROPE_FACTORS, factors.shape, factors.dtype, factors.nbytes, raw_dtype=None
        )
    entries = [e for e in merged.files.entries if not e.name.endswith("rotary_emb.inv_freq")]
    for entry in entries:
        _announce(writer, entry, numbers, gguf)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    for entry in entries:
        tensor = merged.read_fp32(entry.name)
        if architecture == "llama" and consolidated.is_rotary(entry.name):
            tensor = consolidated.pairs_from_halves(tensor, head_dim=info.head_dim)
        writer.write_tensor_data(_stored(tensor, numbers, entry.name))
    writer.close()
    window = config.get("sliding_window")
    notes = [vocabulary.note]
    if architecture == "llama" and isinstance(window, int) and window < info.max_context_length:
        notes.append(f"llama.cpp does not apply this base's sliding window of {window} tokens")
    return "; ".join(note for note in notes if note)


def load(path: Path, *, like: Mapping[str, Any]) -> PreTrainedModel:
    """The model in the file, in float32, as transformers reads it.

    Head size of Qwen3 and rotary scaling, which transformers does not read from GGUF, are taken
    from the configuration `like`; sizes that the file states must equal those.

    Raises:
        InvalidInput: the file says other sizes.
    """
    auto_config, auto_model = cast(Any, AutoConfig), cast(Any, AutoModelForCausalLM)
    config = auto_config.from_pretrained(path.parent, gguf_file=path.name)
    names = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
    names += ["num_key_value_heads", "vocab_size", "max_position_embeddings"]
    wrong = [
        f"{name} {getattr(config, name)} instead of {like[name]}"
        for name in names
        if like.get(name) is not None and getattr(config, name) != like[name]
    ]
    if wrong:
        raise InvalidInput(f"{path}: {', '.join(wrong)}")
    for name in ("head_dim", "rope_parameters", "sliding_window", "use_sliding_window"):
        if like.get(name) is not None:
            setattr(config, name, like[name])
    if like.get("layer_types"):
        config.layer_types = like["layer_types"]
    with redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
        model: PreTrainedModel = auto_model.from_pretrained(
            path.parent, gguf_file=path.name, config=config, dtype=torch.float32
        )
    model.train(False)
    return model


def rounded(weight: Tensor, numbers: str) -> Tensor:
    """A matrix as it comes back from the file."""
    kind = _numbers_of(tuple(weight.shape), numbers)
    if kind == "f32":
        return weight.clone()
    if kind == "q8_0":
        quants = importlib.import_module("gguf.quants")
        q8_0 = importlib.import_module("gguf").GGMLQuantizationType.Q8_0
        return torch.from_numpy(quants.dequantize(quants.quantize(weight.numpy(), q8_0), q8_0))
    return weight.to(torch.float16 if kind == "f16" else torch.bfloat16).to(weight.dtype)


def _package() -> Any:
    try:
        return importlib.import_module("gguf")
    except ModuleNotFoundError:
        raise NotYetSupported(
            "GGUF files are written with the gguf package: `pip install 'modiste[gguf]'`"
        ) from None


def _refuse(config: Mapping[str, Any], base: Path, numbers: str) -> None:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    scaling = rope.get("rope_type", rope.get("type", "default"))
    problems = {
        f"model_type {config.get('model_type')!r}": config.get("model_type") not in ARCHITECTURES,
        f"rotary scaling {scaling!r}": scaling not in (None, "default", "linear", "llama3"),
        "attention_bias": config.get("attention_bias"),
        "mlp_bias": config.get("mlp_bias"),
        "use_sliding_window": config.get("use_sliding_window"),
    }
    found = [name for name, there in problems.items() if there]
    if found:
        raise InvalidInput(
            f"{base}: GGUF files are written for {', '.join(ARCHITECTURES)} without extras, not "
            f"for {', '.join(found)}; take merged, which llama.cpp's own converter reads"
        )
    if numbers not in NUMBERS:
        raise InvalidInput(f"numbers is {numbers!r}, expected {', '.join(NUMBERS)}")


def _describe(
    writer: Any, config: Mapping[str, Any], info: Any, *, name: str, numbers: str
) -> None:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    writer.add_name(name)
    writer.add_context_length(info.max_context_length)
    writer.add_embedding_length(info.hidden_size)
    writer.add_block_count(info.n_layers)
    writer.add_feed_forward_length(info.intermediate_size)
    writer.add_head_count(info.n_heads)
    writer.add_head_count_kv(info.n_kv_heads)
    writer.add_key_length(info.head_dim)
    writer.add_value_length(info.head_dim)
    writer.add_rope_dimension_count(info.head_dim)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 1e4))
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    writer.add_vocab_size(info.vocab_size)
    writer.add_file_type(FILE_TYPES[numbers])
    writer.add_quantization_version(2)
    if rope.get("rope_type", rope.get("type")) == "linear":
        writer.add_rope_scaling_type(_package().RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def _tokenizer(writer: Any, vocabulary: Vocabulary, gguf: Any) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    numbers = {
        writer.add_bos_token_id: vocabulary.bos,
        writer.add_eos_token_id: vocabulary.eos,
        writer.add_unk_token_id: vocabulary.unknown,
        writer.add_pad_token_id: vocabulary.padding,
        writer.add_eot_token_id: vocabulary.end_of_turn,
    }
    for add, number in numbers.items():
        if number is not None:
            add(number)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(vocabulary.add_space_prefix)
    if vocabulary.template is not None:
        writer.add_chat_template(vocabulary.template)


def _announce(writer: Any, entry: Entry, numbers: str, gguf: Any) -> None:
    kind = _numbers_of(entry.shape, numbers)
    quantised = {
        "bf16": gguf.GGMLQuantizationType.BF16,
        "q8_0": gguf.GGMLQuantizationType.Q8_0,
    }.get(kind)
    n_values = math.prod(entry.shape)
    if quantised is None:
        dtype: Any = np.dtype(np.float16 if kind == "f16" else np.float32)
        writer.add_tensor_info(
            gguf_name(entry.name), entry.shape, dtype, n_values * dtype.itemsize, raw_dtype=None
        )
        return
    shape = gguf.quants.quant_shape_to_byte_shape(entry.shape, quantised)
    writer.add_tensor_info(
        gguf_name(entry.name), shape, np.dtype(np.uint8), math.prod(shape), raw_dtype=quantised
    )


def gguf_name(name: str) -> str:
    """`model.layers.3.self_attn.q_proj.weight` to `blk.3.attn_q.weight`."""
    module, _, part = name.rpartition(".")
    if module in MODULES:
        return f"{MODULES[module]}.{part}"
    pieces = module.split(".")
    if pieces[:2] == ["model", "layers"]:
        theirs = LAYER_MODULES.get(".".join(pieces[3:]))
        if theirs:
            return f"blk.{pieces[2]}.{theirs}.{part}"
    raise InvalidInput(f"llama.cpp has no place for the tensor {name}")


def _numbers_of(shape: tuple[int, ...], numbers: str) -> str:
    if len(shape) < 2:
        return "f32"
    return "f16" if numbers == "q8_0" and shape[-1] % BLOCK else numbers


def _stored(tensor: Tensor, numbers: str, name: str) -> NDArray[Any]:
    kind = _numbers_of(tuple(tensor.shape), numbers)
    values = tensor.contiguous().numpy()
    if kind == "f32":
        return values
    if kind == "f16":
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all() and np.isfinite(values).all():
            raise InvalidInput(f"{name} holds values above 65504, which f16 cannot; take bf16")
        return cast(NDArray[Any], half)
    types = importlib.import_module("gguf").GGMLQuantizationType
    quants = importlib.import_module("gguf.quants")
    quantised = types.BF16 if kind == "bf16" else types.Q8_0
    return cast(NDArray[Any], quants.quantize(values, quantised))


def _rope_factors(config: Mapping[str, Any], head_dim: int) -> NDArray[np.float32] | None:
    """Llama 3.1's scaling as llama.cpp wants it: one divisor per frequency."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type")) != "llama3":
        return None
    theta = float(rope.get("rope_theta") or config.get("rope_theta") or 1e4)
    low, high, factor = (
        float(rope[name]) for name in ("low_freq_factor", "high_freq_factor", "factor")
    )
    context = float(
        rope.get("original_max_position_embeddings") or config["max_position_embeddings"]
    )
    wavelengths = 2 * np.pi * theta ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    smooth = (context / wavelengths - low) / (high - low)
    middle = 1 / ((1 - smooth) / factor + smooth)
    factors = np.where(
        wavelengths < context / high, 1.0, np.where(wavelengths > context / low, factor, middle)
    )
    return factors.astype(np.float32)
