"""Sums drawn again have the mean and the spread that theory says."""

import numpy as np
import pytest

from modiste.evaluate.stats.sums import drawn_sums

ROWS = np.random.default_rng(1).random((40, 2))


def test_sums_scatter_as_they_must() -> None:
    """Var of the drawn sum is n·(variance of the rows). 20,000 draws: 5 % is over 9 standard
    errors of a variance (√(2/20,000) = 1 %) and of the mean, so false alarms do not happen."""
    drawn = drawn_sums(ROWS, draws=20_000)
    assert drawn.mean(axis=0) == pytest.approx(ROWS.sum(axis=0), rel=0.01)
    assert drawn.var(axis=0) == pytest.approx(40 * ROWS.var(axis=0), rel=0.05)


def test_clusters_are_drawn_whole() -> None:
    clusters = np.repeat(np.arange(10), 4)
    drawn = drawn_sums(ROWS, draws=20_000, clusters=clusters)
    units = ROWS.reshape(10, 4, 2).sum(axis=1)
    assert drawn.var(axis=0) == pytest.approx(10 * units.var(axis=0), rel=0.05)


def test_strata_keep_their_sizes() -> None:
    strata = ["a"] * 30 + ["b"] * 10
    rows = np.eye(2)[[0] * 30 + [1] * 10]
    assert (drawn_sums(rows, draws=50, strata=strata) == [30, 10]).all()


def test_the_seed_decides() -> None:
    assert (drawn_sums(ROWS, draws=9) == drawn_sums(ROWS, draws=9)).all()
    assert (drawn_sums(ROWS, draws=9) != drawn_sums(ROWS, draws=9, seed=1)).any()
