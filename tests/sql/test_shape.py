"""Columns are told before a query runs."""

import asyncio

import pytest

from modiste.sql import shape
from modiste.sql.errors import SqlError
from modiste.sql.result import Column


def told(speaker, text: str) -> object:  # type: ignore[no-untyped-def]
    return asyncio.run(shape.kinds(text, speaker.session, None))


def test_kinds_are_those_of_the_data_and_no_model_is_asked(speaker) -> None:  # type: ignore[no-untyped-def]
    text = "SELECT t.id, m.answer FROM shop.asked AS t JOIN m ON m.content = t.text"
    assert told(speaker, text) == (Column("id", "integer"), Column("answer"))
    assert told(speaker, "SELECT id + 0.5 AS x, city FROM places.cities") == (
        Column("x", "float"), Column("city"),
    )  # fmt: skip
    assert speaker.engine.asked == []


def test_what_only_running_tells_is_not_told(speaker) -> None:  # type: ignore[no-untyped-def]
    assert told(speaker, "SHOW MODELS") is None
    assert told(speaker, "SELECT * FROM shop (SELECT 1)") is None
    with pytest.raises(SqlError):
        told(speaker, "SELECT a FROM nowhere")
