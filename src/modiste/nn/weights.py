"""The tensors of a base model by their Hugging Face names, whichever layout they are stored in.

Tensors are read from safetensors one by one, when asked for. `check` compares names and sizes with
the shape before anything is read, and says everything that does not fit in one message.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from safetensors import safe_open
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import consolidated
from modiste.nn.base import Layout, describe_base, weight_files
from modiste.nn.shape import DecoderShape

IGNORED_SUFFIXES = ("rotary_emb.inv_freq",)
"""Stored by old releases; computed from the configuration instead."""


class Weights:
    """Open files of one base. Use as a context manager; tensors read stay valid after it."""

    def __init__(self, path: Path, *, head_size: int, layout: Layout) -> None:
        self._path, self._head_size, self._layout = path, head_size, layout
        self._open = ExitStack()
        self._places: dict[str, tuple[Any, str]] = {}
        for file in weight_files(path, layout):
            tensors = self._open.enter_context(safe_open(file, framework="pt"))
            for stored in tensors.keys():  # noqa: SIM118  # safe_open is not a mapping
                name = consolidated.rename(stored) if layout is Layout.MISTRAL else stored
                if not name.endswith(IGNORED_SUFFIXES):
                    self._places[name] = (tensors, stored)

    @classmethod
    def open(cls, path: Path, shape: DecoderShape) -> Self:
        return cls(path, head_size=shape.head_size, layout=describe_base(path).layout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def get(self, name: str) -> Tensor:
        """As stored (its dtype too), rows of q and k in Hugging Face's rotary order."""
        tensors, stored = self._places[name]
        # A copy: the file may be rewritten later, and what is read here may be mapped from it.
        tensor: Tensor = tensors.get_tensor(stored).clone()
        turned = name.endswith(("q_proj.weight", "k_proj.weight"))
        if self._layout is Layout.MISTRAL and turned:
            return consolidated.halves_from_pairs(tensor, head_dim=self._head_size)
        return tensor

    def are_bf16(self) -> bool:
        """Whether every matrix is stored in bfloat16."""
        matrices = [tensors.get_slice(stored) for tensors, stored in self._places.values()]
        return all(m.get_dtype() == "BF16" for m in matrices if len(m.get_shape()) > 1)

    def head(self, shape: DecoderShape) -> str:
        """Name of the output matrix; Mistral's layout ties by leaving it out."""
        left_out = self._layout is Layout.MISTRAL and "lm_head.weight" not in self._places
        return "model.embed_tokens.weight" if shape.tied or left_out else "lm_head.weight"

    def check(self, shape: DecoderShape) -> None:
        """
        Raises:
            InvalidInput: listing tensors that are missing, unknown or of another size.
        """
        wanted = expected_sizes(shape)
        if self.head(shape) != "lm_head.weight":
            wanted.pop("lm_head.weight", None)
        found = {
            name: tuple(tensors.get_slice(stored).get_shape())
            for name, (tensors, stored) in self._places.items()
        }
        if "lm_head.weight" not in wanted:
            found.pop("lm_head.weight", None)  # Some releases store the tied copy as well.
        problems = [f"{name} is missing" for name in wanted if name not in found]
        problems += [f"{name} has no place in it" for name in found if name not in wanted]
        problems += [
            f"{name} is {found[name]}, expected {size}"
            for name, size in wanted.items()
            if name in found and found[name] != size
        ]
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise InvalidInput(
                f"{self._path}: {shape.family} weights do not fit their configuration: "
                f"{'; '.join(problems[:5])}{more}"
            )


def expected_sizes(shape: DecoderShape) -> dict[str, tuple[int, ...]]:
    """Every tensor a decoder of this shape is made of, by Hugging Face name."""
    hidden, q, kv = shape.hidden_size, shape.query_size, shape.kv_size
    sizes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (shape.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    if not shape.tied:
        sizes["lm_head.weight"] = (shape.vocab_size, hidden)
    attention = {
        "self_attn.q_proj": (q, hidden, shape.qkv_bias),
        "self_attn.k_proj": (kv, hidden, shape.qkv_bias),
        "self_attn.v_proj": (kv, hidden, shape.qkv_bias),
        "self_attn.o_proj": (hidden, q, shape.o_bias),
    }
    norms = {"input_layernorm": hidden, "post_attention_layernorm": hidden}
    if shape.qk_norm:
        norms |= {"self_attn.q_norm": shape.head_size, "self_attn.k_norm": shape.head_size}
    for index in range(shape.n_layers):
        stem = f"model.layers.{index}"
        feed = _experts(shape) if shape.is_mixture(index) else _feed_forward(shape)
        for name, (outputs, inputs, bias) in (attention | feed).items():
            sizes[f"{stem}.{name}.weight"] = (outputs, inputs)
            if bias:
                sizes[f"{stem}.{name}.bias"] = (outputs,)
        sizes |= {f"{stem}.{name}.weight": (size,) for name, size in norms.items()}
    return sizes


class Names(NamedTuple):
    """Of the matrices of a gated network."""

    gate: str
    up: str
    down: str


DENSE = Names("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def router(shape: DecoderShape) -> str:
    return "block_sparse_moe.gate" if shape.family == "mixtral" else "mlp.gate"


def expert(shape: DecoderShape, number: int) -> Names:
    """As checkpoints keep them: transformers fuses them when it reads them."""
    if shape.family == "mixtral":
        return Names(*(f"block_sparse_moe.experts.{number}.{w}" for w in ("w1", "w3", "w2")))
    return Names(*(name.replace("mlp.", f"mlp.experts.{number}.") for name in DENSE))


def _feed_forward(shape: DecoderShape) -> dict[str, tuple[int, int, bool]]:
    return _gated(DENSE, shape.intermediate_size, shape.hidden_size, bias=shape.mlp_bias)


def _experts(shape: DecoderShape) -> dict[str, tuple[int, int, bool]]:
    assert shape.mixture is not None  # noqa: S101  # One of its layers is a mixture.
    n, wide, hidden = shape.mixture.n_experts, shape.mixture.expert_size, shape.hidden_size
    sizes = {router(shape): (n, hidden, False)}
    for number in range(n):
        sizes |= _gated(expert(shape, number), wide, hidden, bias=False)
    return sizes


def _gated(names: Names, wide: int, hidden: int, *, bias: bool) -> dict[str, tuple[int, int, bool]]:
    return {
        names.gate: (wide, hidden, bias),
        names.up: (wide, hidden, bias),
        names.down: (hidden, wide, bias),
    }
