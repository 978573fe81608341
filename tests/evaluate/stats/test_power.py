"""How many items it takes: the figures of Miller (2024), and whether they come true."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.paired import paired_difference
from modiste.evaluate.stats.power import items_to_decide, mde, mde_of, sample_size


def test_the_published_numbers_of_items() -> None:
    ninth, sixth = 1 / 9, 1 / 6
    assert sample_size(0.03, omega2=ninth) == 969
    assert sample_size(0.03, omega2=ninth, sigma2_a=sixth, sigma2_b=sixth) == 3876
    assert sample_size(0.03, omega2=ninth, sigma2_a=sixth, sigma2_b=sixth, k_a=10, k_b=10) == 1260


def test_the_published_smallest_differences() -> None:
    ninth, sixth = 1 / 9, 1 / 6
    once = mde(198, omega2=ninth, sigma2_a=sixth, sigma2_b=sixth)
    assert once == pytest.approx(0.133, abs=0.0005)
    ten = mde(198, omega2=ninth, sigma2_a=sixth, sigma2_b=sixth, k_a=10, k_b=10)
    assert ten == pytest.approx(0.076, abs=0.0005)


def test_one_is_the_other_backwards() -> None:
    n = sample_size(0.05, omega2=0.2, alpha=0.01, power=0.9)
    assert mde(n, omega2=0.2, alpha=0.01, power=0.9) <= 0.05
    assert mde(n - 1, omega2=0.2, alpha=0.01, power=0.9) > 0.05


def test_so_many_items_do_show_the_difference_four_times_in_five() -> None:
    """1,000 runs of 197 items (for a fifth of the spread): the share that shows it is within 5
    points of 80, 4 sigma."""
    n = sample_size(0.2, omega2=1.0)
    rng = np.random.default_rng(0)
    zeros = np.zeros(n)
    shown = sum(paired_difference(rng.normal(0.2, 1, n), zeros).ci.lo > 0 for _ in range(1_000))
    assert n == 197
    assert shown / 1_000 == pytest.approx(0.8, abs=0.05)


def test_an_undecided_comparison_says_how_many_items_would_decide_it() -> None:
    rng = np.random.default_rng(2)
    d = rng.normal(0.05, 1.0, size=200)
    found = paired_difference(d, np.zeros(200))
    needed = items_to_decide(found)
    assert needed is not None
    assert needed == pytest.approx((2.8016 * found.se * 200**0.5 / found.value) ** 2, rel=1e-3)
    assert mde_of(found) == pytest.approx(2.8016 * found.se, rel=1e-4)


def test_showing_that_a_difference_is_small_may_take_fewer_items_than_showing_it() -> None:
    found = paired_difference([0.5, 0.502] * 100, [0.5, 0.5] * 100)
    found_wide = items_to_decide(found)
    with_delta = items_to_decide(found, delta=0.05)
    assert found_wide is not None
    assert with_delta is not None
    assert with_delta < found_wide


def test_where_nothing_was_seen_no_number_is_made_up() -> None:
    even = paired_difference([1, 0, 1, 0], [0, 1, 1, 0])
    assert items_to_decide(even) is None
    assert items_to_decide(even, delta=0.1) is not None


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="delta = 0"):
        sample_size(0, omega2=0.1)
    with pytest.raises(InvalidInput, match="omega2 = -1"):
        mde(10, omega2=-1)
    with pytest.raises(InvalidInput, match="power = 1"):
        mde(10, omega2=1, power=1)
    with pytest.raises(InvalidInput, match="k_a = 0"):
        mde(10, omega2=1, k_a=0)
