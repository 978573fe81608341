"""Root-mean-square norm of frozen weights with its gradient written by hand.

Values as transformers' classes round them: normalised in fp32, rounded to the input's dtype, then
times the weight. Only the input and one number per row are kept for the backward.

Legend: N rows, D hidden size.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
    """weight * x / sqrt(mean(x^2) + epsilon); the weight gets no gradient."""
    y_ND: Tensor = cast(Any, _RmsNorm).apply(x.reshape(-1, x.shape[-1]), weight_D, epsilon)
    return y_ND.view(x.shape)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
        wide_ND = x_ND.float()
        squares_N1 = torch.linalg.vector_norm(wide_ND, dim=-1, keepdim=True).square_()
        scale_N1 = squares_N1.div_(x_ND.shape[1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x_ND, weight_D, scale_N1)
        unit_ND: Tensor = (wide_ND * scale_N1).to(x_ND.dtype)
        return unit_ND * weight_D

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_D, scale_N1 = ctx.saved_tensors
        unit_ND = x_ND.float() * scale_N1
        dunit_ND = (grads[0] * weight_D).float()
        along_N1 = (dunit_ND * unit_ND).mean(dim=-1, keepdim=True)
        dx_ND = dunit_ND.addcmul_(unit_ND, along_N1, value=-1).mul_(scale_N1)
        return dx_ND.to(x_ND.dtype), None, None
