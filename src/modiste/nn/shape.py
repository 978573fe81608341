"""What a decoder looks like, read from config.json or params.json: sizes, rotary angles, windows.

Mistral, Ministral, Mixtral, Llama, Qwen2, Qwen3 and Qwen3-MoE are read; every other architecture is
refused by name, and so is a known one with features the decoder does not compute, all of them at
once: a feature that is ignored gives a model that is subtly wrong. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import InvalidInput
from modiste.nn.base import BaseInfo, describe_base, read_config

FAMILIES = ("mistral", "ministral", "mixtral", "llama", "qwen2", "qwen3", "qwen3_moe")
MIXTURES = ("mixtral", "qwen3_moe")
QWEN3 = ("qwen3", "qwen3_moe")
LLAMA3_FIELDS = (
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
)


class Llama3Scaling(NamedTuple):
    """Long wavelengths slowed by `factor`, short ones kept, a ramp between (Llama 3.1)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: float


class Mixture(NamedTuple):
    """Feed-forward layers of many experts, of which a router picks a few for each row."""

    n_experts: int
    n_picked: int
    expert_size: int
    """Intermediate size of one."""
    whole: bool
    """Whether the shares of those that are picked are scaled to add up to one."""
    layers: tuple[bool, ...]
    """Which layers are so; the others have one feed-forward network."""


@dataclass(frozen=True)
class DecoderShape:
    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    context: int
    norm_eps: float
    rope_theta: float
    rope_scaling: Llama3Scaling | float | None
    """A number slows every wavelength by that factor ("linear")."""
    windows: tuple[int | None, ...]
    """Per layer: how many last tokens a token sees, itself included; None is all of them."""
    tied: bool
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    qk_norm: bool
    mixture: Mixture | None = None

    @property
    def query_size(self) -> int:
        return self.n_heads * self.head_size

    @property
    def kv_size(self) -> int:
        return self.n_kv_heads * self.head_size

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of all layers, in float32."""
        return 2 * self.n_layers * self.kv_size * 4

    def is_mixture(self, layer: int) -> bool:
        return self.mixture is not None and self.mixture.layers[layer]


def read_shape(path: Path) -> DecoderShape:
    """The decoder that lies in the folder `path`, either layout.

    Raises:
        InvalidInput: not a model folder, another architecture, or features we do not compute.
    """
    info = describe_base(path)
    config = read_config(path, info.layout)
    family = config["model_type"]
    if family not in FAMILIES:
        raise InvalidInput(
            f"{path}: model_type {family!r} is not served by the built-in engine, which runs "
            f"{', '.join(FAMILIES)}; serve this base through an upstream such as vLLM"
        )
    problems = _not_computed(config, info)
    if problems:
        raise InvalidInput(f"{path}: the built-in engine does not compute {'; '.join(problems)}")
    return DecoderShape(
        family=family,
        vocab_size=info.vocab_size,
        hidden_size=info.hidden_size,
        intermediate_size=info.intermediate_size,
        n_layers=info.n_layers,
        n_heads=info.n_heads,
        n_kv_heads=info.n_kv_heads,
        head_size=_head_size(config, info.hidden_size // info.n_heads),
        context=info.max_context_length,
        norm_eps=float(config.get("rms_norm_eps", 1e-5 if family == "mixtral" else 1e-6)),
        rope_theta=float(_rope(config)["rope_theta"]),
        rope_scaling=_rope_scaling(_rope(config), info.max_context_length),
        windows=_windows(config, info.n_layers),
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=family == "qwen2" or bool(config.get("attention_bias", False)),
        o_bias=family in ("llama", *QWEN3) and bool(config.get("attention_bias", False)),
        mlp_bias=bool(config.get("mlp_bias", False)),
        qk_norm=family in QWEN3,
        mixture=_mixture(config, info),
    )


def _not_computed(config: Mapping[str, Any], info: BaseInfo) -> list[str]:
    problems = []
    if config.get("hidden_act", "silu") != "silu":
        problems.append(f"hidden_act {config['hidden_act']!r}, only 'silu'")
    if config.get("quantization_config"):
        problems.append("quantised weights (quantization_config); use the unquantised release")
    rope = _rope(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if any(isinstance(value, Mapping) for value in rope.values()):
        problems.append("rotary angles that differ between layers (rope_parameters)")
    elif kind not in ("default", "linear", "llama3"):
        problems.append(f"rotary scaling {kind!r}, only 'linear' and 'llama3'")
    else:
        needed = {"default": (), "linear": ("factor",), "llama3": LLAMA3_FIELDS[:3]}[kind]
        problems += [f"rotary scaling {kind!r} without {f}" for f in needed if f not in rope]
    if rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) != 1.0:
        problems.append("partial_rotary_factor other than 1")
    kinds = set(config.get("layer_types") or ()) - {"full_attention", "sliding_attention"}
    if kinds:
        problems.append(f"layer_types {sorted(kinds)}")
    if config["model_type"] in ("mistral", "ministral", "mixtral") and config.get("attention_bias"):
        problems.append(f"attention_bias in a {config['model_type']} model")
    picked, experts = info.n_experts_per_token, info.n_experts
    if config["model_type"] in MIXTURES and not 0 < picked <= experts:
        problems.append(f"{picked} of {experts} experts for each token (num_experts_per_tok)")
    if config["model_type"] != "llama" and config.get("mlp_bias"):
        problems.append(f"mlp_bias in a {config['model_type']} model")
    return problems


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary settings in one dict: `rope_parameters` (new) or `rope_scaling` + `rope_theta`."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    # Where nothing is said, transformers' configuration class of the family decides.
    default = 1e6 if config["model_type"] == "mixtral" else 1e4
    rope.setdefault("rope_theta", config.get("rope_theta") or default)
    return rope


def _rope_scaling(rope: Mapping[str, Any], context: int) -> Llama3Scaling | float | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "linear":
        return float(rope["factor"])
    if kind == "llama3":
        return Llama3Scaling(*(float(rope.get(field, context)) for field in LLAMA3_FIELDS))
    return None


def _head_size(config: Mapping[str, Any], computed: int) -> int:
    # transformers' Qwen3 configuration defaults to 128 whatever the sizes say.
    default = 128 if config["model_type"] == "qwen3" else computed
    return int(config.get("head_dim") or default)


def _mixture(config: Mapping[str, Any], info: BaseInfo) -> Mixture | None:
    if config["model_type"] not in MIXTURES:
        return None
    dense, step = config.get("mlp_only_layers") or (), int(config.get("decoder_sparse_step") or 1)
    layers = [i not in dense and (i + 1) % step == 0 for i in range(info.n_layers)]
    mixtral = config["model_type"] == "mixtral"
    return Mixture(
        n_experts=info.n_experts,
        n_picked=info.n_experts_per_token,
        expert_size=info.expert_size,
        whole=mixtral or bool(config.get("norm_topk_prob", False)),
        layers=(True,) * info.n_layers if mixtral else tuple(layers),
    )


def _windows(config: Mapping[str, Any], n_layers: int) -> tuple[int | None, ...]:
    """Where a field is absent, the default of transformers' configuration class holds."""
    family = config["model_type"]
    if family == "llama":
        return (None,) * n_layers
    window = config.get("sliding_window", None if family == "mixtral" else 4096)
    if family == "qwen3_moe":
        window, first = (window if config.get("use_sliding_window", False) else None), 0
    elif family in ("qwen2", "qwen3"):
        window = window if config.get("use_sliding_window", False) else None
        first = config.get("max_window_layers", 28)
    else:
        first = 0
    alike = family in ("mistral", "mixtral", "qwen3_moe")
    types = None if alike else config.get("layer_types")
    if types is None:
        types = ["sliding_attention" if i >= first else "full_attention" for i in range(n_layers)]
    return tuple(window if kind == "sliding_attention" else None for kind in types)
