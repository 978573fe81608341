"""Adjusted p-values of a published list."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.evaluate.stats.multiplicity import bh, holm

P = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205]


def test_holm_and_benjamini_hochberg_are_those_of_statsmodels() -> None:
    """statsmodels 0.15 `multipletests`."""
    assert holm(P).p == pytest.approx([0.008, 0.056, *[0.234] * 6])
    assert bh(P).p == pytest.approx(
        [0.008, 0.032, 0.0672, 0.0672, 0.0672, 0.08, 0.08457142857142856, 0.205]
    )
    assert holm(P).rejected() == (True, *[False] * 7)
    assert bh(P).rejected() == (True, True, *[False] * 6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_nothing_gets_smaller(p: list[float], random: object) -> None:
    order = list(range(len(p)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for adjust in (holm, bh):
        straight, shuffled = adjust(p).p, adjust([p[i] for i in order]).p
        assert shuffled == pytest.approx([straight[i] for i in order])
        assert all(
            raw <= adjusted + 1e-12 <= 1 + 1e-11 for raw, adjusted in zip(p, straight, strict=True)
        )
    assert all(b <= h + 1e-12 for b, h in zip(bh(p).p, holm(p).p, strict=True))


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"p\[1\] is 1\.5"):
        holm([0.1, 1.5])
    with pytest.raises(InvalidInput, match="p has 0 items"):
        bh([])
