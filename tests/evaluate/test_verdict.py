"""What a comparison allows to say, word for word."""

from dataclasses import replace

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.estimates import Estimate, Interval
from modiste.evaluate.stats.paired import paired_difference
from modiste.evaluate.verdict import Verdict, Wording, decide, told


def estimate(lo: float, hi: float, *, n: int = 812, n_unscored: int = 0) -> Estimate:
    """A difference with that 95 % interval."""
    ci = Interval(lo, hi, 0.95, "paired t")
    middle, se = (lo + hi) / 2, (hi - lo) / 2 / 1.959964
    return Estimate(
        value=middle, se=se, ci=ci, n=n, method="paired t", n_unscored=n_unscored, df=n - 1
    )


def test_a_difference_is_told_with_all_that_is_needed_to_believe_it() -> None:
    assert told(estimate(0.004, 0.058, n_unscored=3)) == (
        "B − A = +3.1 pp (95 % CI 0.4…5.8, paired, n=812, 3 unscored); MDE 3.9 pp"
    )


def test_clusters_and_notes_are_told_too() -> None:
    rng = np.random.default_rng(0)
    found = paired_difference(rng.normal(size=40), rng.normal(size=40), np.arange(40) // 4)
    assert "n=40, 10 clusters, few clusters (10 < 20)" in told(found)


@pytest.mark.parametrize(
    ("lo", "hi", "delta", "verdict"),
    [
        (0.01, 0.05, None, Verdict.BETTER),
        (-0.05, -0.01, None, Verdict.WORSE),
        (-0.01, 0.02, None, Verdict.INSUFFICIENT),
        (-0.01, 0.02, 0.03, Verdict.EQUIVALENT),
        (0.005, 0.02, 0.03, Verdict.EQUIVALENT),
        (-0.02, -0.005, 0.03, Verdict.EQUIVALENT),
        (0.005, 0.05, 0.03, Verdict.BETTER),
        (-0.01, 0.05, 0.03, Verdict.INSUFFICIENT),
        (0.0, 0.05, None, Verdict.INSUFFICIENT),
    ],
)
def test_the_interval_decides(lo: float, hi: float, delta: float | None, verdict: Verdict) -> None:
    decision = decide(estimate(lo, hi), delta=delta)
    assert decision.verdict is verdict
    assert f": {verdict}" in decision.sentence
    assert (decision.more_items == 0) is (verdict is not Verdict.INSUFFICIENT)


def test_where_lower_is_better_the_sides_change() -> None:
    assert decide(estimate(0.01, 0.05), higher_is_better=False).verdict is Verdict.WORSE
    assert decide(estimate(-0.05, -0.01), higher_is_better=False).verdict is Verdict.BETTER


def test_undecided_says_how_many_more_would_decide() -> None:
    """+1 ± 2 points of 800 items: (2.8016 · 2 / 1.96)² · 800 = 6,539 in all."""
    decision = decide(estimate(-0.01, 0.03, n=800))
    assert decision.more_items == pytest.approx(5739, abs=3)
    assert decision.sentence.endswith(
        "insufficient evidence; about 5,800 more items would decide if the difference stays as it "
        "is"
    )
    sooner = decide(estimate(-0.01, 0.03, n=800), delta=0.03)
    assert sooner.more_items == pytest.approx(6539 / 4 - 800, abs=3)
    assert "insufficient evidence at δ = 3 pp; about 840 more" in sooner.sentence


def test_where_nothing_was_seen_no_number_is_made_up() -> None:
    decision = decide(paired_difference([1, 0, 1, 0], [0, 1, 1, 0]))
    assert decision.verdict is Verdict.INSUFFICIENT
    assert decision.more_items is None
    assert "name the smallest difference that matters" in decision.sentence


def test_identical_answers_are_no_proof_until_there_are_enough() -> None:
    few = paired_difference([True] * 20, [True] * 20)
    many = paired_difference([True] * 400, [True] * 400)
    assert decide(few, delta=0.03).verdict is Verdict.INSUFFICIENT
    assert decide(many, delta=0.03).verdict is Verdict.EQUIVALENT
    no_scale = paired_difference([0.5, 0.7] * 9, [0.5, 0.7] * 9)
    assert decide(no_scale).verdict is Verdict.INSUFFICIENT


def test_names_and_units_are_the_readers() -> None:
    line = told(estimate(0.1, 0.5), Wording("tuned", "base", factor=1, unit="points"))
    assert line.startswith("tuned − base = +0.30 points (95 % CI 0.10…0.50, paired")


def test_small_differences_get_the_decimals_they_need() -> None:
    assert told(estimate(-0.00002, 0.00003)).startswith(
        "B − A = +0.0005 pp (95 % CI −0.0020…0.0030"
    )


def test_another_level_is_told_as_such() -> None:
    wide = replace(estimate(0.01, 0.05), ci=Interval(0.01, 0.05, 0.995, "paired t"))
    assert "99.5 % CI" in told(wide)


def test_a_delta_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="delta = 0"):
        decide(estimate(0, 1), delta=0)
