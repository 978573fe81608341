"""Rotary positions, computed with the same float32 operations as transformers.

The order of operations is part of the contract: at position 10,000 one rounding of a frequency is
already 1e-3 radians, and a served model would drift from the trained one.

Legend: N rows of a step, H heads (queries and keys together), E head size, P positions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modiste.nn.shape import DecoderShape, Llama3Scaling


class Rotary:
    """Cosines and sines per position; the table grows with the longest sequence seen."""

    def __init__(self, shape: DecoderShape) -> None:
        self._frequencies = frequencies(shape)
        self._cos_PE = self._sin_PE = torch.empty(0, shape.head_size // 2)

    def at(self, positions_N: Tensor, *, last: int) -> tuple[Tensor, Tensor]:
        """cos and sin, each (N, 1, E/2); `last` is the greatest of the positions."""
        cos_PE, sin_PE = self.tables(last + 1)
        return cos_PE[positions_N].unsqueeze(1), sin_PE[positions_N].unsqueeze(1)

    def tables(self, n_positions: int) -> tuple[Tensor, Tensor]:
        """cos and sin of at least the first `n_positions`, each (P, E/2)."""
        if n_positions > len(self._cos_PE):
            positions = torch.arange(max(1024, 2 * n_positions)).float()
            angles_PE = positions[:, None] * self._frequencies[None, :]
            self._cos_PE, self._sin_PE = angles_PE.cos(), angles_PE.sin()
        return self._cos_PE, self._sin_PE


def rotate(x_NHE: Tensor, cos_N1E: Tensor, sin_N1E: Tensor) -> Tensor:
    """Turn the pairs (i, i + E/2) of each head by its position's angle."""
    first, second = x_NHE.chunk(2, dim=-1)
    return torch.cat(
        (first * cos_N1E - second * sin_N1E, second * cos_N1E + first * sin_N1E), dim=-1
    )


def frequencies(shape: DecoderShape) -> Tensor:
    """Radians per position of each of the E/2 pairs."""
    exponents = torch.arange(0, shape.head_size, 2).float() / shape.head_size
    plain = 1.0 / (shape.rope_theta**exponents)
    if isinstance(shape.rope_scaling, Llama3Scaling):
        return _llama3(plain, shape.rope_scaling)
    return plain / (shape.rope_scaling or 1.0)


def _llama3(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    wavelengths = 2 * math.pi / plain
    shortest = scaling.original_context / scaling.high_freq_factor
    longest = scaling.original_context / scaling.low_freq_factor
    slowed = torch.where(wavelengths > longest, plain / scaling.factor, plain)
    smooth = (scaling.original_context / wavelengths - scaling.low_freq_factor) / (
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    ramp = (1 - smooth) * slowed / scaling.factor + smooth * slowed
    between = (wavelengths >= shortest) & (wavelengths <= longest)
    return torch.where(between, ramp, slowed)
