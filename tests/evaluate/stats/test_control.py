"""Charts over time: when they alarm, and how often for nothing."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.control import cusum, ewma


def test_cusum_adds_up_what_exceeds_half_a_deviation() -> None:
    chart = cusum([10, 12, 12, 8], target=10, sd=2)
    assert chart.up.tolist() == [0, 0.5, 1, 0]
    assert chart.down.tolist() == [0, 0, 0, -0.5]
    assert chart.first_alarm is None


def test_a_shift_that_stays_is_found_in_either_direction() -> None:
    rng = np.random.default_rng(0)
    quiet, shift = rng.normal(size=30), np.full(30, 1.0)
    for sign in (1, -1):
        values = np.r_[quiet, rng.normal(size=30) + sign * shift]
        for chart in (cusum(values, 0, 1), ewma(values, 0, 1)):
            assert chart.first_alarm is not None
            assert 30 <= chart.first_alarm < 55


def test_ewma_smooths_and_its_limits_settle() -> None:
    """Montgomery: after many points L · sd · √(λ / (2 − λ)), here 3 · √(.2 / 1.8) = 1."""
    chart = ewma(np.r_[1.0, np.zeros(60)], target=0, sd=1)
    assert chart.up[:3] == pytest.approx([0.2, 0.16, 0.128])
    assert chart.upper[0] == pytest.approx(0.6)
    assert chart.upper[-1] == pytest.approx(1.0, abs=1e-6)
    assert chart.lower == pytest.approx(-chart.upper)


@pytest.mark.slow
def test_cusum_alarms_for_nothing_as_rarely_and_for_something_as_soon_as_published() -> None:
    """Average runs of 465 and 10.4 points (Montgomery, k = ½, h = 5).

    1,500 runs of a roughly exponential length: 12 % is 4 sigma; 6 % for the shift, whose runs vary
    less.
    """
    rng = np.random.default_rng(0)

    def mean_run(shift: float, most: int) -> float:
        lengths = []
        for _ in range(1_500):
            at = cusum(rng.normal(shift, 1, most), 0, 1).first_alarm
            assert at is not None
            lengths.append(at + 1)
        return float(np.mean(lengths))

    assert mean_run(0.0, 8_000) == pytest.approx(465, rel=0.12)
    assert mean_run(1.0, 200) == pytest.approx(10.4, rel=0.06)


def test_what_is_no_chart_is_refused() -> None:
    with pytest.raises(InvalidInput, match="sd = 0"):
        cusum([1], 0, 0)
    with pytest.raises(InvalidInput, match="lam = 2"):
        ewma([1], 0, 1, lam=2)
    with pytest.raises(InvalidInput, match="values has 0"):
        cusum([], 0, 1)
