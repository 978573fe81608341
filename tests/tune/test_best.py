"""What the best evaluation decides, and where its weights are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modiste.errors import TuningFailed
from modiste.tune import best
from modiste.tune.resume import Counters

from .conftest import spec_of


def after(losses: list[float], **asked: object) -> Counters:
    counters = Counters()
    for step, loss in enumerate(losses, 1):
        counters = best.judged(replace(counters, step=step), spec_of(**asked), loss)
    return counters


def test_the_lowest_loss_is_the_best_and_the_first_of_equals() -> None:
    found = after([3.0, 2.0, 2.0, 2.5])
    assert (found.best_step, found.best_loss, found.stopped_early) == (2, 2.0, False)


def test_patience_counts_evaluations_without_enough_progress() -> None:
    assert after([3.0, 3.1], early_stopping_patience=2).stopped_early is False
    assert after([3.0, 3.1, 3.2], early_stopping_patience=2).stopped_early is True
    little = after([3.0, 2.95, 2.92], early_stopping_patience=2, early_stopping_min_delta=0.1)
    assert (little.stopped_early, little.best_step) == (True, 3)


def test_a_loss_that_is_no_number_is_never_the_best() -> None:
    found = after([3.0, float("nan"), 2.0])
    assert (found.best_step, found.best_loss) == (3, 2.0)


def test_weights_come_back_by_step_and_go_when_nobody_speaks_of_them(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        best.keep(tmp_path, step, torch.full((3,), float(step)))
    best.forget(tmp_path, but=[5, None, 15])
    weights = torch.zeros(3)
    best.put_back(tmp_path, 5, weights)
    assert weights.tolist() == [5.0, 5.0, 5.0]
    with pytest.raises(TuningFailed, match="step 10, cannot be read"):
        best.put_back(tmp_path, 10, weights)
