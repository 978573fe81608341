"""PostgreSQL's tools look around: their queries as they send them, over the real wire."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import Any

import pytest

sa: Any = pytest.importorskip("sqlalchemy", reason="run `make install`")
COLUMNS = ("pg_catalog.format_type(a.atttypid, a.atttypmod)", "a.attnotnull")


@pytest.fixture(scope="module")
def engines(doors: Any) -> Any:
    """By database, over psycopg."""
    pytest.importorskip("psycopg", reason="run `make install`")
    made = {
        name: sa.create_engine(
            sa.URL.create("postgresql+psycopg", "u", doors.key, "127.0.0.1", doors.postgres, name)
        )
        for name in ("mindsdb", "shop")
    }
    yield made
    for engine in made.values():
        engine.dispose()


def test_sqlalchemy_lists_models_views_and_tables_with_their_columns(engines: Any) -> None:
    looked = sa.inspect(engines["mindsdb"])
    assert "m" in looked.get_table_names()
    assert {"mindsdb", "shop", "information_schema"} <= set(looked.get_schema_names())
    assert [each["name"] for each in looked.get_columns("m")] == ["answer", "content"]
    assert "models" in looked.get_view_names()
    kinds = {each["name"]: str(each["type"]) for each in looked.get_columns("models")}
    assert (kinds["NAME"], kinds["VERSION"]) == ("TEXT", "BIGINT")
    assert looked.has_table("m")
    assert not looked.has_table("nope")


def test_sqlalchemy_reflects_a_source_and_reads_it(engines: Any) -> None:
    looked = sa.inspect(engines["shop"])
    assert looked.get_table_names() == ["asked", "chats"]
    told = {each["name"]: str(each["type"]) for each in looked.get_columns("asked")}
    assert told == {"id": "BIGINT", "text": "TEXT", "n": "DOUBLE PRECISION"}
    assert (looked.get_pk_constraint("asked")["constrained_columns"], looked.get_indexes("asked"),
            looked.get_foreign_keys("asked")) == ([], [], [])  # fmt: skip
    assert looked.get_table_names(schema="mindsdb") != []
    table = sa.Table("asked", sa.MetaData(), autoload_with=engines["shop"])
    with engines["shop"].connect() as connection:
        rows = connection.execute(sa.select(table.c.id, table.c.text).where(table.c.id < 3)).all()
        assert rows == [(1, "Hi"), (2, "Bye")]


def test_asyncpg_is_told_true_kinds_before_a_statement_runs(doors: Any, speaker: Any) -> None:
    asyncpg = pytest.importorskip("asyncpg", reason="run `make install`")

    async def look() -> dict[str, list[tuple[str, str]]]:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=doors.postgres, user="u", password=doors.key, database="mindsdb"
        )
        try:
            told = {}
            for text in (
                "SELECT id, text, n FROM shop.asked WHERE id = $1::int",
                "SELECT 1 + 2 AS x, 'a' AS y, true AS z",
                "SELECT t.id, m.answer FROM shop.asked AS t JOIN m ON m.content = t.text",
                "SELECT q.id, c.id AS other FROM shop.asked AS q JOIN places.cities AS c "
                "ON c.id = q.id",
                "SELECT * FROM shop.asked",
            ):
                prepared = await connection.prepare(text)
                told[text] = [(a.name, a.type.name) for a in prepared.get_attributes()]
            told["rows"] = [tuple(r) for r in await connection.fetch("SELECT id FROM shop.asked")]
            return told
        finally:
            await connection.close()

    speaker.engine.asked.clear()
    *told, rows = asyncio.run(look()).values()
    assert told == [
        [("id", "int8"), ("text", "text"), ("n", "float8")],
        [("x", "int8"), ("y", "text"), ("z", "bool")],
        [("id", "int8"), ("answer", "text")],
        [("id", "int8"), ("other", "int8")],
        [("id", "int8"), ("text", "text"), ("n", "float8")],
    ]
    assert rows == [(1,), (2,), (3,), (4,)]
    assert speaker.engine.asked == [], "nobody was asked"


@pytest.mark.parametrize(
    ("command", "database", "shown"),
    [
        ("\\dt", "mindsdb", "mindsdb|m|table|modiste"),
        ("\\dv", "mindsdb", "mindsdb|models|view|modiste"),
        ("\\d", "shop", "shop|asked|table|modiste"),
        ("\\d asked", "shop", "n|double precision"),
        ("\\d+ m", "mindsdb", "content|text"),
        ("\\l", "mindsdb", "shop|modiste|UTF8"),
        ("\\dn", "mindsdb", "mindsdb|modiste"),
        ("\\du", "mindsdb", "modiste"),
        ("\\df", "mindsdb", ""),
        ("\\di", "mindsdb", ""),
        ("\\dp", "mindsdb", "mindsdb|m|table"),
    ],
)
def test_psql_lists_and_describes(doors: Any, command: str, database: str, shown: str) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed (Debian: apt-get install postgresql-client)")
    where = ["-h", "127.0.0.1", "-p", str(doors.postgres), "-U", "u", database]
    done = subprocess.run(
        ["psql", "-X", *where, "-At", "-c", command], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PGPASSWORD": doors.key},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout, done.stdout
