"""Kappas and AC1 of published tables."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.agreement import (
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac1_counts,
)

A = [1, 2, 3, 3, 2, 1, 4, 4, 2, 3]
B = [1, 2, 3, 4, 2, 2, 4, 3, 1, 3]

# Wikipedia, "Fleiss' kappa": 14 raters, 10 items, 5 labels; kappa .210.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_cohens_kappa_is_that_of_scikit_learn() -> None:
    """scikit-learn 1.9 `cohen_kappa_score`."""
    assert cohen_kappa(A, B).value == pytest.approx(0.45945945945945954)
    assert cohen_kappa(A, B, "linear").value == pytest.approx(0.6491228070175439)
    assert cohen_kappa(A, B, "quadratic").value == pytest.approx(0.8095238095238095)
    assert cohen_kappa(A, B).raw == 0.6


def test_where_one_label_is_nearly_always_right_kappa_collapses_and_ac1_does_not() -> None:
    """90 twice yes, 5 and 5 split, none twice no."""
    a = ["yes"] * 90 + ["yes"] * 5 + ["no"] * 5
    b = ["yes"] * 90 + ["no"] * 5 + ["yes"] * 5
    kappa, ac1 = cohen_kappa(a, b), gwet_ac1(a, b)
    assert kappa.raw == ac1.raw == 0.9
    assert kappa.value == pytest.approx(-0.05263157894736836)
    assert ac1.value == pytest.approx(0.8895027624309393)


def test_fleiss_kappa_is_the_published_one() -> None:
    found = fleiss_kappa(FLEISS)
    assert found.value == pytest.approx(0.2099, abs=5e-5)
    assert found.n == 10
    assert found.ci.holds(found.value)


def test_two_raters_counted_are_two_raters_named() -> None:
    counts = [[(a == k) + (b == k) for k in range(1, 5)] for a, b in zip(A, B, strict=True)]
    assert gwet_ac1_counts(counts).value == pytest.approx(gwet_ac1(A, B).value)
    assert fleiss_kappa(counts).raw == pytest.approx(0.6)


def test_who_is_first_and_what_labels_are_called_does_not_matter() -> None:
    assert cohen_kappa(B, A, "linear").value == pytest.approx(cohen_kappa(A, B, "linear").value)
    names = "zyxw"
    renamed = [[names[v - 1] for v in side] for side in (A, B)]
    assert cohen_kappa(*renamed).value == pytest.approx(cohen_kappa(A, B).value)
    ordered = cohen_kappa(*renamed, "quadratic", labels=list(names))
    assert ordered.value == pytest.approx(0.8095238095238095)


def test_labels_that_were_never_said_matter_to_ac1() -> None:
    assert (
        gwet_ac1([1, 2, 2], [1, 2, 1]).value
        != gwet_ac1([1, 2, 2], [1, 2, 1], labels=[1, 2, 3]).value
    )


def test_an_interval_is_of_items_drawn_again() -> None:
    """With four times the items it is half as wide; 15 % is 4 sigma of 2,000 draws."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 100)
    b = np.where(rng.uniform(size=100) < 0.7, a, rng.integers(0, 3, 100))
    one, four = cohen_kappa(a, b), cohen_kappa(np.tile(a, 4), np.tile(b, 4))
    assert four.value == pytest.approx(one.value)
    assert four.ci.width == pytest.approx(one.ci.width / 2, rel=0.15)


def test_what_cannot_agree_is_refused() -> None:
    with pytest.raises(InvalidInput, match="every rating is 'x'"):
        cohen_kappa(["x"], ["x"])
    with pytest.raises(InvalidInput, match="undefined"):
        cohen_kappa(["x"], ["x"], labels=["x", "y"])
    with pytest.raises(InvalidInput, match="no item"):
        gwet_ac1([], [])
    with pytest.raises(InvalidInput, match=r"\['z'\] are not among"):
        cohen_kappa(["x"], ["z"], labels=["x", "y"])
    with pytest.raises(InvalidInput, match="2 to 3 raters"):
        fleiss_kappa([[1, 1], [2, 1]])
