"""A frozen matrix in four bits (NF4, arXiv:2305.14314): about 0.53 bytes a value.

Blocks of 64 values share their largest magnitude; each value is the nearest of 16 numbers that
split a normal distribution evenly; the magnitudes of 256 blocks are themselves kept in 8 bits with
one offset (double quantisation). The bytes and the values read back are those of bitsandbytes with
`nf4` and `compress_statistics`; on CUDA its kernel reads them, elsewhere torch does. Products are
made from the matrix as read back, so gradients are those of LoRA on that matrix.

Legend: N rows (tokens), I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from modiste.nn.experts import FrozenExperts, is_experts
from modiste.nn.lora_linear import frozen_product

BLOCK = 64
MAGNITUDES_BLOCK = 256
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""Appendix E of the paper."""


class Quantized(NamedTuple):
    packed: Tensor
    """(values / 2,) uint8, the earlier value in the upper half."""
    magnitudes: Tensor
    """(blocks,) uint8 places in the dynamic code."""
    scales: Tensor
    """(blocks / 256,) fp32, the largest of those magnitudes less the offset."""
    offset: Tensor
    """() fp32, the mean magnitude."""
    shape: tuple[int, ...]


def quantize(weight: Tensor) -> Quantized:
    values = weight.detach().reshape(-1).float()
    blocks = F.pad(values, (0, -len(values) % BLOCK)).view(-1, BLOCK)
    magnitudes = blocks.abs().amax(1)
    scaled = (blocks * (1.0 / magnitudes.clamp(min=1e-38))[:, None]).clamp(-1, 1).reshape(-1)
    code = _nf4(weight.device)
    # The end of the last block is not kept: it would cost up to 32 bytes in each matrix.
    scaled = scaled[: len(values) + len(values) % 2]
    places = torch.bucketize(scaled, (code[:-1] + code[1:]) / 2).to(torch.uint8)
    offset = magnitudes.mean()
    return Quantized((places[::2] << 4) | places[1::2], *_in_8_bits(magnitudes - offset), offset,
                     tuple(weight.shape))  # fmt: skip


def dequantize(q: Quantized, dtype: torch.dtype) -> Tensor:
    """The matrix as it is trained against; exact in fp32, rounded once otherwise."""
    magnitudes = _magnitudes(q)
    n = torch.Size(q.shape).numel()
    values = _pairs(q.packed.device)[q.packed.int()].view(-1)
    values = F.pad(values, (0, len(magnitudes) * BLOCK - len(values)))
    whole = (values.view(-1, BLOCK) * magnitudes[:, None]).reshape(-1)[:n]
    return whole.to(dtype).view(q.shape)


class QuantizedMatrix:
    """Stands for a FrozenMatrix; each product reads the matrix back first."""

    def __init__(
        self, weight_OI: Tensor, bias_O: Tensor | None = None, *, dtype: torch.dtype
    ) -> None:
        self.quantized = quantize(weight_OI)
        self.bias_O = None if bias_O is None else bias_O.detach().to(dtype)
        self.dtype = dtype

    def dequantize(self) -> Tensor:
        if self.quantized.packed.is_cuda:
            return _by_kernel(self.quantized, self.dtype)
        return dequantize(self.quantized, self.dtype)

    def up(self, x_NI: Tensor, /) -> Tensor:
        return F.linear(x_NI, self.dequantize(), self.bias_O)

    def down(self, dy_NO: Tensor, /) -> Tensor:
        return dy_NO @ self.dequantize()

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in self.quantized if isinstance(t, Tensor))


class QuantizedLinear(nn.Module):
    """A linear layer that is not adapted."""

    def __init__(self, layer: nn.Linear, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.device = layer.weight.device
        self.base = QuantizedMatrix(layer.weight, layer.bias, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        y_NO = frozen_product(x.reshape(-1, x.shape[-1]), self.base)
        return y_NO.view(*x.shape[:-1], self.out_features)


def quantize_model(
    model: PreTrainedModel, *, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> None:
    """All linear layers but the head, and all experts, in place; the rest becomes `dtype`.

    Layer by layer, so that the model as it came need not fit on `device`.
    """
    head = cast(Any, model).get_output_embeddings()
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and module is not head:
            model.set_submodule(name, QuantizedLinear(module.to(device), dtype=dtype))
        elif is_experts(module):
            held = FrozenExperts(
                module.to(device), matrix=lambda w: QuantizedMatrix(w, dtype=dtype)
            )
            model.set_submodule(name, held)
    cast(nn.Module, model).to(device=torch.device(device), dtype=dtype)


def quantized_matrices(model: PreTrainedModel) -> Iterator[QuantizedMatrix]:
    for module in model.modules():
        held = [getattr(module, "base", None)]
        if isinstance(module, FrozenExperts):
            held += [m for matrices in module.matrices.values() for m in matrices]
        yield from (m for m in held if isinstance(m, QuantizedMatrix))


def _magnitudes(q: Quantized) -> Tensor:
    values = _dynamic(q.packed.device)[q.magnitudes.int()]
    return values * q.scales.repeat_interleave(MAGNITUDES_BLOCK)[: len(values)] + q.offset


def _in_8_bits(values: Tensor) -> tuple[Tensor, Tensor]:
    """Places in the dynamic code, and the scale of each block of 256."""
    blocks = F.pad(values, (0, -len(values) % MAGNITUDES_BLOCK)).view(-1, MAGNITUDES_BLOCK)
    scales = blocks.abs().amax(1)
    scaled = (blocks * (1.0 / scales.clamp(min=1e-38))[:, None]).clamp(-1, 1)
    code = _dynamic(values.device)
    places = torch.bucketize(scaled.reshape(-1)[: len(values)], (code[:-1] + code[1:]) / 2)
    return places.to(torch.uint8), scales


def _by_kernel(q: Quantized, dtype: torch.dtype) -> Tensor:
    """Through bitsandbytes where it is installed; without it, slower and equal."""
    try:
        import bitsandbytes as bnb
    except ImportError:
        return dequantize(q, dtype)
    read: Any = bnb.functional.dequantize_4bit
    state = cast(Any, bnb.functional.QuantState)(
        absmax=_magnitudes(q), shape=torch.Size(q.shape), dtype=dtype, blocksize=BLOCK,
        code=_nf4(q.packed.device), quant_type="nf4",
    )  # fmt: skip
    return cast(Tensor, read(q.packed[:, None], state))


@lru_cache
def _nf4(device: torch.device) -> Tensor:
    return torch.tensor(NF4, dtype=torch.float32, device=device)


@lru_cache
def _pairs(device: torch.device) -> Tensor:
    """(256, 2): the two values in each byte."""
    byte = torch.arange(256)
    return _nf4(device)[torch.stack((byte >> 4, byte & 15), dim=1).to(device)]


@lru_cache
def _dynamic(device: torch.device) -> Tensor:
    """The 256 numbers of the signed dynamic type (arXiv:2110.02861): seven decades, each with
    twice as many steps as the one below."""
    data = [0.0, 1.0]
    for i in range(7):
        edges = torch.linspace(0.1, 1, 2**i + 1, dtype=torch.float32)
        means = 10 ** (i - 6) * ((edges[:-1] + edges[1:]) / 2)
        data += means.tolist() + (-means).tolist()
    return torch.tensor(sorted(data), dtype=torch.float32, device=device)
