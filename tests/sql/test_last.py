"""LAST in the statements of jobs."""

from __future__ import annotations

import asyncio

import pytest
from speaking import Speaker

from modiste.sql import last
from modiste.sql.errors import SqlError
from modiste.sql.grammar import statements


def bound(speaker: Speaker, text: str, known: dict[str, object]) -> tuple[str, dict[str, object]]:
    (said,) = statements(text, "mysql")
    seen = asyncio.run(last.bound(said, 0, known, speaker.session))
    query = last.query_of(said)
    assert query is not None
    return query.tree.sql(), seen


def test_rows_between_the_last_run_and_this_one_are_asked_for(speaker: Speaker) -> None:
    text = "SELECT * FROM shop.asked AS t JOIN m WHERE t.id > LAST AND t.n < 9"
    told, seen = bound(speaker, text, {"0.0": 2})
    assert told == "SELECT * FROM shop.asked AS t, m WHERE (t.id > 2 AND t.id <= 4) AND t.n < 9"
    assert seen == {"0.0": 4}
    told, _ = bound(speaker, "INSERT INTO shop.x SELECT id FROM shop.asked WHERE id > LAST", {})
    assert told == "SELECT id FROM shop.asked WHERE (id > NULL AND id <= 4)"


def test_last_is_of_a_column_and_a_quoted_name_is_a_column(speaker: Speaker) -> None:
    with pytest.raises(SqlError, match="only on the right of a comparison"):
        bound(speaker, "SELECT LAST FROM shop.asked", {})
    told, seen = bound(speaker, "SELECT `last` FROM shop.asked", {})
    assert (told, seen) == ('SELECT "last" FROM shop.asked', {})
