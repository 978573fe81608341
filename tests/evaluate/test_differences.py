"""One metric of two runs: its difference, its p, and when it is no verdict."""

from __future__ import annotations

import numpy as np
import pytest

from modiste.evaluate.differences import Kind, mean_difference, p_of
from modiste.evaluate.pairing import Column, Floats, Means
from modiste.evaluate.verdict import Verdict


def side(values: Floats) -> Means:
    missing = np.isnan(values)
    return Means(values, missing.astype(np.int64), np.ones(len(values), np.int64), float("nan"))


def column(a: list[float], b: list[float]) -> Column:
    return Column(side(np.array(a, float)), side(np.array(b, float)))


def test_the_p_agrees_with_the_interval_about_zero() -> None:
    rng = np.random.default_rng(0)
    agreed = 0
    for _ in range(200):
        a, b = rng.random(40), rng.random(40) + 0.12
        found = mean_difference(Kind("m", unit="points"), column(list(a), list(b)), clusters=None)
        assert found.estimate is not None
        assert found.p is not None
        outside = not found.estimate.ci.holds(0.0)
        assert outside == (found.p < 0.05)
        agreed += outside
    assert 0 < agreed < 200


def test_nothing_scored_in_both_is_insufficient_and_says_so() -> None:
    found = mean_difference(Kind("m"), column([1, np.nan], [np.nan, 0]), clusters=None)
    assert found.estimate is None
    assert found.p is None
    assert found.verdict is Verdict.INSUFFICIENT
    assert "no item has a score in both runs" in found.decision.sentence


@pytest.mark.parametrize(
    ("a", "b", "clusters", "says"),
    [
        ([0.3], [0.4], None, "one item shows no spread"),
        ([0.3, 0.5], [0.4, 0.7], [0, 0], "share one source"),
    ],
)
def test_what_shows_no_spread_has_no_interval(
    a: list[float], b: list[float], clusters: list[int] | None, says: str
) -> None:
    codes = None if clusters is None else np.array(clusters)
    found = mean_difference(Kind("m"), column(a, b), clusters=codes)
    assert says in found.decision.sentence


def test_a_part_counts_its_own_items_and_holes() -> None:
    mask = np.array([True, True, False, False])
    found = mean_difference(
        Kind("m"),
        column([0, 1, 0, 1], [1, np.nan, 1, 1]),
        clusters=None,
        part=("topic", "law"),
        mask=mask,
    )
    assert found.name == "m where topic = law"
    assert found.estimate is not None
    assert (found.estimate.n, found.n_unpaired) == (1, 1)
    assert found.candidate_unscored.share == 0.5


def test_no_spread_at_all_has_p_one() -> None:
    found = mean_difference(Kind("m", unit="points"), column([1, 1], [1, 1]), clusters=None)
    assert found.estimate is not None
    assert p_of(found.estimate) == 1.0
