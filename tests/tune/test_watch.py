"""Words about losses that go wrong, and none about those that only scatter."""

from __future__ import annotations

import random

import pytest

from modiste.tune.events import Warned
from modiste.tune.watch import LossWatch, Suspect, not_finite


def watched(losses: list[float]) -> list[Warned]:
    watch = LossWatch(1e-4, keeps_best=False)
    return [w for step, loss in enumerate(losses, 1) if (w := watch.step(step, loss)) is not None]


def test_a_jump_is_told_with_its_step_and_not_again_at_once() -> None:
    losses = [2.0 + 0.05 * (i % 3) for i in range(30)]
    losses[20] = losses[22] = 9.0
    (found,) = watched(losses)
    assert (found.step, found.code) == (21, "loss_spike")
    assert "jumped to 9.000 from about 2.05" in found.message


@pytest.mark.parametrize("seed", range(20))
def test_noise_and_falling_losses_are_no_news(seed: int) -> None:
    """Steps of few samples scatter by a third; 20 seeds of 300 steps, none may alarm."""
    noise = random.Random(seed)
    losses = [(0.5 + 3.0 * 0.98**i) * noise.lognormvariate(0, 0.15) for i in range(300)]
    assert watched(losses) == []


def test_a_loss_that_rises_for_good_is_told_once() -> None:
    found = watched([2.0 - 0.01 * i for i in range(40)] + [1.6 + 0.03 * i for i in range(60)])
    assert [w.code for w in found] == ["diverging"]
    assert "lower learning_rate (it is 0.0001)" in found[0].message


def test_three_evaluations_above_the_best_are_overfitting() -> None:
    watch = LossWatch(1e-4, keeps_best=True)
    said = [watch.evaluation(i, loss) for i, loss in enumerate([2.0, 1.5, 1.6, 1.7, 1.8, 1.9])]
    assert [w.step for w in said if w] == [4]
    assert said[4] is not None
    assert "best weights are kept" in said[4].message


def test_many_broken_rows_are_counted_and_the_first_named() -> None:
    rows = [Suspect(f"a.jsonl line {i}", float("nan")) for i in range(8)]
    values = {"loss": float("nan"), "norm": 1.0, "rate": 1e-3, "asked_rate": 1e-2}
    said = not_finite(step=3, suspects=rows, **values).message
    assert "8 rows alone give no number: a.jsonl line 0," in said
    assert "and 3 more" in said
    assert "every row of the step" in not_finite(step=3, suspects=[], **values).message
