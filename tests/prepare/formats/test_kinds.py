"""The formats by the names people type."""

from __future__ import annotations

import pytest

from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import parse_row


def test_names_are_those_of_the_field() -> None:
    assert [str(format) for format in Format] == [
        "chat",
        "text",
        "classifier",
        "preference",
        "sharegpt",
        "alpaca",
        "prompt-completion",
        "chat-table",
        "columns",
    ]


@pytest.mark.parametrize("format", Format)
def test_every_format_has_a_reader_that_says_what_a_row_lacks(format: Format) -> None:
    columns = Columns((("text", "{body}"),)) if format is Format.COLUMNS else None
    row = parse_row({"odd": 1}, file="f", line=1, format=format, columns=columns)
    assert row.example is None
    assert row.problems
