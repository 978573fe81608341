"""Intervals against published numbers, and their coverage computed exactly instead of simulated."""

import math

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats import Verdict, paired_difference, wilson

# scipy 1.17 `binomtest(k, n).proportion_ci(method="wilson")`, printed in full.
WILSON = {
    (0, 10): (0.0, 0.27753279986288926),
    (10, 10): (0.7224672001371106, 1.0),
    (1, 20): (0.008881448800795402, 0.2361311934467421),
    (38, 50): (0.6258731624205707, 0.8570260860300827),
    (38, 41): (0.8057255146228096, 0.9748021693660901),
    (27, 30): (0.7437891742081592, 0.9654001112526659),
}


@pytest.mark.parametrize(("k", "n"), WILSON)
def test_wilson_gives_the_reference_interval(k: int, n: int) -> None:
    assert wilson(k, n) == pytest.approx(WILSON[k, n], abs=1e-12)


def outcomes(both: int, a_only: int, b_only: int, neither: int) -> tuple[list[bool], list[bool]]:
    a = [True] * both + [True] * a_only + [False] * b_only + [False] * neither
    b = [True] * both + [False] * a_only + [True] * b_only + [False] * neither
    return a, b


def test_the_paired_interval_is_the_one_its_authors_published() -> None:
    """D. Bonett's R function CIpropWS(.05, 26, 4, 40) prints 0.3126438 0.7349752."""
    difference = paired_difference(*outcomes(both=6, a_only=26, b_only=4, neither=4))
    assert difference.interval == pytest.approx((0.3126438, 0.7349752), abs=5e-8)
    assert difference.value == pytest.approx(22 / 40)


@pytest.mark.parametrize("n", [20, 60, 100])
def test_the_paired_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    """Exact: every outcome of n pairs, weighted by its probability, over a grid of truths.

    Fagerland et al. (2014) report the same: near 95 % on average, rarely below 93 %.
    """
    log_factorial = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    counts = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    b, c = np.array(counts).T
    log_ways = log_factorial[n] - log_factorial[b] - log_factorial[c] - log_factorial[n - b - c]
    intervals = np.array([paired_difference(*outcomes(0, x, y, n - x - y)).interval
                          for x, y in counts])  # fmt: skip
    coverage = []
    for p in np.arange(0.05, 1, 0.1):
        for q in np.arange(0.05, 0.999 - p, 0.1):
            rest = n - b - c
            log_p = log_ways + b * np.log(p) + c * np.log(q) + rest * np.log(1 - p - q)
            inside = (intervals[:, 0] <= p - q) & (p - q <= intervals[:, 1])
            coverage.append(float(np.exp(log_p[inside]).sum()))
    assert 0.95 <= np.mean(coverage) <= 0.97
    assert min(coverage) >= 0.93


def test_swapping_the_models_negates_the_difference() -> None:
    a, b = outcomes(10, 7, 3, 20)
    forth, back = paired_difference(a, b), paired_difference(b, a)
    assert back.value == -forth.value
    assert back.interval == pytest.approx((-forth.interval.hi, -forth.interval.lo))


def test_a_clear_gain_is_better_a_clear_loss_worse_and_a_small_one_cannot_be_told() -> None:
    assert paired_difference(*outcomes(10, 40, 1, 9)).verdict is Verdict.BETTER
    assert paired_difference(*outcomes(10, 1, 40, 9)).verdict is Verdict.WORSE
    assert paired_difference(*outcomes(50, 3, 1, 6)).verdict is Verdict.CANNOT_TELL


def test_models_that_agree_on_every_item_still_leave_doubt() -> None:
    agreed = paired_difference(*outcomes(60, 0, 0, 0))
    assert agreed.value == 0
    assert agreed.interval.lo < 0 < agreed.interval.hi


def test_what_is_no_pair_of_samples_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 and 2"):
        paired_difference([True], [True, False])
    with pytest.raises(InvalidInput):
        paired_difference([], [])
    with pytest.raises(InvalidInput, match="k = 3 of n = 2"):
        wilson(3, 2)
    with pytest.raises(InvalidInput, match="level"):
        wilson(1, 2, level=95)
