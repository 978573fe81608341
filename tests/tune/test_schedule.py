"""The learning rate of every step."""

from __future__ import annotations

import math

import pytest

from modiste.tune.schedule import learning_rate

from .conftest import spec_of


def test_the_learning_rate_warms_up_then_falls_like_half_a_cosine() -> None:
    spec = spec_of(learning_rate=1.0, warmup_ratio=0.1)
    rates = [learning_rate(spec, step, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5, abs=0.02)
    assert 0 < rates[-1] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(spec, 1, 1) == 1.0
    assert all(math.isfinite(learning_rate(spec_of(warmup_ratio=1.0), s, 5)) for s in range(1, 6))


@pytest.mark.parametrize(
    ("schedule", "middle", "last"), [("linear", 0.5, 1 / 90), ("constant", 1, 1)]
)
def test_other_schedules_warm_up_as_well(schedule: str, middle: float, last: float) -> None:
    spec = spec_of(learning_rate=1.0, warmup_ratio=0.1, lr_schedule=schedule)
    rates = [learning_rate(spec, step, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert rates[55] == pytest.approx(middle)
    assert rates[-1] == pytest.approx(last)


def test_a_linear_schedule_falls_by_the_same_amount_each_step_as_in_transformers() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    spec = spec_of(learning_rate=1.0, warmup_ratio=0.1, lr_schedule="linear")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = transformers.get_linear_schedule_with_warmup(optimizer, 10, 100)
    rates = []
    for _ in range(100):
        optimizer.step()
        rates.append(theirs.get_last_lr()[0])
        theirs.step()
    # They count from 0, so the first step of a warm-up learns nothing; ours are one step ahead.
    assert [learning_rate(spec, step, 100) for step in range(1, 10)] == pytest.approx(rates[1:10])
    assert [learning_rate(spec, step, 100) for step in range(11, 101)] == pytest.approx(rates[10:])
