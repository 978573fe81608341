"""What a run changes in a model, whatever the method: one flat vector and its gradient.

The optimiser, the norm, a checkpoint and the sum over processes each touch one tensor. LoRA's
matrices (lora.py) and all weights of a model (full.py) are views into it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from torch import nn


class Learned(Protocol):
    flat: nn.Parameter
    """(P,) fp32; `flat.grad` is always there, and the parts' gradients lie inside it. Laid out by
    the base and the spec alone, so that it fits a second model made from the same."""

    n_decayed: int
    """Weight decay is for the first so many values: matrices, not lengths, norms and biases."""

    def zero_grad(self) -> None: ...

    def training(self, *at: int) -> AbstractContextManager[None]:
        """Forward and backward inside the block learn: dropout is on, drawn from the seed and `at`
        (step, process, batch) and nothing else. Outside, nothing is random."""
        ...

    def disabled(self) -> AbstractContextManager[None]:
        """The model as it was before learning, inside the block. Raises NotImplementedError where
        that is gone (full fine-tuning): measure the reference first."""
        ...

    def save(self, folder: Path, *, base: str) -> None:
        """Write what was learned, whole or not at all; `base` names what it was learned on.

        Raises:
            OSError: the folder cannot be written; what was there before is still there.
        """
        ...
