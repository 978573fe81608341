"""All weights of a model learn: full fine-tuning, for small models.

Every parameter becomes a view into one flat fp32 vector with one flat gradient, matrices before
vectors, as norms and biases are not decayed. Tied embeddings are one part and get the gradients of
both uses. What comes out is a whole model folder in Hugging Face layout, weights in fp32 as they
were trained, with the base's tokenizer beside them.
"""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from modiste.nn.flat import Flat
from modiste.nn.merge import BESIDE, copy_beside


class FullWeights:
    """`flat` (P,) is the model."""

    def __init__(self, model: PreTrainedModel, flat: Flat, n_decayed: int, base_path: Path) -> None:
        self.model, self.base_path = model, base_path
        self.flat = flat.parameter
        self.n_decayed = n_decayed

    def zero_grad(self) -> None:
        cast(Tensor, self.flat.grad).zero_()

    def training(self, *at: int) -> AbstractContextManager[None]:
        return nullcontext()

    def disabled(self) -> AbstractContextManager[None]:
        raise NotImplementedError("full fine-tuning keeps no copy of the base to go back to")

    def save(self, folder: Path, *, base: str) -> None:
        """A model folder; one that is there is replaced whole."""
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        copy_beside(self.base_path, partial, BESIDE)
        self.model.save_pretrained(partial)
        for file in partial.iterdir():
            _sync(file)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


def unfreeze(model: PreTrainedModel, *, base_path: Path) -> FullWeights:
    """Make everything in `model`, which must be in fp32, learn in place."""
    parameters = list(model.parameters())  # a tied one once
    parameters.sort(key=lambda p: p.ndim < 2)  # stable: matrices first, each kind in model order
    flat = Flat(sum(p.numel() for p in parameters), device=parameters[0].device)
    for parameter in parameters:
        part = flat.take(*parameter.shape)
        with torch.no_grad():
            part.copy_(parameter)
        parameter.data = part.data
        parameter.requires_grad_(True)
        parameter.grad = part.grad
    n_decayed = sum(p.numel() for p in parameters if p.ndim >= 2)
    return FullWeights(model, flat, n_decayed, base_path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
