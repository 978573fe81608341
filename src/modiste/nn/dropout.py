"""Dropout of adapters whose randomness is a function of seed, place and layer, never of history.

Global generators would tie a mask to everything drawn before it: a resumed run, a recomputed
block (recompute.py) and another order of layers would all draw anew. Here a mask is drawn from a
generator seeded by what it belongs to, so each of them sees the same one. Outside `training`
nothing is dropped.

Legend: N rows (tokens), I inputs, O outputs, R rank.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from modiste.nn.lanes import here
from modiste.nn.lora_linear import LoraLinear, Matrix


class Dropout:
    """Shared by all layers of a run."""

    def __init__(self, share: float, *, seed: int) -> None:
        self.share, self.seed = share, seed
        self._thread = threading.local()  # lanes learn on different batches

    @contextmanager
    def training(self, *at: int) -> Iterator[None]:
        """The backward pass belongs into the block too: it may compute blocks a second time."""
        self._thread.at = at
        try:
            yield
        finally:
            self._thread.at = None

    @property
    def at(self) -> tuple[int, ...] | None:
        """Step, process and batch that learn now; None: nothing is dropped."""
        return getattr(self._thread, "at", None)

    @property
    def drops(self) -> bool:
        return self.at is not None and self.share > 0

    def __call__(self, x_NI: Tensor, name: str) -> Tensor:
        """Each value zero with probability `share`, the others larger, so that means stay."""
        return x_NI * self.mask(x_NI, name) if self.drops else x_NI

    def mask(self, x_NI: Tensor, name: str) -> Tensor:
        """What x is multiplied with; the same one each time it is asked for."""
        generator = seeded(f"{self.seed}:{self.at}:{name}", x_NI.device)
        drawn_NI = torch.rand(x_NI.shape, generator=generator, device=x_NI.device)
        return (drawn_NI >= self.share).float().div_(1 - self.share)


class DroppedLora(LoraLinear):
    """y = W x + scaling * B (A dropout(x))"""

    def __init__(
        self,
        base: Matrix,
        *,
        lora_A: nn.Parameter,
        lora_B: nn.Parameter,
        scaling: float,
        dropout: Dropout,
        name: str,
    ) -> None:
        super().__init__(base, lora_A=lora_A, lora_B=lora_B, scaling=scaling)
        self.dropout, self.name = dropout, name

    def forward(self, x: Tensor) -> Tensor:
        if not (self.enabled and self.dropout.drops):
            return super().forward(x)
        x_NI = x.reshape(-1, x.shape[-1])
        y_NO = dropped_product(
            x_NI,
            here(self.lora_A),
            here(self.lora_B),
            base=self.base,
            scaling=self.scaling,
            mask=lambda like: self.dropout.mask(like, self.name),
        )
        return y_NO.view(*x.shape[:-1], y_NO.shape[-1])


def dropped_product(
    x_NI: Tensor,
    A_RI: Tensor,
    B_OR: Tensor,
    *,
    base: Matrix,
    scaling: float,
    mask: Callable[[Tensor], Tensor],
) -> Tensor:
    """x W^T + b + scaling * ((mask * x) A^T) B^T"""
    y_NO: Tensor = cast(Any, _DroppedProduct).apply(x_NI, A_RI, B_OR, base, scaling, mask)
    return y_NO


class _DroppedProduct(torch.autograd.Function):
    """Keeps no more than a product without dropout: the mask is drawn again on the way back."""

    @staticmethod
    def forward(
        ctx: Any,
        x_NI: Tensor,
        A_RI: Tensor,
        B_OR: Tensor,
        base: Matrix,
        scaling: float,
        mask: Callable[[Tensor], Tensor],
    ) -> Tensor:
        y_NO = base.up(x_NI)
        h_NR = mask(x_NI).mul_(x_NI).to(A_RI.dtype) @ A_RI.t()
        y_NO += (h_NR @ B_OR.t()).mul_(scaling).to(y_NO.dtype)
        ctx.save_for_backward(x_NI, h_NR, A_RI, B_OR)
        ctx.base, ctx.scaling, ctx.mask = base, scaling, mask
        return y_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy_NO = grads[0].contiguous()
        x_NI, h_NR, A_RI, B_OR = ctx.saved_tensors
        dy32_NO, mask_NI = dy_NO.to(B_OR.dtype), ctx.mask(x_NI).to(A_RI.dtype)
        dh_NR = (dy32_NO @ B_OR).mul_(ctx.scaling)
        dA_RI = dh_NR.t() @ (mask_NI * x_NI)
        dB_OR = (dy32_NO.t() @ h_NR).mul_(ctx.scaling)
        if not ctx.needs_input_grad[0]:
            return None, dA_RI, dB_OR, None, None, None
        dx_NI = ctx.base.down(dy_NO)
        dx_NI += mask_NI.mul_(dh_NR @ A_RI).to(dx_NI.dtype)
        return dx_NI, dA_RI, dB_OR, None, None, None


def seeded(text: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on the text alone."""
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
