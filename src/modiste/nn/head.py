"""The output head where it learns: losses and gradients in chunks of rows, never all logits.

Legend: N trained tokens, C of them in a chunk, D hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


class LearnedHead:
    """Stands for the FrozenMatrix of a head that does not learn."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer

    def up(self, x_ND: Tensor, /) -> Tensor:
        return cast(Tensor, self.layer(x_ND))

    def nll(self, hidden_ND: Tensor, targets_N: Tensor, *, rows: int) -> Tensor:
        """(N,) losses in fp32, with gradients for the hidden states, the weight and the bias."""
        apply = cast(Any, _HeadLoss).apply
        nll_N: Tensor = apply(hidden_ND, self.layer.weight, self.layer.bias, targets_N, rows)
        return nll_N


class _HeadLoss(torch.autograd.Function):
    """(N,) losses of a head that learns, in chunks of rows: logits are made again on the way back,
    as the gradient of each row's weight is only known there."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor,
        rows: int,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(hidden_ND, weight_VD, bias_V, targets_N)
        ctx.rows = rows
        losses = []
        for chunk_CD, targets_C in _chunks(hidden_ND, targets_N, rows):
            logits_CV = nn.functional.linear(chunk_CD, weight_VD, bias_V).float()
            losses.append(nn.functional.cross_entropy(logits_CV, targets_C, reduction="none"))
        return torch.cat(losses) if losses else hidden_ND.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, bias_V, targets_N = ctx.saved_tensors
        dhidden_ND, dweight_VD = torch.empty_like(hidden_ND), torch.zeros_like(weight_VD)
        dbias_V = None if bias_V is None else torch.zeros_like(bias_V)
        at = 0
        for chunk_CD, targets_C in _chunks(hidden_ND, targets_N, ctx.rows):
            end = at + len(targets_C)
            logits_CV = nn.functional.linear(chunk_CD, weight_VD, bias_V).float()
            dlogits_CV = torch.softmax(logits_CV, dim=-1)
            dlogits_CV[torch.arange(len(targets_C), device=targets_C.device), targets_C] -= 1
            dlogits_CV.mul_(grads[0][at:end, None])
            dlogits_CV = dlogits_CV.to(weight_VD.dtype)
            dhidden_ND[at:end] = dlogits_CV @ weight_VD
            dweight_VD.addmm_(dlogits_CV.t(), chunk_CD)
            if dbias_V is not None:
                dbias_V += dlogits_CV.sum(0)
            at = end
        return dhidden_ND, dweight_VD, dbias_V, None, None


def _chunks(hidden_ND: Tensor, targets_N: Tensor, rows: int) -> Any:
    return zip(torch.split(hidden_ND, rows), torch.split(targets_N, rows), strict=True)
