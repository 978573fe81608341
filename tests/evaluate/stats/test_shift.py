"""Drift that vectors see."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.shift import domain_auc, mmd2

RNG = np.random.default_rng(0)
OLD = RNG.normal(size=(200, 8))
SAME = RNG.normal(size=(150, 8))
MOVED = RNG.normal(size=(150, 8)) + np.r_[1.0, np.zeros(7)]


def test_mmd_is_the_sum_over_pairs() -> None:
    x, y = OLD[:5], MOVED[:4]
    both = np.concatenate([x, y])
    squared = ((both[:, None] - both[None]) ** 2).sum(axis=2)
    k = np.exp(-squared / np.median(squared[np.triu_indices(9, 1)]))
    off = ~np.eye(9, dtype=bool)
    within_x = (k[:5, :5] * off[:5, :5]).sum() / 20
    within_y = (k[5:, 5:] * off[5:, 5:]).sum() / 12
    expected = within_x + within_y - 2 * k[:5, 5:].mean()
    assert mmd2(x, y, n_perm=10).mmd2 == pytest.approx(expected)


def test_both_see_a_shift_and_none_where_there_is_none() -> None:
    """One run each with its seed; the chance of a p below .01 without drift is .01."""
    assert mmd2(OLD, MOVED).p == pytest.approx(1 / 501)
    assert mmd2(OLD, SAME).p > 0.01
    assert domain_auc(OLD, MOVED).ci.lo > 0.55
    assert domain_auc(OLD, SAME).ci.holds(0.5)


def test_the_new_ones_least_like_the_old_come_first() -> None:
    mixed = np.concatenate([SAME[:100], SAME[100:120] + 4.0])
    assert set(domain_auc(OLD, mixed).drifting[:15]) <= set(range(100, 120))


def test_a_difference_without_direction_is_seen_by_mmd() -> None:
    wider = 2.0 * SAME
    assert mmd2(OLD, wider).p < 0.01


def test_many_vectors_are_drawn_from_and_it_is_said() -> None:
    found = mmd2(np.tile(OLD, (8, 1)), SAME, n_perm=20)
    assert found.n == 1_150
    assert "1000 against 150" in found.method


def test_the_same_seed_gives_the_same_result() -> None:
    assert mmd2(OLD, SAME, seed=3) == mmd2(OLD, SAME, seed=3)
    assert domain_auc(OLD, SAME, seed=3) == domain_auc(OLD, SAME, seed=3)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InvalidInput, match="8 dimensions and y 3"):
        mmd2(OLD, SAME[:, :3])
    with pytest.raises(InvalidInput, match="at least 10 rows"):
        domain_auc(OLD, SAME[:4])
    with pytest.raises(InvalidInput, match="nothing to compare"):
        mmd2(np.ones((4, 2)), np.ones((4, 2)))
    with pytest.raises(InvalidInput, match="nan"):
        mmd2(OLD, np.full((4, 8), np.nan))
