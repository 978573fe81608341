"""What an item says is right, in the form a scorer needs, and texts made comparable."""

from __future__ import annotations

import json
import unicodedata
from enum import StrEnum
from typing import Any

from modiste.evaluate.items import Item, Score, Status, unscored


class Normalise(StrEnum):
    NONE = "none"
    """Every character counts."""
    LOOSE = "loose"
    """NFKC, no case, no white space around, no full stop at the end."""


def normalised(text: str, how: Normalise) -> str:
    if how is Normalise.NONE:
        return text
    folded = unicodedata.normalize("NFKC", text).casefold().strip()
    return folded.removesuffix(".").rstrip()


def as_text(value: Any) -> str:
    """Text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def alternatives(item: Item) -> tuple[str, ...]:
    """The texts each of which is right: one reference, or every entry of a list of them."""
    if item.reference is None:
        return ()
    listed = item.reference if isinstance(item.reference, (list, tuple)) else [item.reference]
    return tuple(as_text(value) for value in listed)


def no_reference(item: Item) -> Score:
    return unscored(Status.SKIPPED, f"item {item.key} has no reference to compare with")
