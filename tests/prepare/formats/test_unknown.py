"""A row of no known format is told with what it looks like and what to type."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.read import parse_row


def hint(value: Any) -> str:
    (problem,) = parse_row(value, file="f", line=1).problems
    assert problem.code == "format_unknown"
    return problem.hint or ""


@pytest.mark.parametrize(
    ("value", "templates"),
    [
        ({"id": "7", "title": "A title", "abstract": "An abstract."}, ["title", "abstract"]),
        ({"toxic": "bad words", "neutral": ["good words"]}, ["toxic", "neutral[0]"]),
        ({"id": 1, "a.b": "not a name of a template", "c": "x", "d": "y"}, ["c", "d"]),
        ({"only": "x", "n": 3}, ["only", "…"]),
    ],
)
def test_the_columns_with_most_text_are_proposed(value: Any, templates: list[str]) -> None:
    user, assistant = (f"{{{name}}}" for name in templates)

    assert f"--columns 'user={user}' 'assistant={assistant}'" in hint(value)
    if "…" not in templates:
        columns = Columns.parse([f"user={user}", f"assistant={assistant}"])
        assert len(columns.messages) == 2


def test_data_of_other_tools_is_called_by_its_name() -> None:
    assert "this looks like Alpaca data" in hint({"instruction": "i"})
