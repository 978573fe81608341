"""A linear layer for serving: packed once, and each row's result independent of the other rows.

Row independence is the point: a request must get the same bits whether it is served alone or in a
crowd. The compiled kernels (`nn.panels`) give it by construction. Without them oneDNN's packed
kernels give it from two rows up and MKL's from four; fewer rows are padded. `independent` tries it
out on the machine at hand. No gradients, no training, CPU only.

Three kinds: float32; bfloat16 weights; int8 weights with a scale for each output, beside inputs in
eight bits with a scale for each row (a scale for all rows would let one request change another).

Legend: N rows, D inputs, O outputs.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

TYPICAL_ROWS = 64
"""Hint for the layout of packed weights; any number of rows may be given."""
LARGEST = 127
ZERO = 128
"""What 0 is stored as in unsigned bytes: signed ones fall to a kernel a thousand times slower."""
EXACT_INPUTS = 512
"""Products of so many pairs of eight-bit numbers have sums that float32 holds exactly."""


class Kind(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


WEIGHT_BYTES = {Kind.FP32: 4, Kind.BF16: 2, Kind.INT8: 1}


class Product(Protocol):
    """y_NO = x_ND @ weight_OD.T + bias_O, float32 in and out."""

    inputs: int
    outputs: int

    def __call__(self, x_ND: Tensor) -> Tensor: ...


class Linear:
    """In float32 or, as `Kind.BF16`, rounded inputs and weights; rounded weights alone, kept in
    float32, where the processor multiplies no bfloat16. Only the packed copy is kept."""

    def __init__(
        self, weight_OD: Tensor, bias_O: Tensor | None = None, *, kind: Kind = Kind.FP32
    ) -> None:
        assert kind is not Kind.INT8  # noqa: S101  # That is Int8Linear.
        self.outputs, self.inputs = weight_OD.shape
        short = kind is Kind.BF16 and _mkldnn()._is_mkldnn_bf16_supported()
        self._dtype = torch.bfloat16 if short else torch.float32
        self._bias = None if bias_O is None else bias_O.to(self._dtype)
        self._packed = torch._C._has_mkldnn and hasattr(_mkldnn(), "_linear_pointwise")
        self._least_rows = 2 if self._packed else 4
        weight = weight_OD.bfloat16() if kind is Kind.BF16 else weight_OD
        weight = weight.to(self._dtype).contiguous()
        self._weight = (
            _mkldnn()._reorder_linear_weight(weight, TYPICAL_ROWS) if self._packed else weight
        )

    def __call__(self, x_ND: Tensor) -> Tensor:
        rows, x_ND = x_ND.shape[0], x_ND.to(self._dtype)
        if rows < self._least_rows:
            return self._compute(F.pad(x_ND, (0, 0, 0, self._least_rows - rows)))[:rows].float()
        return self._compute(x_ND).float()

    def _compute(self, x_ND: Tensor) -> Tensor:
        if self._packed:
            y_NO: Tensor = _mkldnn()._linear_pointwise(
                x_ND, self._weight, self._bias, "none", [], ""
            )
            return y_NO
        return F.linear(x_ND, self._weight, self._bias)


class Int8Linear:
    """Sums of products of whole numbers are exact, so a row's bits are its own."""

    def __init__(self, weight_OD: Tensor, bias_O: Tensor | None = None) -> None:
        self.outputs, self.inputs = weight_OD.shape
        whole_OD, self._scales = quantise(weight_OD)
        self._bias = None if bias_O is None else bias_O.float()
        self._zeros = torch.zeros(self.outputs, dtype=torch.int64)
        self._blocks = None if _sums_are_exact() else torch.split(whole_OD, EXACT_INPUTS, 1)
        if self._blocks is None:
            self._weight = torch.ops.onednn.qlinear_prepack(whole_OD, None)

    def __call__(self, x_ND: Tensor) -> Tensor:
        scales_N1 = x_ND.abs().amax(-1, keepdim=True) / LARGEST
        # What is no number cannot be rounded; its scale keeps it from passing for one.
        whole_ND = (x_ND / scales_N1).nan_to_num_(0, 0, 0).round_()
        if self._blocks is None:
            y_NO = _whole(whole_ND.add_(ZERO), self._weight, self._scales, self._zeros)
        else:
            parts = zip(torch.split(whole_ND, EXACT_INPUTS, 1), self._blocks, strict=True)
            # Made float32 each time: whoever asks for eight bits counts on their memory.
            y_NO = sum(F.linear(x, w.float()).to(torch.int32) for x, w in parts) * self._scales
        y_NO *= scales_N1
        return y_NO if self._bias is None else y_NO.add_(self._bias)


def _whole(whole_ND: Tensor, packed: Any, scales_O: Tensor, zeros_O: Tensor) -> Tensor:
    """Inputs around `ZERO`."""
    y_NO: Tensor = torch.ops.onednn.qlinear_pointwise(
        whole_ND.to(torch.uint8), 1.0, ZERO, packed, scales_O, zeros_O,
        None, 1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
    return y_NO


@cache
def _sums_are_exact() -> bool:
    """Whether oneDNN adds up whole numbers as they are: without VNNI it adds pairs of products in
    sixteen bits, and cuts what they do not hold."""
    outputs, inputs = 16, 64
    largest_OD = torch.full((outputs, inputs), LARGEST, dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(largest_OD, None)
    x_1D = torch.full((1, inputs), 2.0 * ZERO - 1)
    zeros_O = torch.zeros(outputs, dtype=torch.int64)
    y_1O = _whole(x_1D, packed, torch.ones(outputs), zeros_O)
    return bool((y_1O == inputs * LARGEST * (ZERO - 1)).all())


class Quantised(NamedTuple):
    whole_OD: Tensor
    """int8"""
    scales_O: Tensor


def quantise(weight_OD: Tensor) -> Quantised:
    """Each output's weights as whole numbers up to 127 times a scale."""
    weight_OD = weight_OD.float()
    scales_O = weight_OD.abs().amax(1).clamp_min_(1e-30) / LARGEST
    whole_OD = (weight_OD / scales_O[:, None]).round_().to(torch.int8)
    return Quantised(whole_OD, scales_O)


def in_torch(weight_OD: Tensor, bias_O: Tensor | None, kind: Kind) -> Product:
    """The layer as torch computes it: where nothing is compiled, and what kernels are held to."""
    if kind is Kind.INT8:
        return Int8Linear(weight_OD, bias_O)
    return Linear(weight_OD, bias_O, kind=kind)


def independent(linear: Product, *, rows: int = 37) -> bool:
    """Whether a row's bits stay the same alone, among few and among many, on this machine."""
    x_ND = torch.randn(rows, linear.inputs, generator=torch.Generator().manual_seed(0))
    together = linear(x_ND)
    return all(
        torch.equal(linear(x_ND[i : i + n].contiguous()), together[i : i + n])
        for i, n in ((0, 1), (rows - 1, 1), (5, 2), (11, 7), (0, 16))
    )


def _mkldnn() -> Any:
    return torch.ops.mkldnn
