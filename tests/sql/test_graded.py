"""Whose answers a query holds, and what rows are graded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from speaking import Speaker

from modiste.sql import graded, names
from modiste.sql.errors import SqlError
from modiste.sql.grammar import statements
from modiste.sql.result import Column, rows
from modiste.sql.statements import Select

OWN = {
    "SELECT answer AS prediction FROM m WHERE content = 'x'": "mindsdb.m.1",
    "SELECT t.n AS actual, Answer AS Prediction FROM shop.asked AS t JOIN m": "mindsdb.m.1",
    "SELECT b.answer AS prediction FROM shop.asked t JOIN mindsdb.m.1 AS b": "mindsdb.m.1",
    "SELECT m.answer AS prediction FROM shop.asked t JOIN m.1": "mindsdb.m.1",
    "SELECT g.answer AS prediction FROM shop.asked t JOIN m JOIN g": "mindsdb.g.1",
}
NOBODYS = (
    "SELECT answer AS prediction FROM shop.asked t JOIN m JOIN g",
    "SELECT upper(answer) AS prediction FROM m WHERE content = 'x'",
    "SELECT 'yes' AS prediction FROM shop.asked t JOIN m",
    "SELECT t.answer AS prediction FROM shop.asked t JOIN m",
    "SELECT text AS prediction FROM shop.asked t JOIN m",
    "SELECT answer AS prediction, text AS prediction FROM shop.asked t JOIN m",
    "WITH m AS (SELECT text AS answer FROM shop.asked) SELECT m.answer AS prediction FROM m",
    "SELECT m.answer AS prediction FROM shop (SELECT text AS answer FROM asked) AS m",
    "SELECT m.answer AS prediction FROM (SELECT text AS answer FROM shop.asked) AS m",
    "SELECT answer AS prediction FROM m WHERE content = 'x' UNION SELECT 'b'",
    "SELECT text AS prediction FROM shop.asked",
    "SELECT 1 AS prediction",
)


@pytest.fixture(scope="module", autouse=True)
def second(speaker: Speaker) -> Any:
    speaker("CREATE MODEL g PREDICT answer USING model_name='modiste-tiny', "
            "prompt_template='{{content}}'")  # fmt: skip
    yield
    speaker("DROP MODEL g")


def owner(speaker: Speaker, text: str) -> str | None:
    (said,) = statements(text, speaker.session.dialect)
    assert isinstance(said, Select)
    found = graded.answered_by(said, asyncio.run(names.load(speaker.session)))
    return None if found is None else found.version.label


@pytest.mark.parametrize("text", OWN)
def test_a_column_is_that_of_the_version_it_comes_from(speaker: Speaker, text: str) -> None:
    assert owner(speaker, text) == OWN[text]


@pytest.mark.parametrize("text", NOBODYS)
def test_anything_else_is_nobodys(speaker: Speaker, text: str) -> None:
    assert owner(speaker, text) is None


def test_what_a_version_was_asked_with_is_of_it_alone(speaker: Speaker) -> None:
    text = ("SELECT m.answer AS prediction FROM shop.asked t JOIN m JOIN g WHERE m.top_p = 0.5 "
            "AND g.top_p = 0.7 AND t.n = 3 AND m.max_tokens = 8 "
            "USING temperature = 0.1, m.max_tokens = 9, g.seed = 4")  # fmt: skip
    (said,) = statements(text, "mysql")
    assert isinstance(said, Select)
    found = graded.answered_by(said, asyncio.run(names.load(speaker.session)))
    assert found is not None
    assert found.using == {"top_p": 0.5, "max_tokens": 9, "temperature": 0.1}


def read(columns: tuple[str, ...], *values: tuple[object, ...]) -> list[dict[str, Any]]:
    found = rows([Column(name) for name in columns], values)
    return asyncio.run(graded.rows_of(found, needs=("actual",), statement="COMPARE"))


def test_rows_have_names_in_lower_case_that_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(("Actual", "N"), ("a", 1)) == [{"actual": "a", "n": 1}]
    with pytest.raises(SqlError, match="two columns n"):
        read(("actual", "n", "N"), ("a", 1, 2))
    with pytest.raises(SqlError, match=r"has b, c: SELECT \.\.\. AS actual"):
        read(("b", "c"), ("a", 1))
    with pytest.raises(SqlError, match="no rows"):
        read(("actual",))
    monkeypatch.setattr(graded, "MOST_SAMPLES", 2)
    assert len(read(("actual",), ("a",), ("b",))) == 2
    with pytest.raises(SqlError, match="more than 2 rows"):
        read(("actual",), ("a",), ("b",), ("c",))
