"""Curves and areas by hand and against brute force."""

import math

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.ranking import auprc, auroc, pr_curve, roc_curve, threshold_at_fpr

# The example of scikit-learn's documentation of roc_curve and average_precision_score.
SCORE = [0.1, 0.4, 0.35, 0.8]
Y = [0, 0, 1, 1]


def test_the_documented_example() -> None:
    roc = roc_curve(SCORE, Y)
    assert roc.x.tolist() == [0, 0, 0.5, 0.5, 1]
    assert roc.y.tolist() == [0, 0.5, 0.5, 1, 1]
    assert roc.thresholds.tolist() == [math.inf, 0.8, 0.4, 0.35, 0.1]
    assert auroc(SCORE, Y).value == 0.75
    assert auprc(SCORE, Y).value == pytest.approx(0.8333333333333333)
    curve = pr_curve(SCORE, Y)
    assert curve.y.tolist() == pytest.approx([1, 0.5, 2 / 3, 0.5])
    assert curve.x.tolist() == [0.5, 0.5, 1, 1]


def test_the_area_is_how_often_a_positive_is_above_a_negative() -> None:
    rng = np.random.default_rng(0)
    score, y = rng.integers(0, 6, 80), rng.integers(0, 2, 80)
    above = score[y == 1][:, None] - score[y == 0][None]
    expected = (above > 0).mean() + (above == 0).mean() / 2
    assert auroc(score, y).value == pytest.approx(expected)
    roc = roc_curve(score, y)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(expected)


def test_delongs_variance_is_the_one_of_its_formula() -> None:
    rng = np.random.default_rng(1)
    score, y = rng.normal(size=50), rng.integers(0, 2, 50)
    above = score[y == 1][:, None] - score[y == 0][None]
    placed = (above > 0) + 0.5 * (above == 0)
    by_positive, by_negative = placed.mean(axis=1), placed.mean(axis=0)
    variance = by_positive.var(ddof=1) / len(by_positive) + by_negative.var(ddof=1) / len(
        by_negative
    )
    assert auroc(score, y).se == pytest.approx(variance**0.5)


def test_items_of_one_score_are_never_told_apart() -> None:
    found = auprc([1, 1, 1, 1], [0, 1, 0, 1])
    assert found.value == 0.5
    assert auroc([1, 1, 1, 1], [0, 1, 0, 1]).value == 0.5


def test_a_perfect_ranking_of_few_items_is_not_certain() -> None:
    found = auroc([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1])
    assert found.value == 1
    assert found.ci.lo < 0.5


def test_a_threshold_keeps_false_alarms_below_what_was_asked() -> None:
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], [1000, 50])
    score = rng.normal(size=1050) + 2 * y
    found = threshold_at_fpr(score, y, 0.01)
    assert (score[y == 0] >= found.threshold).sum() == 10
    assert found.fpr == 0.01
    assert found.tpr == pytest.approx((score[y == 1] >= found.threshold).mean())
    assert found.tpr_ci.holds(found.tpr)
    assert threshold_at_fpr([3, 1, 2], [0, 1, 1], 0.0).threshold == math.inf


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 of 2 items are positive"):
        auroc([1, 2], [0, 0])
    with pytest.raises(InvalidInput, match="more than 0 and 1"):
        auprc([1, 2], [0, 2])
    with pytest.raises(InvalidInput, match="fpr = 5"):
        threshold_at_fpr([1, 2], [0, 1], 5)
