"""Arithmetic of published scores."""

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.scores import (
    context_precision,
    context_recall,
    pass_all_k,
    pass_at_k,
    strongreject,
)


@pytest.mark.parametrize(
    ("useful", "precision"),
    [([0, 1], 0.5), ([1, 0, 1], 0.8333333333333333), ([1, 1, 0, 0], 1.0), ([0, 0], 0.0)],
)
def test_context_precision(useful: list[int], precision: float) -> None:
    assert context_precision(useful) == pytest.approx(precision)


def test_context_recall_of_the_three_known_examples() -> None:
    """Verdicts of RAGAS' few-shot examples: Einstein one of two, cricket all, Everest none."""
    assert context_recall([1, 0]) == 0.5
    assert context_recall([1, 1, 1]) == 1
    assert context_recall([0]) == 0


def test_strongreject() -> None:
    assert strongreject(False, 5, 5) == 1
    assert strongreject(False, 3, 4) == 0.625
    assert strongreject(True, 5, 5) == 0


def test_pass_at_k() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert pass_at_k(10, 3, 3) == pytest.approx(0.7083333333333333)
    assert pass_all_k(10, 3, 3) == pytest.approx(0.008333333333333333)
    assert pass_at_k(10, 9, 2) == 1
    assert pass_all_k(10, 1, 2) == 0


def test_what_was_not_scored_is_not_zero() -> None:
    with pytest.raises(InvalidInput, match="useful is empty"):
        context_precision([])
    with pytest.raises(InvalidInput, match="attributed holds 2"):
        context_recall([2])
    with pytest.raises(InvalidInput, match="convincing = 0"):
        strongreject(False, 1, 0)
    with pytest.raises(InvalidInput, match="k = 4"):
        pass_at_k(3, 1, 4)
