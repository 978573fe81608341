"""Differences of two models on the same items, and the tests of them."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from modiste.errors import InvalidInput
from modiste.evaluate.stats.paired import (
    mcnemar,
    noninferiority,
    paired_difference,
    permutation_paired,
    sign_test,
)


def outcomes(both: int, a_only: int, b_only: int, neither: int) -> tuple[list[bool], list[bool]]:
    a = [True] * both + [True] * a_only + [False] * b_only + [False] * neither
    b = [True] * both + [False] * a_only + [True] * b_only + [False] * neither
    return a, b


def test_the_interval_of_right_or_wrong_is_the_one_its_authors_published() -> None:
    """D. Bonett's R function CIpropWS(.05, 26, 4, 40) prints 0.3126438 0.7349752."""
    found = paired_difference(*outcomes(both=6, a_only=26, b_only=4, neither=4))
    assert (found.ci.lo, found.ci.hi) == pytest.approx((0.3126438, 0.7349752), abs=5e-8)
    assert found.value == pytest.approx(22 / 40)
    assert (found.a_only, found.b_only) == (26, 4)


@pytest.mark.parametrize("n", [20, 60])
def test_that_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    """Exact: every outcome of n pairs, weighted by its probability, over a grid of truths.

    Fagerland et al. (2014) report the same: near 95 % on average, rarely below 93 %.
    """
    log_factorial = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    counts = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    b, c = np.array(counts).T
    log_ways = log_factorial[n] - log_factorial[b] - log_factorial[c] - log_factorial[n - b - c]
    found = [paired_difference(*outcomes(0, x, y, n - x - y)).ci for x, y in counts]
    lo, hi = np.array([ci.lo for ci in found]), np.array([ci.hi for ci in found])
    coverage = []
    for p in np.arange(0.05, 1, 0.1):
        for q in np.arange(0.05, 0.999 - p, 0.1):
            rest = n - b - c
            log_p = log_ways + b * np.log(p) + c * np.log(q) + rest * np.log(1 - p - q)
            inside = (lo <= p - q) & (p - q <= hi)
            coverage.append(float(np.exp(log_p[inside]).sum()))
    assert 0.95 <= np.mean(coverage) <= 0.97
    assert min(coverage) >= 0.93


SCORES = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=4, max_size=40)


@settings(max_examples=40, deadline=None)
@given(SCORES, st.booleans(), st.booleans())
def test_swapping_the_models_negates_the_difference(
    pairs: list[tuple[float, float]], right_or_wrong: bool, clustered: bool
) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    if right_or_wrong:
        a, b = a > 1.5, b > 1.5
    clusters = [i % 3 for i in range(len(a))] if clustered else None
    forth, back = paired_difference(a, b, clusters), paired_difference(b, a, clusters)
    assert back.value == pytest.approx(-forth.value)
    assert (back.ci.lo, back.ci.hi) == pytest.approx((-forth.ci.hi, -forth.ci.lo))
    assert back.se == pytest.approx(forth.se)


@settings(max_examples=40, deadline=None)
@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(
    pairs: list[tuple[float, float]], random: object
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (paired_difference(*zip(*p, strict=True)) for p in (pairs, shuffled))
    assert other.value == pytest.approx(one.value)
    assert other.se == pytest.approx(one.se, abs=1e-12)


def test_pairing_saves_what_the_models_have_in_common() -> None:
    """Var(a − b) = Var a + Var b − 2 corr sd(a) sd(b)."""
    rng = np.random.default_rng(3)
    hard = rng.normal(size=800)
    a, b = hard + rng.normal(size=800), hard + rng.normal(size=800)
    found = paired_difference(a, b)
    assert found.corr is not None
    saved = 2 * found.corr * a.std(ddof=1) * b.std(ddof=1) / 800
    assert found.se**2 == pytest.approx(found.se_unpaired**2 - saved)
    assert found.se < 0.8 * found.se_unpaired


def test_models_that_agree_on_every_item_still_leave_doubt() -> None:
    for clusters in (None, [i % 30 for i in range(60)]):
        agreed = paired_difference(*outcomes(60, 0, 0, 0), clusters)
        assert agreed.value == 0
        assert agreed.ci.lo < 0 < agreed.ci.hi
        assert agreed.se > 0
    graded = paired_difference([0.3, 0.7] * 30, [0.3, 0.7] * 30, scale=(0, 1))
    assert graded.ci.lo < 0 < graded.ci.hi


def test_a_difference_says_how_it_was_computed() -> None:
    a, b = outcomes(10, 7, 3, 20)
    assert paired_difference(a, b).method == "Bonett–Price"
    assert paired_difference(a, b, [i % 5 for i in range(40)]).method == "paired clustered t"
    assert paired_difference([0.1, 0.4, 0.2], [0.2, 0.1, 0.2]).method == "paired t"
    assert paired_difference(a, b, n_unscored=4).n_unscored == 4


def test_mcnemar_gives_the_reference_p() -> None:
    """scipy 1.17 / statsmodels 0.15; the last is Agresti's table of approval ratings."""
    assert mcnemar(3, 10).p == pytest.approx(0.09228515625, abs=1e-12)
    assert mcnemar(3, 10, method="midp").p == pytest.approx(0.05737304687500002, abs=1e-12)
    assert mcnemar(86, 150).p == pytest.approx(3.72e-5, rel=2e-3)
    assert mcnemar(86, 150, method="chi2").statistic == pytest.approx(17.36, abs=0.005)
    assert mcnemar(86, 150, method="chi2_cc").statistic == pytest.approx(63**2 / 236)
    assert mcnemar(110, 123).p == pytest.approx(0.43, abs=0.005)


def test_no_difference_is_no_evidence() -> None:
    assert mcnemar(0, 0).p == 1
    assert mcnemar(5, 5).p == 1
    assert sign_test(0, 0).p == 1


def test_the_sign_test_of_the_published_preference() -> None:
    """38 wins and 3 losses: p = 1.0e-8."""
    assert sign_test(38, 3).p == pytest.approx(1.0e-8, rel=0.05)


@pytest.mark.parametrize("graded", [False, True])
def test_flipping_signs_agrees_with_the_exact_p(graded: bool) -> None:
    """Discordant 3 : 10 has exact p .0923; 40,000 draws are within .006 of it (4 sigma)."""
    a, b = (np.array(side, dtype=float) for side in outcomes(20, 10, 3, 10))
    if graded:  # scores that are all different, but not by enough to change an order
        a = a + np.random.default_rng(0).normal(scale=1e-9, size=len(a))
    found = permutation_paired(a, b, n=40_000, seed=1)
    assert found.p == pytest.approx(0.0923, abs=0.006)
    assert permutation_paired(a, b, n=40_000, seed=1) == found


def test_flipping_signs_is_never_certain() -> None:
    assert permutation_paired(np.ones(50), np.zeros(50), n=999).p == 1 / 1000


def test_not_worse_by_more_than_delta_is_told_from_the_one_sided_bound() -> None:
    rng = np.random.default_rng(5)
    b = rng.uniform(size=400)
    a = b + rng.normal(0.0, 0.1, size=400)
    found = paired_difference(a, b)
    passed = noninferiority(found, 0.02)
    expected = found.value - scipy_stats.t.ppf(0.95, 399) * found.se
    assert passed.bound == pytest.approx(expected, abs=1e-12)
    assert passed.passed
    assert not noninferiority(found, 0.0001).passed
    binary = paired_difference(*outcomes(10, 7, 3, 20))
    at_90 = paired_difference(*outcomes(10, 7, 3, 20), level=0.9)
    assert noninferiority(binary, 0.1).bound == pytest.approx(at_90.ci.lo)


def test_ten_thousand_items_are_compared_at_once() -> None:
    """Well under half a second on one core; processor time, as other work may run beside it."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 10_000))
    start = time.process_time()
    paired_difference(a, b, np.arange(10_000) // 4)
    assert time.process_time() - start < 0.5


def test_what_is_no_pair_of_samples_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a has 1, b has 2"):
        paired_difference([True], [True, False])
    with pytest.raises(InvalidInput, match="a has 0 items"):
        paired_difference([], [])
    with pytest.raises(InvalidInput, match="at least 2"):
        paired_difference([0.5], [0.7])
    with pytest.raises(InvalidInput, match=r"b = 1\.5 is not a count"):
        mcnemar(1.5, 2)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="delta = 0"):
        noninferiority(paired_difference([1, 0], [0, 0]), 0)
