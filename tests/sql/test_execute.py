"""SQL in, results out."""

import asyncio

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.execute import describe


def test_statements_are_done_in_order_and_the_session_remembers(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker("SET names utf8mb4; USE shop; SELECT database() AS d") == [{"d": "shop"}]
    assert speaker("BEGIN") == "BEGIN"
    assert speaker("SHOW VARIABLES LIKE 'names'") == [
        {"Variable_name": "names", "Value": "utf8mb4"}
    ]


def test_a_text_with_a_slip_does_nothing(speaker) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SqlError, match="Unable to parse"):
        speaker("USE shop; SELEC 1")
    assert speaker.session.database == "mindsdb"


def test_what_an_action_refuses_has_a_number(speaker) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SqlError) as refused:
        speaker("DROP MODEL m.1")
    assert (refused.value.code, refused.value.message) == (
        1050,
        "Can't remove active version: mindsdb.m.1",
    )


def test_parameters_and_columns_are_known_without_running(speaker) -> None:  # type: ignore[no-untyped-def]
    n, columns = asyncio.run(describe("SELECT a, upper(b) FROM t WHERE c = ?", speaker.session))
    assert n == 1
    assert columns is not None
    assert [column.name for column in columns] == ["a", "upper(b)"]
    assert asyncio.run(describe("SHOW MODELS", speaker.session)) == (0, None)
    n, columns = asyncio.run(describe("COMPARE ? WITH ?", speaker.session))
    assert columns is not None
    assert (n, [column.name for column in columns][:3]) == (2, ["METRIC", "A", "B"])
    assert speaker.engine.asked == []
