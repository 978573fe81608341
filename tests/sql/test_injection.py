"""What is bound stays a value, through every wire, down to source, model and catalog."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pymysql: Any = pytest.importorskip("pymysql", reason="run `make install`")
psycopg: Any = pytest.importorskip("psycopg", reason="run `make install`")
EVIL = (
    "x' OR '1'='1", "x'; DROP MODEL m; --", 'x" OR "1"="1', "x\\' OR 1=1 -- ", "`x` OR 1", "') --",
    "{{content}}", "$1", "?", "%s", "*/ OR 1 /*", "\u02bc OR \u02bc1",
)  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_a_bound_text_is_compared_and_asked_as_it_is(doors: Any, speaker: Any, evil: str) -> None:
    speaker.engine.asked.clear()
    with (
        pymysql.connect(
            host="127.0.0.1", port=doors.mysql, user="u", password=doors.key, database="mindsdb"
        ) as my,
        my.cursor() as cursor,
    ):
        cursor.execute("SELECT id FROM shop.asked WHERE text = %s", (evil,))
        assert cursor.fetchall() == ()
        cursor.execute("SELECT answer, content FROM m WHERE content = %s", (evil,))
        assert cursor.fetchone() == ("Hello there.", evil)
    told = asyncio.run(speaker.say("SELECT id FROM shop.asked WHERE text = ?", evil))
    assert told == []
    where = f"host=127.0.0.1 port={doors.postgres} user=u dbname=mindsdb"
    with psycopg.connect(where, password=doors.key, autocommit=True) as pg:
        assert pg.execute("SELECT id FROM shop.asked WHERE text = %s", (evil,)).fetchall() == []
        row = pg.execute("SELECT answer, content FROM m WHERE content = %s", (evil,)).fetchone()
        assert row == ("Hello there.", evil)
        seen = "SELECT relname FROM pg_catalog.pg_class WHERE relname = %s"
        assert pg.execute(seen, (evil,)).fetchall() == []
    assert [each["name"] for each in speaker("SELECT name FROM models")] == ["m"]


def test_a_text_that_drivers_would_cut_is_refused(doors: Any) -> None:
    with (
        pymysql.connect(
            host="127.0.0.1", port=doors.mysql, user="u", password=doors.key, database="mindsdb"
        ) as my,
        my.cursor() as cursor,
    ):
        with pytest.raises(pymysql.err.MySQLError, match="character 0"):
            cursor.execute("SELECT id FROM shop.asked WHERE text = %s", ("x\0y",))
        cursor.execute("SELECT content FROM m WHERE content = %s", ("x\0y",))
        assert cursor.fetchone() == ("x\0y",)


def test_names_at_connect_and_in_use_are_names(doors: Any) -> None:
    for evil in ("mindsdb`; DROP MODEL m; --", 'mindsdb"; DROP MODEL m; --', "nope"):
        with pytest.raises(pymysql.err.OperationalError) as refused:
            pymysql.connect(
                host="127.0.0.1", port=doors.mysql, user="u", password=doors.key, database=evil
            )
        assert refused.value.args[0] == 1049
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(
                host="127.0.0.1", port=doors.postgres, user="u", password=doors.key, dbname=evil
            )


def test_a_bound_option_is_an_option_and_nothing_else(doors: Any, speaker: Any) -> None:
    with (
        pymysql.connect(
            host="127.0.0.1", port=doors.mysql, user="u", password=doors.key, database="mindsdb"
        ) as my,
        my.cursor() as cursor,
    ):
        with pytest.raises(pymysql.err.MySQLError):
            cursor.execute(
                "SELECT answer FROM m WHERE content = 'a' USING max_tokens = %s", ("1, prompt='x'",)
            )
        with pytest.raises(pymysql.err.MySQLError):
            cursor.execute("SELECT id FROM shop.asked LIMIT %s", ("1; DROP MODEL m",))
    assert [each["name"] for each in speaker("SELECT name FROM models")] == ["m"]
