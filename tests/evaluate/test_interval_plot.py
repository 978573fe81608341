"""Intervals drawn: where things lie, and what is said to those who cannot see them."""

from __future__ import annotations

import re

import pytest

from modiste.evaluate.interval_plot import Axis, axis_labels, interval, wins_bar


def test_an_axis_holds_every_end_and_what_it_goes_through() -> None:
    axis = Axis.around([2.0, 5.0], through=(0.0,))
    assert 0 < axis.at(0.0) < axis.at(2.0) < axis.at(5.0) < 1000
    assert Axis.around([3.0]).lo < 3.0 < Axis.around([3.0]).hi
    assert Axis.around([]).hi > 0


@pytest.mark.parametrize(("lo", "hi"), [(0, 1), (-0.07, 0.013), (12, 9_000), (-3e-6, 2e-6)])
def test_ticks_are_round_few_and_inside(lo: float, hi: float) -> None:
    ticks = Axis(lo, hi).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(lo <= tick <= hi + 1e-12 for tick in ticks)
    assert all(len(f"{tick:.10g}".lstrip("-0.").replace(".", "")) <= 6 for tick in ticks)


def test_an_interval_is_drawn_from_end_to_end_and_said() -> None:
    drawn = interval(Axis(0, 1), 0.5, 0.25, 0.75, said='50 % <b>"x"', kind="good", marks=(0.0, 2.0))
    assert 'x1="250.0" x2="750.0"' in drawn
    assert 'x1="500.0" x2="500.0"' in drawn
    assert drawn.count('class="mark"') == 1
    assert "&lt;b&gt;" in drawn
    assert "<b>" not in drawn


def test_what_lies_outside_is_held_at_the_edge() -> None:
    assert 'x1="0.0" x2="1000.0"' in interval(Axis(0, 1), 0.5, -4, 9, said="wide")


def test_labels_stand_in_the_readers_unit() -> None:
    assert re.findall(r">([^<]+)</span>", axis_labels(Axis(-0.1, 0.1), factor=100)) == [
        "−10", "−5", "0", "5", "10",
    ]  # fmt: skip


def test_a_bar_of_wins_says_its_counts_even_where_there_are_none() -> None:
    assert "3 won, 1 tied, 0 lost" in wins_bar(3, 1, 0)
    assert "width:75.00%" in wins_bar(3, 1, 0)
    assert "width:0.00%" in wins_bar(0, 0, 0)
