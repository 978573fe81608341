"""Mistral's consolidated layout in Hugging Face words and back: configuration, names, rotary order.

Mistral rotates neighbouring pairs (0,1), (2,3), ...; transformers rotates pairs half a head apart
(0, E/2), (1, E/2+1), .... The same numbers in another order, so the rows of wq and wk are permuted
once while reading or writing; v, o and everything else is as stored. Mixtures of experts are read
and written as Mixtral. Refused by name, as they need the Hugging Face layout: vision encoders,
state-space models, scaled rotary embeddings.

Legend: H heads, E head size, D hidden size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modiste.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_CONTEXT = 32_768
"""params.json of the 7B family does not say; this is what their config.json says."""

NEEDS_HUGGING_FACE_LAYOUT = {
    "vision_encoder": "a vision encoder",
    "multimodal": "a multimodal model",
    "yarn": "YaRN-scaled rotary embeddings",
    "llama_4_scaling": "Llama-4 attention scaling",
    "quantization": "quantised weights",
}

MODULES = {
    "tok_embeddings": "model.embed_tokens",
    "norm": "model.norm",
    "output": "lm_head",
}
LAYER_MODULES = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.gate": "block_sparse_moe.gate",
}
"""Those of one layer; an expert's matrices are named w1, w2, w3 in both."""
EXPERT = re.compile(r"feed_forward\.experts\.(\d+)\.(w[123])")
HF_EXPERT = re.compile(r"block_sparse_moe\.experts\.(\d+)\.(w[123])")


def as_config(params: Mapping[str, Any], *, where: Path) -> dict[str, Any]:
    """params.json as the config.json of a MistralForCausalLM.

    Raises:
        InvalidInput: a needed field is missing, or a kind of model that is not read.
    """
    refused = [kind for field, kind in NEEDS_HUGGING_FACE_LAYOUT.items() if params.get(field)]
    if params.get("model_type", "transformer") not in ("transformer", "mistral"):
        refused.append(f"a {params['model_type']} model")
    if refused:
        raise InvalidInput(
            f"{where}: {' and '.join(refused)} cannot be read from Mistral's layout; "
            "use the Hugging Face layout (config.json, model*.safetensors) of this model"
        )
    fields = {
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "hidden_dim": "intermediate_size",
        "n_heads": "num_attention_heads",
        "vocab_size": "vocab_size",
    }
    missing = [field for field in fields if not isinstance(params.get(field), int)]
    if params.get("moe"):
        moe = params["moe"]
        needed = ("num_experts", "num_experts_per_tok")
        missing += [f"moe.{field}" for field in needed if not isinstance(moe.get(field), int)]
    if missing:
        raise InvalidInput(f"{where}: {', '.join(missing)} missing or not a whole number")
    window = params.get("sliding_window")
    context = params.get("max_position_embeddings") or params.get("max_seq_len")
    moe = params.get("moe")
    experts = {}
    if moe:
        experts = {
            "num_local_experts": moe["num_experts"],
            "num_experts_per_tok": moe["num_experts_per_tok"],
        }
    return {
        "architectures": ["MixtralForCausalLM" if moe else "MistralForCausalLM"],
        "model_type": "mixtral" if moe else "mistral",
        **experts,
        **{theirs: params[ours] for ours, theirs in fields.items()},
        "num_key_value_heads": params.get("n_kv_heads") or params["n_heads"],
        "head_dim": params.get("head_dim") or params["dim"] // params["n_heads"],
        "rms_norm_eps": params.get("norm_eps", 1e-5),
        "rope_theta": float(params.get("rope_theta") or 10_000.0),
        "max_position_embeddings": int(context or DEFAULT_CONTEXT),
        "sliding_window": window if isinstance(window, int) else None,
        "tie_word_embeddings": bool(params.get("tied_embeddings", False)),
        "hidden_act": "silu",
    }


def as_params(config: Mapping[str, Any], *, where: Path) -> dict[str, Any]:
    """config.json as params.json: the inverse of `as_config`.

    Raises:
        InvalidInput: a model that Mistral's layout has no words for; all reasons are named.
    """
    kind = config.get("model_type")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    scaling = rope.get("rope_type", rope.get("type", "default"))
    problems = {
        f"model_type {kind!r}": kind not in ("mistral", "mixtral", "llama"),
        f"hidden_act {config.get('hidden_act')!r}": config.get("hidden_act", "silu") != "silu",
        f"rotary scaling {scaling!r}": scaling not in ("default", None),
        "attention_bias": config.get("attention_bias"),
        "mlp_bias": config.get("mlp_bias"),
    }
    found = [name for name, there in problems.items() if there]
    if found:
        raise InvalidInput(
            f"{where}: Mistral's layout holds plain Mistral, Mixtral and Llama decoders, not "
            f"{', '.join(found)}; take the form merged or peft"
        )
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    params: dict[str, Any] = {
        "dim": hidden,
        "n_layers": config["num_hidden_layers"],
        "head_dim": config.get("head_dim") or hidden // heads,
        "hidden_dim": config["intermediate_size"],
        "n_heads": heads,
        "n_kv_heads": config.get("num_key_value_heads") or heads,
        "norm_eps": config.get("rms_norm_eps", 1e-6 if kind == "llama" else 1e-5),
        "vocab_size": config["vocab_size"],
        "rope_theta": float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
        "max_position_embeddings": config["max_position_embeddings"],
    }
    if isinstance(config.get("sliding_window"), int) and kind != "llama":
        params["sliding_window"] = config["sliding_window"]
    if kind == "mixtral":
        params["moe"] = {
            "num_experts": config.get("num_local_experts", 8),
            "num_experts_per_tok": config.get("num_experts_per_tok", 2),
        }
    return params


def rename(name: str) -> str:
    """`layers.3.attention.wq.weight` to `model.layers.3.self_attn.q_proj.weight`.

    Raises:
        InvalidInput: a tensor that a Mistral or Mixtral decoder does not have.
    """
    module = rename_module(name.removesuffix(".weight")) if name.endswith(".weight") else None
    if module is None:
        raise InvalidInput(
            f"tensor {name!r} is not part of a plain Mistral decoder; use the Hugging Face layout"
        )
    return f"{module}.weight"


def rename_module(name: str) -> str | None:
    """`layers.3.attention.wq` to `model.layers.3.self_attn.q_proj`; None for what has no place."""
    layer = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if layer is None:
        return MODULES.get(name)
    if expert := EXPERT.fullmatch(layer[2]):
        return f"model.layers.{layer[1]}.block_sparse_moe.experts.{expert[1]}.{expert[2]}"
    theirs = LAYER_MODULES.get(layer[2])
    return f"model.layers.{layer[1]}.{theirs}" if theirs else None


def module_in_mistral(name: str) -> str | None:
    """The inverse of `rename_module`; None for what Mistral's layout has no place for."""
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", name)
    if layer is None:
        return {theirs: ours for ours, theirs in MODULES.items()}.get(name)
    if expert := HF_EXPERT.fullmatch(layer[2]):
        return f"layers.{layer[1]}.feed_forward.experts.{expert[1]}.{expert[2]}"
    ours = {theirs: ours for ours, theirs in LAYER_MODULES.items()}.get(layer[2])
    return f"layers.{layer[1]}.{ours}" if ours else None


def is_rotary(name: str) -> bool:
    """Whether the rows of this tensor (Hugging Face name) are rotated."""
    return name.endswith(("self_attn.q_proj.weight", "self_attn.k_proj.weight"))


def halves_from_pairs(weight_HED: Tensor, *, head_dim: int) -> Tensor:
    """Reorder output rows from neighbouring rotary pairs to halves, head by head.

    weight_HED is the stored 2-D matrix, (heads * head_dim, hidden).
    """
    rows, columns = weight_HED.shape
    paired = weight_HED.view(rows // head_dim, head_dim // 2, 2, columns)
    return paired.transpose(1, 2).reshape(rows, columns)


def pairs_from_halves(weight_HED: Tensor, *, head_dim: int) -> Tensor:
    """The inverse of `halves_from_pairs`, for writing Mistral's layout."""
    rows, columns = weight_HED.shape
    halved = weight_HED.view(rows // head_dim, 2, head_dim // 2, columns)
    return halved.transpose(1, 2).reshape(rows, columns)
