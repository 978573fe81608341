"""Muon for the matrices: momentum, made orthogonal by five Newton–Schulz steps.

All matrices of one shape are orthogonalised in one batched product; on a CPU that is several times
cheaper than one matrix after another. Source of the coefficients: Keller Jordan, Muon (2024).
"""

from collections.abc import Mapping

import torch
from torch import Tensor


class Muon:
    def __init__(self, matrices: Mapping[str, Tensor], *, momentum: float = 0.95) -> None:
        self.momentum = momentum
        self.matrices = matrices
        self.buffers = {name: torch.zeros_like(matrix) for name, matrix in matrices.items()}
        self.by_shape: dict[tuple[int, ...], list[str]] = {}
        for name, matrix in matrices.items():
            self.by_shape.setdefault(tuple(matrix.shape), []).append(name)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        for (rows, columns), names in self.by_shape.items():
            updates = []
            for name in names:
                gradient, buffer = self.matrices[name].grad, self.buffers[name]
                if gradient is None:
                    raise RuntimeError(f"{name} has no gradient; call backward before step")
                buffer.lerp_(gradient, 1 - self.momentum)
                updates.append(gradient.lerp(buffer, self.momentum))  # Nesterov
            scale = max(1.0, rows / columns) ** 0.5
            for name, update in zip(names, orthogonal(torch.stack(updates)), strict=True):
                self.matrices[name].add_(update.to(torch.float32), alpha=-lr * scale)

    def state(self) -> dict[str, Tensor]:
        return {f"muon.{name}": buffer for name, buffer in self.buffers.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        for name, buffer in self.buffers.items():
            buffer.copy_(state[f"muon.{name}"])


def orthogonal(batch: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrix to each of a batch, roughly: singular values near 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = batch.to(torch.bfloat16)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    out: Tensor = x.mT if tall else x
    return out
