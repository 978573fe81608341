"""A weight matrix that never learns, multiplied from both sides as fast as this machine can.

Training a LoRA adapter needs y = x W^T on the way up and dx = dy W on the way down, and never dW.
In fp32 on a CPU both run through oneDNN with the weight packed once per direction (2.3 times MKL's
speed on AMD), bit-equal from run to run for a fixed number of threads; the tensor itself is not
kept. On other devices and in other dtypes they are plain matmuls with the tensor as it is.

Legend: N rows (tokens), I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from modiste.nn.linear import Linear


class FrozenMatrix:
    """W (O, I) with an optional bias (O,). Packing takes the room of W twice."""

    def __init__(
        self, weight_OI: Tensor, bias_O: Tensor | None = None, *, pack: bool = True
    ) -> None:
        weight, bias = weight_OI.detach(), None if bias_O is None else bias_O.detach()
        self.up: Callable[[Tensor], Tensor]
        """x (N, I) to x W^T + b (N, O)."""
        self.down: Callable[[Tensor], Tensor]
        """dy (N, O) to dy W (N, I)."""
        self.dtype = weight.dtype
        self.plain_OI: Tensor | None = None
        """The matrix where it lies open, for products that add to what is there."""
        if pack and weight.device.type == "cpu" and weight.dtype == torch.float32:
            self.up, self.down = Linear(weight, bias), Linear(weight.t())
        else:
            self.plain_OI = weight
            self.up = lambda x_NI: F.linear(x_NI, weight, bias)
            self.down = lambda dy_NO: dy_NO @ weight
