"""A linear layer for serving: packed once, and each row's result independent of the other rows.

Row independence is the point: a request must get the same bits whether it is served alone or in a
crowd. oneDNN's packed kernel gives that from two rows up (and is two to three times faster than
plain `F.linear` on CPUs where MKL has no AVX512 path), MKL's from four rows up; fewer rows are
padded. `independent` tries it out on the machine at hand. No gradients, no training, CPU only.

Legend: N rows, D inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

TYPICAL_ROWS = 64
"""Hint for the layout of packed weights; any number of rows may be given."""


class Linear:
    """y_NO = x_ND @ weight_OD.T + bias_O, in float32. The packed copy is the only one kept."""

    def __init__(self, weight_OD: Tensor, bias_O: Tensor | None = None) -> None:
        self.outputs, self.inputs = weight_OD.shape
        self._bias = None if bias_O is None else bias_O.float()
        self._packed = torch._C._has_mkldnn and hasattr(_mkldnn(), "_linear_pointwise")
        self._least_rows = 2 if self._packed else 4
        weight = weight_OD.float().contiguous()
        self._weight = (
            _mkldnn()._reorder_linear_weight(weight, TYPICAL_ROWS) if self._packed else weight
        )

    def __call__(self, x_ND: Tensor) -> Tensor:
        rows = x_ND.shape[0]
        if rows < self._least_rows:
            return self._compute(F.pad(x_ND, (0, 0, 0, self._least_rows - rows)))[:rows]
        return self._compute(x_ND)

    def _compute(self, x_ND: Tensor) -> Tensor:
        if self._packed:
            y_NO: Tensor = _mkldnn()._linear_pointwise(
                x_ND, self._weight, self._bias, "none", [], ""
            )
            return y_NO
        return F.linear(x_ND, self._weight, self._bias)


def independent(linear: Linear, *, rows: int = 37) -> bool:
    """Whether a row's bits stay the same alone, among few and among many, on this machine."""
    x_ND = torch.randn(rows, linear.inputs, generator=torch.Generator().manual_seed(0))
    together = linear(x_ND)
    return all(
        torch.equal(linear(x_ND[i : i + n].contiguous()), together[i : i + n])
        for i, n in ((0, 1), (rows - 1, 1), (5, 2), (11, 7), (0, 16))
    )


def _mkldnn() -> Any:
    return torch.ops.mkldnn
