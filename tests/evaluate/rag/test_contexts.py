"""Passages and references of an item, wherever its row names them."""

from __future__ import annotations

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item
from modiste.evaluate.rag.contexts import contexts_of, reference_of


@pytest.mark.parametrize(
    ("field", "passages"),
    [
        (["one", " ", "two"], ("one", "two")),
        ("one", ("one",)),
        ([{"title": "t"}], ('{"title": "t"}',)),
        ([], ()),
        (None, ()),
    ],
)
def test_passages_are_a_list_or_a_text_and_empty_ones_are_left_out(field, passages):
    assert contexts_of("{{found}}", Item("k", {"found": field})) == passages


def test_a_template_may_put_passages_together():
    item = Item("k", {"one": "x", "two": "y"})
    assert contexts_of("{{one}} {{two}}", item) == ("x y",)


@pytest.mark.parametrize(("row", "said"), [({}, "found"), ({"found": 3}, "is a int")])
def test_a_field_that_is_missing_or_no_list_is_named(row, said):
    with pytest.raises(InvalidInput, match=said):
        contexts_of("{{found}}", Item("k", row))


def test_a_reference_is_the_templates_or_the_items_own():
    item = Item("k", {"right": "x"}, reference=["y", "z"])
    assert reference_of("{{right}}", item) == "x"
    assert reference_of(None, item) == "y\nz"
    assert reference_of(None, Item("k", {})) == ""
