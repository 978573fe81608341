"""Matrices as the compiled kernels read them: panels of sixteen outputs, filled up with zeros.

Legend: N rows, D inputs, O outputs, P panels, L lanes (outputs of a panel), B inputs in a block.
"""

from __future__ import annotations

import ctypes

import torch
import torch.nn.functional as F
from torch import Tensor

from modiste.nn.linear import ZERO, Kind, quantise
from modiste.nn.native import LANES, CLinear, Library, address

INT8_BLOCK = 64
"""Inputs are filled up to a multiple: one tile of AMX."""
NUMBER_OF_KIND = {Kind.FP32: 0, Kind.BF16: 1, Kind.INT8: 2}


class PanelLinear:
    """y_NO = x_ND @ weight_OD.T + bias_O with a compiled kernel, on the calling thread."""

    def __init__(
        self, library: Library, weight_OD: Tensor, bias_O: Tensor | None, kind: Kind
    ) -> None:
        self._library = library
        self.outputs, self.inputs = weight_OD.shape
        self._bias = None if bias_O is None else bias_O.float().contiguous()
        self._scales = self._shifts = None
        if kind is Kind.INT8:
            whole_OD, scales_O = quantise(weight_OD)
            self._scales = fill(scales_O, 0, LANES)
            self._shifts = fill(ZERO * whole_OD.sum(1, dtype=torch.int32), 0, LANES)
            self._panels = panels(fill(whole_OD, 1, INT8_BLOCK), together=4)
        elif kind is Kind.BF16:
            self._panels = panels(fill(weight_OD.bfloat16(), 1, 2), together=2)
        else:
            self._panels = panels(weight_OD.float())
        self.c = CLinear(
            NUMBER_OF_KIND[kind],
            self.inputs,
            self.outputs,
            address(self._panels),
            address(self._scales),
            address(self._shifts),
            address(self._bias),
        )

    def __call__(self, x_ND: Tensor) -> Tensor:
        x_ND = x_ND.contiguous()
        y_NO = torch.empty(len(x_ND), self.outputs)
        self._library.linear(ctypes.byref(self.c), len(x_ND), address(x_ND), address(y_NO))
        return y_NO


def panels(weight_OD: Tensor, *, together: int = 1) -> Tensor:
    """(P, D / together, L, together), contiguous: neighbouring inputs of an output together."""
    weight_OD = fill(weight_OD, 0, LANES)
    outputs, inputs = weight_OD.shape
    blocks = weight_OD.view(outputs // LANES, LANES, inputs // together, together)
    return blocks.permute(0, 2, 1, 3).contiguous()


def fill(tensor: Tensor, dim: int, multiple: int) -> Tensor:
    """Zeros behind it along `dim`, up to a multiple."""
    missing = -tensor.shape[dim] % multiple
    padding = [0, 0] * (tensor.ndim - 1 - dim) + [0, missing]
    return F.pad(tensor, padding) if missing else tensor
