"""How a served base's weights are kept and multiplied: exactly, unless somebody asked for less."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from modiste.nn import native, native_decoder
from modiste.nn.linear import Kind
from modiste.nn.shape import read_shape
from modiste.nn.weights import Weights
from modiste.settings import ServeLinear


class Precision(NamedTuple):
    kind: Kind
    exact: bool
    """As the base's files say, with sums in float32."""

    @property
    def of_adapters(self) -> torch.dtype:
        """Beside a base that is rounded to eight bits, an adapter in sixteen is exact enough, and
        the half of it to read for each token."""
        return torch.bfloat16 if self.kind is Kind.INT8 else torch.float32


def precision_of(path: Path, wanted: ServeLinear) -> Precision:
    """The compiled kernels multiply bfloat16 weights by float32 inputs, with the bits that float32
    weights give, so a base that is stored in bfloat16 is kept so; torch rounds the inputs too."""
    shape = read_shape(path)
    with Weights.open(path, shape) as weights:
        lossless = (
            weights.are_bf16() and native.library() is not None and native_decoder.computes(shape)
        )
    if wanted is ServeLinear.AUTO:
        return Precision(Kind.BF16 if lossless else Kind.FP32, exact=True)
    kind = Kind(wanted.value)
    return Precision(kind, exact=kind is Kind.FP32 or (kind is Kind.BF16 and lossless))
