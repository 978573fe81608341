"""Shares and means against published numbers, and what must hold of any of them.

Numbers were printed by scipy 1.17 (`binomtest(k, n).proportion_ci`) and statsmodels 0.15
(`OLS(...).fit(cov_type="cluster")`), in full.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from modiste.errors import InvalidInput
from modiste.evaluate.stats.estimates import (
    Interval,
    clopper_pearson,
    mean_estimate,
    mean_of_attempts,
    wilson,
)

WILSON = {
    (0, 10): (0.0, 0.27753279986288926),
    (10, 10): (0.7224672001371106, 1.0),
    (1, 20): (0.008881448800795402, 0.2361311934467421),
    (38, 50): (0.6258731624205707, 0.8570260860300827),
    (38, 41): (0.8057255146228096, 0.9748021693660901),
    (27, 30): (0.7437891742081592, 0.9654001112526659),
}
CLOPPER = {
    (0, 10): (0.0, 0.30849710781876083),
    (10, 10): (0.6915028921812392, 1.0),
    (1, 20): (0.0012650894979498038, 0.24873276277202783),
    (38, 50): (0.6183092518959619, 0.8693900838025427),
    (38, 41): (0.8007540216233371, 0.9846485284665834),
    (27, 30): (0.7347115495257919, 0.9788828629702774),
}
SCORES = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
CLUSTERS = [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]


def ends(interval: Interval) -> tuple[float, float]:
    return interval.lo, interval.hi


@pytest.mark.parametrize(("k", "n"), WILSON)
def test_wilson_gives_the_reference_interval(k: int, n: int) -> None:
    assert ends(wilson(k, n)) == pytest.approx(WILSON[k, n], abs=1e-12)


@pytest.mark.parametrize(("k", "n"), CLOPPER)
def test_clopper_and_pearson_give_the_reference_interval(k: int, n: int) -> None:
    assert ends(clopper_pearson(k, n)) == pytest.approx(CLOPPER[k, n], abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 500), data=st.data(), level=st.floats(0.5, 0.999))
def test_shares_stay_between_0_and_1_and_hold_what_was_seen(
    n: int, data: st.DataObject, level: float
) -> None:
    k = data.draw(st.integers(0, n))
    for interval in (wilson(k, n, level=level), clopper_pearson(k, n, level=level)):
        assert 0 <= interval.lo <= k / n <= interval.hi <= 1


def test_a_mean_of_independent_scores_has_the_textbook_error() -> None:
    assert mean_estimate(SCORES).se == pytest.approx(0.16329931618554522, abs=1e-15)
    graded = mean_estimate([0.1, 0.4, 0.7, 0.8], scale=(0, 1))
    assert graded.value == pytest.approx(0.5)
    unclipped = mean_estimate([0.1, 0.4, 0.7, 0.8])
    theirs = scipy_stats.ttest_1samp([0.1, 0.4, 0.7, 0.8], 0).confidence_interval()
    assert ends(unclipped.ci) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ends(graded.ci) == (0.0, 1.0)


def test_right_or_wrong_items_get_wilsons_interval() -> None:
    found = mean_estimate([1] * 38 + [0] * 12)
    assert found.method == "Wilson"
    assert ends(found.ci) == pytest.approx(WILSON[38, 50], abs=1e-12)


def test_a_clustered_mean_has_the_reference_error_and_is_clipped_to_the_scale() -> None:
    found = mean_estimate(SCORES, CLUSTERS)
    assert found.value == pytest.approx(0.6)
    assert found.se == pytest.approx(0.1346600658448277, abs=1e-15)
    # t of 3 degrees: 0.1715 to 1.0285, of which no share can be above 1.
    assert ends(found.ci) == pytest.approx((0.17145157098286723, 1.0), abs=1e-12)
    wide = mean_estimate(SCORES, CLUSTERS, scale=(0, 2))
    assert wide.ci.hi == pytest.approx(1.0285484290171327, abs=1e-12)
    assert (found.n, found.n_clusters, found.df) == (10, 4, 3)
    assert "few clusters (4 < 20)" in found.notes[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_items_and_the_names_of_clusters_do_not_matter(
    scores: list[float], random: object
) -> None:
    clusters = [i % 3 for i in range(len(scores))]
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = mean_estimate(
        [scores[i] for i in order], [f"doc {clusters[i]}" for i in order], scale=(0, 1)
    )
    straight = mean_estimate(scores, clusters, scale=(0, 1))
    assert shuffled.value == pytest.approx(straight.value)
    assert shuffled.se == pytest.approx(straight.se, abs=1e-9)


def test_items_listed_twice_halve_the_naive_variance_and_leave_the_clustered_one() -> None:
    rng = np.random.default_rng(0)
    once = rng.normal(size=50)
    twice = np.repeat(once, 2)
    naive, doubled = mean_estimate(once), mean_estimate(twice)
    assert doubled.se**2 == pytest.approx(naive.se**2 / 2 * (2 * 49 / 99))
    clustered = mean_estimate(twice, np.repeat(np.arange(50), 2))
    assert clustered.se == pytest.approx(naive.se)


def test_clusters_of_one_item_are_no_clusters() -> None:
    scores = np.random.default_rng(1).normal(size=40)
    assert mean_estimate(scores, range(40)).se == pytest.approx(mean_estimate(scores).se)


def test_items_that_all_agree_leave_the_doubt_of_their_number() -> None:
    """At most 1 − 0.025^(1/60) = 6 % of such items are otherwise (Clopper and Pearson, 0 of 60)."""
    same = mean_estimate([0.5] * 60, scale=(0, 1))
    assert ends(same.ci) == pytest.approx((0.5 - 0.0596, 0.5 + 0.0596), abs=1e-4)
    clustered = mean_estimate([1] * 60, [i % 20 for i in range(60)])
    assert clustered.ci.lo == pytest.approx(1 - 0.1684, abs=1e-4)
    assert "the interval is a point" in mean_estimate([0.5] * 60).notes[0]


def test_attempts_tell_variance_between_items_from_variance_within() -> None:
    """Three items with true means 0, .5 and 1, the middle one a coin: by hand."""
    found = mean_of_attempts([[0, 0], [0, 1], [1, 1]])
    assert found.value == 0.5
    assert found.within == pytest.approx(1 / 6)
    assert found.between == pytest.approx(0.25 - (1 / 6) / 2)
    assert found.per_attempt == pytest.approx((1 / 3, 2 / 3))
    assert (found.n, found.k) == (3, 2)
    assert found.se == pytest.approx(mean_estimate([0, 0.5, 1]).se)


def test_more_attempts_do_not_shrink_the_part_between_items() -> None:
    """150 questions of which the model always knows half: the error stays near 4.1 points."""
    known = np.repeat([0.0, 1.0], 75)
    for k in (1, 3, 30):
        found = mean_of_attempts(np.tile(known[:, None], (1, k)))
        assert found.se == pytest.approx(0.041, abs=0.0005)


def test_what_is_no_sample_is_refused() -> None:
    with pytest.raises(InvalidInput, match="k = 3 of n = 2"):
        wilson(3, 2)
    with pytest.raises(InvalidInput, match="level = 95"):
        wilson(1, 2, level=95)
    with pytest.raises(InvalidInput, match="1 item"):
        mean_estimate([0.3])
    with pytest.raises(InvalidInput, match="one cluster"):
        mean_estimate([0.3, 0.4], ["a", "a"])
    with pytest.raises(InvalidInput, match=r"s\[1\] is 3.0, off the scale"):
        mean_estimate([0.3, 3.0], scale=(0, 1))
    with pytest.raises(InvalidInput, match="clusters has 1"):
        mean_estimate([0.3, 0.4], ["a"])


def test_one_right_answer_is_hardly_anything() -> None:
    assert mean_estimate([1]).ci.lo == pytest.approx(wilson(1, 1).lo)
    assert math.isfinite(mean_estimate([1]).se)
