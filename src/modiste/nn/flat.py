"""One vector that holds everything that learns, given out in parts.

A part is a leaf of its own whose values and gradient lie inside the flat ones, so autograd adds up
gradients in place and optimiser, norm and checkpoint see one tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Flat:
    def __init__(self, size: int, *, device: torch.device | str = "cpu") -> None:
        self.parameter = nn.Parameter(torch.zeros(size, dtype=torch.float32, device=device))
        self.parameter.grad = torch.zeros_like(self.parameter)
        self._at = 0

    @property
    def n_taken(self) -> int:
        return self._at

    def take(self, *shape: int) -> nn.Parameter:
        """The next part that nobody has."""
        end = self._at + math.prod(shape)
        if end > self.parameter.numel():
            raise ValueError(f"{end} values are taken of {self.parameter.numel()}")
        values = self.parameter.detach()[self._at : end].view(shape)
        gradient = cast(Tensor, self.parameter.grad)[self._at : end].view(shape)
        self._at = end
        return leaf(values, gradient)


def leaf(values: Tensor, gradient: Tensor) -> nn.Parameter:
    part = nn.Parameter(values)
    part.grad = gradient
    return part


def slices(part: nn.Parameter) -> Sequence[nn.Parameter]:
    """Along the first dimension, leaves of their own."""
    gradient = cast(Tensor, part.grad)
    return [leaf(part.detach()[i], gradient[i]) for i in range(part.shape[0])]
