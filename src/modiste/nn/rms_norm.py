"""Root-mean-square norm of frozen weights with its gradient written by hand.

Values as transformers' classes round them: normalised in fp32, rounded to the input's dtype, then
times the weight. Only the input and one number per row are kept for the backward. That is the
backward of a layer norm whose mean is nothing, which torch has as one kernel (four times as fast as
its parts), and the term which that one takes off for a mean is put back.

Legend: N rows, D hidden size.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

ONLY_THE_INPUT = [True, False, False]


def rms_norm(x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
    """weight * x / sqrt(mean(x^2) + epsilon); the weight gets no gradient."""
    y_ND: Tensor = cast(Any, _RmsNorm).apply(x.reshape(-1, x.shape[-1]), weight_D, epsilon)
    return y_ND.view(x.shape)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
        norms_N1 = torch.linalg.vector_norm(x_ND, dim=-1, keepdim=True, dtype=torch.float32)
        scale_N1 = norms_N1.square_().div_(x_ND.shape[1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x_ND, weight_D, scale_N1)
        wide_ND = x_ND.float() if x_ND.dtype != torch.float32 else x_ND.clone()
        return wide_ND.mul_(scale_N1).to(x_ND.dtype).mul_(weight_D)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_D, scale_N1 = ctx.saved_tensors
        dy_ND, width = grads[0].contiguous(), x_ND.shape[1]
        mean_N1 = torch.zeros_like(scale_N1)
        wide_D = weight_D.float()  # So that scales are read in fp32, too.
        dx_ND: Tensor = torch.ops.aten.native_layer_norm_backward(
            dy_ND, x_ND, [width], mean_N1, scale_N1, wide_D, None, ONLY_THE_INPUT
        )[0]
        taken_off_N1 = (dy_ND @ weight_D)[:, None] * (scale_N1 / width)
        return dx_ND.add_(taken_off_N1.to(dx_ND.dtype)), None, None
