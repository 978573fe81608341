"""A judge corrected by a few human labels."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.corrected import ppi_plus_plus, rogan_gladen


def judged(n: int, more: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with mean .6 and a judge that is .2 too kind, with correlation .8."""
    rng = np.random.default_rng(seed)
    y = 0.6 + 0.2 * rng.normal(size=n + more)
    f = y + 0.2 + 0.15 * rng.normal(size=n + more)
    return y[:n], f[:n], f[n:]


def test_the_formula_by_hand() -> None:
    y, f, rest = judged(40, 400)
    spread = np.concatenate([f, rest]).var(ddof=1)
    lam = np.cov(y, f)[0, 1] / ((1 + 40 / 400) * spread)
    found = ppi_plus_plus(y, f, rest)
    assert found.lam == pytest.approx(lam)
    assert found.value == pytest.approx(lam * rest.mean() + (y - lam * f).mean())
    variance = lam**2 * spread / 400 + (y - lam * f).var(ddof=1) / 40
    assert found.se == pytest.approx(variance**0.5)


def test_a_kind_judge_makes_the_interval_narrower_and_moves_nothing() -> None:
    found = ppi_plus_plus(*judged(100, 2_000))
    assert found.judge_mean == pytest.approx(0.8, abs=0.02)
    assert found.ci.holds(0.6)
    assert found.ci.width < 0.75 * found.human_only.ci.width
    assert (found.n, found.n_judged) == (100, 2_000)


def test_a_judge_that_knows_nothing_is_not_trusted() -> None:
    rng = np.random.default_rng(1)
    y = rng.uniform(size=100)
    found = ppi_plus_plus(y, rng.uniform(size=100), rng.uniform(size=900))
    assert found.lam < 0.25
    assert found.ci.width == pytest.approx(found.human_only.ci.width, rel=0.05)
    constant = ppi_plus_plus(y, np.ones(100), np.ones(900))
    assert constant.lam == 0
    assert constant.value == pytest.approx(y.mean())
    contrary = ppi_plus_plus(y, -y, -rng.uniform(size=900))
    assert contrary.lam == 0


def test_rogan_and_gladens_correction() -> None:
    """(.30 + .95 − 1) / (.80 + .95 − 1) = 1/3."""
    found = rogan_gladen(0.30, 1_000, 0.80, 100, 0.95, 200)
    assert found.value == pytest.approx(1 / 3)
    assert found.ci.holds(1 / 3)
    assert found.notes == ()


def test_doubt_about_the_judge_is_in_the_interval() -> None:
    known = rogan_gladen(0.30, 1_000, 0.80, 100_000, 0.95, 100_000)
    doubtful = rogan_gladen(0.30, 1_000, 0.80, 20, 0.95, 20)
    assert doubtful.ci.width > 2 * known.ci.width
    # Without doubt about the judge only the rate's own error is left, √(.3 · .7 / 1,000) / .75.
    assert known.se == pytest.approx((0.3 * 0.7 / 1_000) ** 0.5 / 0.75, rel=0.05)


def test_a_correction_out_of_bounds_is_held_and_said() -> None:
    found = rogan_gladen(0.02, 100, 0.9, 50, 0.9, 50)
    assert found.value == 0
    assert "which is no rate" in found.notes[0]
    assert "no better than chance" in rogan_gladen(0.5, 100, 0.6, 10, 0.6, 10).notes[0]


def test_what_cannot_be_corrected_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"se \+ sp = 1"):
        rogan_gladen(0.3, 10, 0.5, 10, 0.5, 10)
    with pytest.raises(InvalidInput, match="sp is of 0 items"):
        rogan_gladen(0.3, 10, 0.9, 10, 0.9, 0)
    with pytest.raises(InvalidInput, match="p_obs = 30"):
        rogan_gladen(30, 10, 0.9, 10, 0.9, 10)
    with pytest.raises(InvalidInput, match="y has 2 items, at least 3"):
        ppi_plus_plus([1, 0], [1, 0], [1, 0])
    with pytest.raises(InvalidInput, match="f_lab has 2"):
        ppi_plus_plus([1, 0, 1], [1, 0], [1, 0])
