"""Dropout of adapters whose randomness is a function of seed, place and layer, never of history.

Global generators would tie a mask to everything drawn before it: a resumed run, a recomputed
block (recompute.py) and another order of layers would all draw anew. Here a mask is drawn from a
generator seeded by what it belongs to, so each of them sees the same one. Outside `training`
nothing is dropped.

Legend: N rows (tokens), I inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from modiste.nn.lora_linear import LoraLinear, Matrix, frozen_product


class Dropout:
    """Shared by all layers of a run."""

    def __init__(self, share: float, *, seed: int) -> None:
        self.share, self.seed = share, seed
        self.at: tuple[int, ...] | None = None
        """Step, process and batch that learn now; None: nothing is dropped."""

    @contextmanager
    def training(self, *at: int) -> Iterator[None]:
        """The backward pass belongs into the block too: it may compute blocks a second time."""
        self.at = at
        try:
            yield
        finally:
            self.at = None

    @property
    def drops(self) -> bool:
        return self.at is not None and self.share > 0

    def __call__(self, x_NI: Tensor, name: str) -> Tensor:
        """Each value zero with probability `share`, the others larger, so that means stay."""
        if not self.drops:
            return x_NI
        generator = seeded(f"{self.seed}:{self.at}:{name}", x_NI.device)
        kept = torch.rand(x_NI.shape, generator=generator, device=x_NI.device) >= self.share
        return x_NI * kept / (1 - self.share)


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
        dropped_NI = self.dropout(x_NI.to(self.lora_A.dtype), self.name)
        delta_NO = dropped_NI @ self.lora_A.t() @ self.lora_B.t() * self.scaling
        y_NO = frozen_product(x_NI, self.base)
        return (y_NO + delta_NO.to(y_NO.dtype)).view(*x.shape[:-1], y_NO.shape[-1])


def seeded(text: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on the text alone."""
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
