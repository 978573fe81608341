"""Several batches at once, and the same bits as one after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from modiste.nn.fused import fuse
from modiste.nn.lanes import here
from modiste.nn.loading import load_base
from modiste.nn.lora import attach
from modiste.nn.recompute import recompute_blocks
from modiste.tune.lanes import Lanes
from modiste.tune.loss import Scorer, probe


@pytest.fixture
def flat() -> nn.Parameter:
    flat = nn.Parameter(torch.ones(4))
    flat.grad = torch.zeros(4)
    return flat


class Meeting:
    """Tells how many computed at the same time, and lets each wait for a second one."""

    def __init__(self) -> None:
        self.here = self.most = 0
        self._lock = threading.Condition()

    def __call__(self, *, wait_for: int = 1) -> None:
        with self._lock:
            self.here += 1
            self.most = max(self.most, self.here)
            self._lock.notify_all()
            met = self._lock.wait_for(lambda: self.most >= wait_for, timeout=10)
            assert met, "nobody else came"
        with self._lock:
            self.here -= 1


def learned(
    n: int, base: Path, *, checkpointing: bool, **changes: Any
) -> tuple[list[float], torch.Tensor]:
    """Losses of five batches, and the gradient they leave."""
    model = load_base(base, dtype=torch.float32).model
    scorer = Scorer.of(model)
    adapters = attach(model, rank=4, scaling=1.5, **changes)
    noise = torch.randn(adapters.flat.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        adapters.flat.add_(noise * 0.05)
    fuse(model)
    if checkpointing:
        recompute_blocks(model, learned=adapters.flat)
    batch = probe(model)

    def learn(number: int, weight: float) -> float:
        with adapters.training(number):
            loss = scorer.loss(batch) * weight
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    torch.set_num_threads(1)
    lanes = Lanes[float](n, adapters.flat, threads=n)
    losses = list(lanes.each([1.0, 0.3, 7.0, 0.1, 2.0], learn))
    lanes.close()
    torch.set_num_threads(1)
    assert adapters.flat.grad is not None
    return losses, adapters.flat.grad


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mistral", {}),
        ("mistral", {"dropout": 0.3}),
        ("mistral", {"dora": True}),
        ("mistral", {"dora": True, "dropout": 0.3}),
        ("mixtral", {}),
        ("mixtral", {"dropout": 0.3}),
        ("gemma", {}),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_has_the_same_bits_with_any_number_of_lanes(
    random_base: Callable[..., Path], family: str, changes: dict[str, Any], checkpointing: bool
) -> None:
    base = random_base(family)
    found = [learned(n, base, checkpointing=checkpointing, **changes) for n in (1, 2, 3)]
    for losses, gradient in found[1:]:
        assert losses == found[0][0]
        assert torch.equal(gradient, found[0][1])
    assert float(found[0][1].abs().max()) > 0


def test_results_come_in_order_from_lanes_that_compute_at_the_same_time(
    flat: nn.Parameter,
) -> None:
    meet, lanes = Meeting(), Lanes[int](2, flat, threads=2)

    def compute(number: int, item: int) -> tuple[int, int, int]:
        meet(wait_for=2)
        return number, item, torch.get_num_threads()

    assert list(lanes.each(range(10, 15), compute)) == [(n, 10 + n, 1) for n in range(5)]
    lanes.close()
    assert meet.most == 2
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_what_fills_the_room_is_computed_alone_on_all_threads(flat: nn.Parameter) -> None:
    meet, most, threads = Meeting(), {}, {}
    lanes = Lanes[int](2, flat, threads=2, alone=lambda item: item < 0)

    def compute(number: int, item: int) -> None:
        meet.most = meet.here
        meet()
        most[item], threads[item] = meet.most, torch.get_num_threads()

    deque(lanes.each([1, 2, -1, 3, -2, -3], compute), maxlen=0)
    lanes.close()
    torch.set_num_threads(1)
    assert [most[n] for n in (-1, -2, -3)] == [1, 1, 1]
    assert threads == {1: 1, 2: 1, 3: 1, -1: 2, -2: 2, -3: 2}


def test_an_error_of_one_batch_is_the_step_s_and_leaves_nobody_waiting(flat: nn.Parameter) -> None:
    lanes = Lanes[int](2, flat, threads=2)

    def compute(number: int, item: int) -> int:
        if number == 1:
            raise MemoryError("no room")
        here(flat).sum().backward()  # type: ignore[no-untyped-call]
        return item

    with pytest.raises(MemoryError, match="no room"):
        list(lanes.each(range(6), compute))
    flat.grad.zero_()  # type: ignore[union-attr]
    assert list(lanes.each([5], lambda number, item: item)) == [5], "they go on working"
    lanes.close()
    assert flat.grad.tolist() == [0, 0, 0, 0]  # type: ignore[union-attr]


def test_who_leaves_early_waits_for_what_has_begun_and_begins_nothing_more(
    flat: nn.Parameter,
) -> None:
    began: list[int] = []
    ended: list[int] = []

    def compute(number: int, item: int) -> int:
        began.append(number)
        here(flat).sum().backward()  # type: ignore[no-untyped-call]
        ended.append(number)
        return number

    lanes = Lanes[int](2, flat, threads=2)
    results = lanes.each(range(50), compute)
    assert next(results) == 0
    results.close()
    assert sorted(began) == sorted(ended)
    assert len(began) <= 4
    lanes.close()
