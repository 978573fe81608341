"""Mistral's consolidated layout in Hugging Face words: configuration, tensor names, rotary order.

Mistral rotates neighbouring pairs (0,1), (2,3), ...; transformers rotates pairs half a head apart
(0, E/2), (1, E/2+1), .... The same numbers in another order, so the rows of wq and wk are permuted
once while loading; v, o and everything else is as stored. Refused by name, as they need the Hugging
Face layout: mixtures of experts, vision encoders, state-space models, scaled rotary embeddings.

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
    "moe": "a mixture of experts",
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
}


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
    if missing:
        raise InvalidInput(f"{where}: {', '.join(missing)} missing or not a whole number")
    window = params.get("sliding_window")
    context = params.get("max_position_embeddings") or params.get("max_seq_len")
    return {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
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


def rename(name: str) -> str:
    """`layers.3.attention.wq.weight` to `model.layers.3.self_attn.q_proj.weight`.

    Raises:
        InvalidInput: a tensor that a plain Mistral decoder does not have.
    """
    layer = re.fullmatch(r"layers\.(\d+)\.(.+)\.weight", name)
    if layer and layer[2] in LAYER_MODULES:
        return f"model.layers.{layer[1]}.{LAYER_MODULES[layer[2]]}.weight"
    module = name.removesuffix(".weight")
    if name.endswith(".weight") and module in MODULES:
        return f"{MODULES[module]}.weight"
    raise InvalidInput(
        f"tensor {name!r} is not part of a plain Mistral decoder; use the Hugging Face layout"
    )


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
