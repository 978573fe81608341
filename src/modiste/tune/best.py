"""The best evaluation so far: whether it is time to stop, and the weights it was made with.

What is decided is in the counters and a pure function of the losses; the weights lie in files named
after their step. A file is written before the counters speak of it and goes only when no checkpoint
does any more, so a run that is killed anywhere finds the best of the checkpoint it continues from.
The base's own loss, before the first step, is no candidate: a model that learned nothing is none.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from modiste.errors import TuningFailed
from modiste.tune.resume import Counters, cannot_write, write_synced
from modiste.tune.spec import TuneSpec

PREFIX = "best-"


def keeps_best(spec: TuneSpec) -> bool:
    """Early stopping keeps the best weights as well: those behind it are known to be worse."""
    return spec.keep == "best" or spec.early_stopping_patience is not None


def judged(counters: Counters, spec: TuneSpec, loss: float) -> Counters:
    """After an evaluation at `counters.step`: the best so far, and whether the run goes on."""
    enough = counters.best_loss is None or loss < counters.best_loss - spec.early_stopping_min_delta
    better = counters.best_loss is None or loss < counters.best_loss
    without = 0 if enough else counters.evaluations_without_better + 1
    patience = spec.early_stopping_patience
    return replace(
        counters,
        best_loss=loss if better else counters.best_loss,
        best_step=counters.step if better else counters.best_step,
        evaluations_without_better=without,
        stopped_early=patience is not None and without >= patience,
    )


def keep(folder: Path, step: int, weights: Tensor) -> None:
    """Raises TuningFailed: no space left, or the folder cannot be written."""
    final = folder / f"{PREFIX}{step:08d}.safetensors"
    partial = final.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_synced(partial, save({"weights": weights.detach().cpu().contiguous()}))
        partial.replace(final)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise cannot_write(error, f"the best weights, of step {step},", folder) from error


def put_back(folder: Path, step: int, weights: Tensor) -> None:
    """Raises TuningFailed: the file of that step is gone or damaged."""
    path = folder / f"{PREFIX}{step:08d}.safetensors"
    try:
        found = load(path.read_bytes())["weights"]
        with torch.no_grad():
            weights.copy_(found)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise TuningFailed(
            f"the best weights, of step {step}, cannot be read from {path}: {error}; start a new "
            "job, or one with keep: last",
            code="best_unreadable",
        ) from error


def forget(folder: Path, *, but: Collection[int | None]) -> None:
    """Remove the weights of all other steps."""
    if not folder.is_dir():
        return
    kept = {f"{PREFIX}{step:08d}.safetensors" for step in but if step is not None}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Once the result is written."""
    shutil.rmtree(folder, ignore_errors=True)
