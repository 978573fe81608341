"""Alpha of the canonical data, on all four scales."""

import random

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.krippendorff import krippendorff_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), part C: 4 raters, 12 units.
_ = None
RATERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
UNITS = [list(unit) for unit in zip(*RATERS, strict=True)]


@pytest.mark.parametrize(
    ("scale", "alpha"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_the_canonical_data(scale: str, alpha: float) -> None:
    found = krippendorff_alpha(UNITS, scale, draws=200)  # type: ignore[arg-type]
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.n == 11
    assert found.ci.holds(found.value)


@pytest.mark.parametrize("seed", range(3))
def test_who_rated_and_which_unit_came_first_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    shuffled = [rng.sample(unit, len(unit)) for unit in UNITS]
    rng.shuffle(shuffled)
    for scale in ("nominal", "ordinal"):
        found = krippendorff_alpha(shuffled, scale, draws=2)  # type: ignore[arg-type]
        assert found.value == pytest.approx(krippendorff_alpha(UNITS, scale, draws=2).value)  # type: ignore[arg-type]


def test_perfect_agreement_is_one_and_contradiction_is_below_zero() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"]], draws=10).value == 1
    assert krippendorff_alpha([["a", "b"]] * 5, draws=10).value < 0


def test_what_cannot_agree_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no unit has two"):
        krippendorff_alpha([[1, None], [2]])
    with pytest.raises(InvalidInput, match="every rating is the same"):
        krippendorff_alpha([[1, 1], [1, 1]])
    with pytest.raises(InvalidInput, match="needs numbers"):
        krippendorff_alpha([["a", "b"]], "interval")
    with pytest.raises(InvalidInput, match="below 0"):
        krippendorff_alpha([[-1, 1]], "ratio")
