"""Passages that were found for a question: which of them an item names, and where it names them."""

from __future__ import annotations

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item
from modiste.evaluate.judges.spec import as_text
from modiste.evaluate.template import value_of


def contexts_of(source: str, item: Item, *, param: str = "contexts") -> tuple[str, ...]:
    """The passages of an item; empty ones are left out.

    Raises:
        InvalidInput: the row lacks the field, or it is neither a text nor a list.
    """
    found = value_of(source, item.row, param=param)
    if found is None:
        return ()
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        raise InvalidInput(
            f"{param} is {source!r}, which is a {type(found).__name__}; give a list of passages",
            param=param,
        )
    return tuple(text for text in map(as_text, found) if text.strip())


def reference_of(source: str | None, item: Item) -> str:
    """By the template, or the item's own; empty where neither is there.

    Raises:
        InvalidInput: the row lacks the field.
    """
    if source is not None:
        return as_text(value_of(source, item.row, param="reference")).strip()
    return as_text(item.reference).strip()
