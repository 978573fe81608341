"""What an item says is right."""

import pytest

from modiste.evaluate.items import Item
from modiste.evaluate.scorers.references import Normalise, alternatives, as_text, normalised


@pytest.mark.parametrize(
    ("reference", "texts"),
    [
        (None, ()),
        ("a", ("a",)),
        (["a", 2], ("a", "2")),
        ({"x": "é"}, ('{"x": "é"}',)),
        (True, ("true",)),
        ([], ()),
    ],
)
def test_a_list_is_several_right_answers(reference: object, texts: tuple[str, ...]) -> None:
    assert alternatives(Item("k", {}, reference)) == texts


def test_loose_forgives_case_width_space_and_one_full_stop() -> None:
    assert normalised(" ＯＫ. ", Normalise.LOOSE) == "ok"
    assert normalised("ok..", Normalise.LOOSE) == "ok."
    assert normalised(" OK. ", Normalise.NONE) == " OK. "
    assert as_text(1.5) == "1.5"
