"""Correlations against scipy's, and which judge follows the experts more closely."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from modiste.errors import InvalidInput
from modiste.evaluate.stats.correlation import (
    correlation_diff,
    fisher_interval,
    kendall_b,
    pearson,
    spearman,
    tie_calibrated_accuracy,
)

DATA = Path(os.environ.get("MODISTE_DATA", Path(__file__).parents[4] / "shared" / "data"))
D = [0.5, 1, -0.5, 0, 1, -1, 0, 0.5, 1, -1]
E = [1, 1, -1, 0, 1, -1, 1, 0, 0, -1]


def test_the_three_correlations_are_scipys() -> None:
    """scipy 1.17 `pearsonr`, `spearmanr`, `kendalltau`."""
    assert pearson(D, E).value == pytest.approx(0.7855087950824895)
    assert spearman(D, E).value == pytest.approx(0.7349043394794006)
    assert kendall_b(D, E).value == pytest.approx(0.6411188743387696)


def test_fishers_interval() -> None:
    """r = .5 of 100 items reaches .15 to either side."""
    ci = fisher_interval(0.5, 100)
    assert (ci.lo, ci.hi) == pytest.approx((0.33664330440909185, 0.6341398407485443))


def test_pearsons_interval_is_fishers() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 60))
    found = pearson(x, x + y)
    theirs = scipy_stats.pearsonr(x, x + y).confidence_interval()
    assert (found.ci.lo, found.ci.hi) == pytest.approx((theirs.low, theirs.high))


def test_tau_of_many_items_is_that_of_its_pairs() -> None:
    """Blocks of rows end in the middle of 700 items."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 20, 700), rng.integers(0, 20, 700)
    assert kendall_b(x, x + y).value == pytest.approx(scipy_stats.kendalltau(x, x + y).statistic)


def test_the_error_of_tau_is_the_one_of_drawing_again() -> None:
    """Heavily tied ranks; the jackknife's error, of which it is the limit, is within 5 %."""
    rng = np.random.default_rng(2)
    x = rng.integers(-1, 2, 120)
    y = np.clip(x + rng.integers(-1, 2, 120), -1, 1)
    without = [
        scipy_stats.kendalltau(np.delete(x, i), np.delete(y, i)).statistic for i in range(120)
    ]
    jackknife = np.sqrt(119 / 120 * ((without - np.mean(without)) ** 2).sum())
    assert kendall_b(x, y).se == pytest.approx(jackknife, rel=0.05)


def test_turning_one_side_around_turns_the_sign() -> None:
    x, y = np.random.default_rng(3).normal(size=(2, 40))
    for correlation in (pearson, spearman, kendall_b):
        forth, back = correlation(x, x + y), correlation(x, -x - y)
        assert back.value == pytest.approx(-forth.value)
        assert back.ci.lo == pytest.approx(-forth.ci.hi)


def test_a_perfect_order_of_few_items_is_not_certain() -> None:
    found = kendall_b(range(8), range(8))
    assert found.value == 1
    assert spearman(range(8), range(8)).value == pytest.approx(1)


@pytest.mark.parametrize("kind", ["pearson", "spearman", "kendall_b"])
def test_the_better_judge_is_told_from_the_worse_and_a_copy_is_not(kind: str) -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(size=150)
    good, bad = truth + 0.5 * rng.normal(size=150), truth + 2.0 * rng.normal(size=150)
    found = correlation_diff(good, bad, truth, kind=kind, n=400)  # type: ignore[arg-type]
    assert found.ci.lo > 0
    assert found.value == pytest.approx(found.first - found.second)
    swapped = correlation_diff(bad, good, truth, kind=kind, n=400)  # type: ignore[arg-type]
    assert swapped.value == pytest.approx(-found.value)
    copy = correlation_diff(good, good, truth, kind=kind, n=50)  # type: ignore[arg-type]
    assert (copy.ci.lo, copy.ci.hi) == (0, 0)


def test_draws_of_tau_from_one_table_are_those_of_each_sample() -> None:
    """12 % is 4 sigma of the errors of 400 draws each."""
    rng = np.random.default_rng(5)
    x1, x2, y = rng.integers(0, 4, (3, 80))
    fast = correlation_diff(x1 + y, x2, y, n=1_500)
    index = rng.integers(0, 80, (400, 80))
    slow = [
        scipy_stats.kendalltau((x1 + y)[at], y[at]).statistic
        - scipy_stats.kendalltau(x2[at], y[at]).statistic
        for at in index
    ]
    assert fast.se == pytest.approx(np.std(slow), rel=0.16)
    assert fast.value == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / 20)


def test_what_counts_as_a_tie_is_learned_on_one_half_and_measured_on_the_other() -> None:
    """The judge is never exactly 0; experts tie where it is below .3."""
    d = np.array([0.1, 0.25, -0.2, 0.9, -0.8, 0.5, -0.1, 0.2, -0.7, 0.6])
    e = np.array([0, 0, 0, 1, -1, 1, 0, 0, -1, -1])
    dev = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    found = tie_calibrated_accuracy(d, e, dev)
    assert found.eps == 0.25
    assert found.acc_dev == 1
    assert found.acc_test == 0.75
    assert (found.n_dev, found.n) == (6, 4)
    assert tie_calibrated_accuracy(-d, -e, dev) == found


def test_what_cannot_correlate_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"y is 1\.0 for all"):
        pearson([1, 2, 3, 4], [1, 1, 1, 1])
    with pytest.raises(InvalidInput, match="x has 3 items, at least 4"):
        kendall_b([1, 2, 3], [1, 2, 3])
    with pytest.raises(InvalidInput, match="n = 3"):
        fisher_interval(0.5, 3)
    with pytest.raises(InvalidInput, match="marks 2 of 2"):
        tie_calibrated_accuracy([1, 2], [1, 1], [1, 1])


@pytest.mark.skipif(not (DATA / "i_pandalm").is_dir(), reason=f"no i_pandalm in {DATA}")
def test_published_agreement_of_people_and_a_judge() -> None:
    """PandaLM's test set: pairs of three people agree on .920, GPT-3.5 with their majority on .698.

    The figures are of the data's own README; corrected with 100 of the labels, the judge's mean has
    intervals of .156 where the labels alone give .188.
    """
    from modiste.evaluate.stats.agreement import fleiss_kappa
    from modiste.evaluate.stats.corrected import ppi_plus_plus

    folder = DATA / "i_pandalm"
    with gzip.open(folder / "testset_v1.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    votes = np.array([[row[f"annotator{at}"] for at in (1, 2, 3)] for row in rows])
    counts = np.stack([(votes == label).sum(axis=1) for label in (0, 1, 2)], axis=1)
    assert fleiss_kappa(counts).raw == pytest.approx(0.920, abs=5e-4)
    lines_of_judge = (folder / "gpt35_judgements.jsonl").read_text().splitlines()
    said = np.array([{"1": 1, "2": 2, "Tie": 0}.get(json.loads(line)["gpt_result"], -1)
                     for line in lines_of_judge])  # fmt: skip
    majority = counts.argmax(axis=1)
    assert (said == majority).mean() == pytest.approx(0.698, abs=5e-4)
    worth = np.array([0.5, 1.0, 0.0, 0.5])  # a tie, 1, 2, and an answer nobody could read
    people, judge = worth[majority], worth[said]
    rng = np.random.default_rng(0)
    widths = []
    for _ in range(200):
        order = rng.permutation(len(people))
        some, rest = order[:100], order[100:]
        found = ppi_plus_plus(people[some], judge[some], judge[rest])
        widths.append((found.ci.width, found.human_only.ci.width))
    assert np.mean(widths, axis=0) == pytest.approx([0.156, 0.188], abs=0.003)
