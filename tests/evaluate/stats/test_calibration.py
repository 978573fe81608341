"""Probabilities against what came true."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.calibration import brier, ece


def test_two_bins_by_hand() -> None:
    """.1 and .3 with one of two true: |.2 − .5| = .3; .8 and .8 with both true: .2."""
    found = ece([0.8, 0.1, 0.3, 0.8], [1, 1, 0, 1], bins=2)
    assert found.ece == pytest.approx((2 * 0.3 + 2 * 0.2) / 4)
    assert found.worst == pytest.approx(0.3)
    assert [(b.lo, b.hi, b.n) for b in found.bins] == [(0.1, 0.3, 2), (0.8, 0.8, 2)]


def test_bins_hold_equally_many_items() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 3, size=1507)
    assert {b.n for b in ece(p, rng.uniform(size=1507) < p).bins} == {100, 101}


def test_true_probabilities_are_calibrated_up_to_the_noise_of_a_bin() -> None:
    """A bin of 2,000 is off by √(p(1 − p) / 2,000 · 2 / π), in the mean .0073; 4 sigma: .013."""
    rng = np.random.default_rng(0)
    p = rng.uniform(size=30_000)
    came = rng.uniform(size=30_000) < p
    assert ece(p, came).ece < 0.013
    assert ece(p**2, came).ece > 0.1


def test_brier_is_the_mean_squared_distance() -> None:
    found = brier([0.9, 0.2, 0.6], [1, 0, 0])
    assert found.value == pytest.approx((0.01 + 0.04 + 0.36) / 3)
    assert found.n == 3


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"p\[1\] is 1\.2"):
        brier([0.1, 1.2], [0, 1])
    with pytest.raises(InvalidInput, match="more than 0 and 1"):
        ece([0.1], [3], bins=1)
    with pytest.raises(InvalidInput, match="2 items do not fill 15 bins"):
        ece([0.1, 0.2], [0, 1])
