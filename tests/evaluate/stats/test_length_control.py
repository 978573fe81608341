"""Win rates at equal length."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.length_control import lc_winrate


def judged(
    n: int, *, theta: float, phi: float, stretch: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A judge that follows the model exactly."""
    rng = np.random.default_rng(seed)
    a = rng.lognormal(5, 0.4, size=n)
    b = stretch * rng.lognormal(5, 0.4, size=n)
    longer = (a - b) / (a - b).std()
    p = 1 / (1 + np.exp(-(theta + phi * np.tanh(longer))))
    return (rng.uniform(size=n) < p).astype(float), a, b


def test_an_advantage_that_is_only_length_disappears() -> None:
    """20,000 items: the error of the rate is .004, the tolerance 5 of them."""
    found = lc_winrate(*judged(20_000, theta=0.0, phi=-1.5, stretch=1.5))
    assert found.raw.value > 0.6
    assert found.controlled is not None
    assert found.controlled.value == pytest.approx(0.5, abs=0.02)
    assert found.phi == pytest.approx(-1.5, abs=0.15)
    assert found.phi_ci is not None
    assert found.phi_ci.hi < 0


def test_where_length_does_not_matter_nothing_changes() -> None:
    found = lc_winrate(*judged(20_000, theta=0.4, phi=0.0, stretch=1.3))
    assert found.controlled is not None
    assert found.controlled.value == pytest.approx(found.raw.value, abs=0.015)
    assert found.phi_ci is not None
    assert found.phi_ci.holds(0)


def test_swapping_the_answers_mirrors_the_rate() -> None:
    won, a, b = judged(500, theta=0.3, phi=-0.5, stretch=1.2)
    forth, back = lc_winrate(won, a, b), lc_winrate(1 - won, b, a)
    assert forth.controlled is not None
    assert back.controlled is not None
    assert back.controlled.value == pytest.approx(1 - forth.controlled.value)
    assert back.controlled.ci.lo == pytest.approx(1 - forth.controlled.ci.hi)
    assert back.phi == pytest.approx(forth.phi)


@pytest.mark.parametrize(
    ("theta", "stretch", "reason"),
    [(3.0, 1.0, "raw win rate"), (0.0, 3.0, "times as long"), (0.0, 0.3, "times as long")],
)
def test_outside_of_what_was_measured_it_is_not_estimable(
    theta: float, stretch: float, reason: str
) -> None:
    found = lc_winrate(*judged(500, theta=theta, phi=0, stretch=stretch))
    assert found.controlled is None
    assert found.reason is not None
    assert reason in found.reason
    assert found.raw.n == 500


def test_lengths_that_tell_nothing_or_everything_are_said_to() -> None:
    same = lc_winrate([1, 0, 1, 0], [5, 5, 5, 5], [6, 6, 6, 6])
    assert same.reason is not None
    assert "same for every item" in same.reason
    all_of_it = lc_winrate([1, 0, 1, 0], [5, 6, 5, 6], [6, 5, 6, 5])
    assert all_of_it.reason == "not estimable: length alone tells who wins"


def test_what_are_no_lengths_is_refused() -> None:
    with pytest.raises(InvalidInput, match="negative"):
        lc_winrate([1, 0], [-1, 2], [1, 2])
    with pytest.raises(InvalidInput, match="off the scale"):
        lc_winrate([3, 0], [1, 2], [1, 2])
