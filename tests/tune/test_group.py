"""How the samples of a step are shared out, and what a process alone says to itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from modiste.errors import TuningFailed
from modiste.tune.group import Alone, Round, check_same_run, rounds, shares


class Lockstep(Alone):
    """One of several that must compute equally often; the busiest of them has `most` batches."""

    lockstep = True

    def __init__(self, most: int) -> None:
        self.most = most

    def everyones(self, answer: Any) -> list[Any]:
        return [answer, self.most]


class Second(Alone):
    """The second of two processes, the first of which says `first`."""

    rank, size, speaks = 1, 2, False

    def __init__(self, first: Any) -> None:
        self.first = first

    def agree(self, answer: Any) -> Any:
        return self.first


def test_every_item_goes_to_exactly_one_process_in_order() -> None:
    sizes = [random.Random(0).randint(1, 1000) for _ in range(57)]
    for n in (1, 2, 3, 8):
        places = shares(sizes, n)
        assert len(places) == n
        assert sorted(place for of_one in places for place in of_one) == list(range(57))
        assert all(of_one == sorted(of_one) for of_one in places)


def test_no_process_has_more_tokens_than_its_fair_share_and_one_sample() -> None:
    """Graham's bound for greedy sharing; 200 random steps with a long tail of lengths."""
    chosen = random.Random(1)
    for _ in range(200):
        n = chosen.randint(2, 9)
        sizes = [int(chosen.paretovariate(1.2) * 40) for _ in range(chosen.randint(1, 60))]
        loads = [sum(sizes[place] for place in of_one) for of_one in shares(sizes, n)]
        assert max(loads) <= sum(sizes) / n + max(sizes)


def test_short_chats_are_shared_evenly() -> None:
    sizes = [random.Random(2).randint(20, 400) for _ in range(64)]
    for n in (2, 4):
        loads = [sum(sizes[place] for place in of_one) for of_one in shares(sizes, n)]
        assert max(loads) / min(loads) < 1.05


def test_more_processes_than_samples_leave_some_without_any() -> None:
    assert shares([5, 7], 4) == [[1], [0], [], []]


def test_equal_sizes_are_dealt_in_turn() -> None:
    assert shares([3] * 6, 3) == [[0, 3], [1, 4], [2, 5]]


def test_a_process_alone_has_everything_and_agrees_with_itself() -> None:
    alone = Alone()
    gradient = torch.ones(3)
    alone.sum_(gradient)
    assert gradient.tolist() == [1, 1, 1]
    assert alone.share("abc", [1, 2, 3]) == "abc"
    assert alone.total(1.5, 2.0) == (1.5, 2.0)
    assert alone.agree("pause") == "pause"
    assert alone.everyones(4) == [4]
    assert alone.speaks


def test_batches_of_processes_that_need_not_wait_come_as_they_are_made() -> None:
    made: list[int] = []

    def batches() -> Any:
        for n in range(3):
            made.append(n)
            yield n

    found = rounds(Alone(), batches(), idle=lambda: iter([]))
    assert next(found) == Round(0, True)
    assert made == [0]
    assert list(found) == [(1, True), (2, True)]


@pytest.mark.parametrize(("mine", "most"), [(2, 4), (0, 3), (3, 3)])
def test_in_lockstep_the_missing_rounds_are_filled_up_and_do_not_count(
    mine: int, most: int
) -> None:
    found = list(rounds(Lockstep(most), iter(range(mine)), idle=lambda: iter(["idle"])))
    assert [batch for batch, counts in found if counts] == list(range(mine))
    assert [batch for batch, counts in found if not counts] == ["idle"] * (most - mine)


def test_processes_that_see_other_data_or_another_checkpoint_are_refused() -> None:
    check_same_run(Second(("run", 4)), "run", step=4)
    with pytest.raises(TuningFailed, match="process 1 of 2 sees another base, other data"):
        check_same_run(Second(("other", 4)), "run", step=4)
    with pytest.raises(TuningFailed, match="step 2, process 0 that of step 4") as raised:
        check_same_run(Second(("run", 4)), "run", step=2)
    assert raised.value.error_code == "processes_differ"
    assert "must be shared by all machines" in raised.value.message
