"""A linear layer with a low-rank adapter beside its frozen weight: y = W x + scaling * B (A x).

`LoraLinear` is the plain one, with one hand-written product; dropout (dropout.py) and DoRA
(dora.py) are other classes over the same parts. Who computes several layers at once may do so where
`type(module) is LoraLinear`, and only there.

Legend: N rows (tokens), I inputs, O outputs, R rank.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from modiste.nn.lanes import here


class Matrix(Protocol):
    """A frozen W (O, I) with an optional bias, in frozen.py or in four bits in quantized.py."""

    def up(self, x_NI: Tensor, /) -> Tensor:
        """x W^T + b, (N, O)."""
        ...

    def down(self, dy_NO: Tensor, /) -> Tensor:
        """dy W, (N, I)."""
        ...


class LoraLinear(nn.Module):
    """Stands where an nn.Linear stood. A (R, I) and B (O, R) are fp32 whatever the base's dtype."""

    def __init__(
        self, base: Matrix, *, lora_A: nn.Parameter, lora_B: nn.Parameter, scaling: float
    ) -> None:
        super().__init__()
        self.base = base
        self.lora_A = lora_A
        self.lora_B = lora_B
        self.scaling = scaling
        self.enabled = True

    def forward(self, x: Tensor) -> Tensor:
        x_NI = x.reshape(-1, x.shape[-1])
        scaling = self.scaling if self.enabled else 0.0
        low = (here(self.lora_A), here(self.lora_B))
        y_NO = lora_product(x_NI, *low, base=self.base, scaling=scaling)
        return y_NO.view(*x.shape[:-1], y_NO.shape[-1])


def lora_product(
    x_NI: Tensor, A_RI: Tensor, B_OR: Tensor, *, base: Matrix, scaling: float
) -> Tensor:
    """x W^T + b + scaling * (x A^T) B^T"""
    y_NO: Tensor = cast(Any, _Product).apply(x_NI, A_RI, B_OR, base, scaling)
    return y_NO


class _Product(torch.autograd.Function):
    """Hand-written, as autograd would keep and compute more: nothing is kept for W's gradient, and
    the input's gradient is one buffer that both paths write into."""

    @staticmethod
    def forward(
        ctx: Any, x_NI: Tensor, A_RI: Tensor, B_OR: Tensor, base: Matrix, scaling: float
    ) -> Tensor:
        y_NO = base.up(x_NI)
        if scaling == 0.0:
            return y_NO
        h_NR = x_NI @ A_RI.t().to(x_NI.dtype)
        y_NO.addmm_(h_NR, B_OR.t().to(y_NO.dtype), alpha=scaling)
        ctx.save_for_backward(x_NI, h_NR, A_RI, B_OR)
        ctx.base, ctx.scaling = base, scaling
        return y_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy_NO = grads[0].contiguous()
        x_NI, h_NR, A_RI, B_OR = ctx.saved_tensors
        dh_NR = (dy_NO @ B_OR.to(dy_NO.dtype)).mul_(ctx.scaling)
        dA_RI = (dh_NR.t() @ x_NI).to(A_RI.dtype)
        dB_OR = (dy_NO.t() @ h_NR).to(B_OR.dtype).mul_(ctx.scaling)
        if not ctx.needs_input_grad[0]:
            return None, dA_RI, dB_OR, None, None
        dx_NI = ctx.base.down(dy_NO).addmm_(dh_NR, A_RI.to(dy_NO.dtype))
        return dx_NI, dA_RI, dB_OR, None, None


class FrozenProduct(torch.autograd.Function):
    """x W^T + b with a gradient for x alone: the base's part where the adapter's is autograd's."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, base: Matrix) -> Tensor:
        ctx.base = base
        return base.up(x_NI)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.base.down(grads[0].contiguous()), None


def frozen_product(x_NI: Tensor, base: Matrix) -> Tensor:
    y_NO: Tensor = cast(Any, FrozenProduct).apply(x_NI, base)
    return y_NO
