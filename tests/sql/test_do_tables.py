"""Rows written into databases by statement; PostgreSQL is a real one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from speaking import Speaker

from modiste.sql import sinks
from modiste.sql.errors import SqlError
from modiste.types import Scope

ENGINES = ("sqlite", "duckdb", "postgres")


@pytest.fixture(scope="module")
def bases(speaker: Speaker, request: pytest.FixtureRequest) -> Iterator[Speaker]:
    """Databases `sqlite`, `duckdb` and `postgres` that may be written to, empty."""
    import duckdb

    folder = speaker.session.place.database.settings.sql_files
    with sqlite3.connect(folder / "w.db") as made:
        made.execute("CREATE TABLE x (a)")
    duckdb.connect(str(folder / "w.duckdb")).close()
    host = request.getfixturevalue("postgresql_server").partition("host=")[2]
    for engine in ("sqlite", "duckdb"):
        name = "w.db" if engine == "sqlite" else "w.duckdb"
        speaker(f"CREATE DATABASE {engine} ENGINE='{engine}' PARAMETERS={{'path': '{name}'}}")
    speaker(
        "CREATE DATABASE postgres ENGINE='postgres' PARAMETERS="
        f"{{'host': '{host}', 'user': 'modiste', 'database': 'postgres', 'schema': 'w'}}"
    )
    import psycopg

    with psycopg.connect(f"host={host} user=modiste dbname=postgres", autocommit=True) as there:
        there.execute("DROP SCHEMA IF EXISTS w CASCADE")
        there.execute("CREATE SCHEMA w")
    yield speaker
    for engine in ENGINES:
        speaker(f"DROP DATABASE {engine}")


def rows(speaker: Speaker, text: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in speaker(text)]


@pytest.mark.parametrize("engine", ENGINES)
def test_answers_are_written_back_beside_their_rows(bases: Speaker, engine: str) -> None:
    bases(f"CREATE TABLE {engine}.answers (id int NOT NULL, answer text, PRIMARY KEY (id))")
    ask = "SELECT t.id, m.answer FROM shop.asked AS t JOIN m ON m.content = t.text"
    assert bases(f"INSERT INTO {engine}.answers ({ask})") == "INSERT 0 4"
    told = rows(bases, f"SELECT * FROM {engine}.answers ORDER BY id")
    assert told == [(1, "Hello there."), (2, "Hello there."), (3, None), (4, "Hello there.")]
    with pytest.raises(SqlError):  # The key is there already: nothing of the second is written.
        bases(f"INSERT INTO {engine}.answers VALUES (9, 'new'), (1, 'twice')")
    assert rows(bases, f"SELECT count(*) FROM {engine}.answers") == [(4,)]
    assert bases(f"DROP TABLE {engine}.answers; DROP TABLE IF EXISTS {engine}.answers") == (
        "DROP TABLE"
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_values_of_every_kind_come_back_as_they_were(bases: Speaker, engine: str) -> None:
    query = ("SELECT 1 AS i, 0.1 AS f, true AS o, 'é''\"\\\\x' AS t, "
             "CAST('2026-01-02 03:04:05' AS timestamp) AS w, CAST(NULL AS varchar) n")  # fmt: skip
    bases(f"CREATE OR REPLACE TABLE {engine}.kinds ({query})")
    bases(f"CREATE OR REPLACE TABLE {engine}.kinds ({query})")
    bases(f"INSERT INTO {engine}.kinds {query}")
    found = rows(bases, f"SELECT i, f, o, t, w, n FROM {engine}.kinds")
    assert len(found) == 2
    for i, f, o, t, w, n in found:
        assert (i, f, bool(o), t, n) == (1, 0.1, True, "é'\"\\x", None)
        assert str(w)[:19] == "2026-01-02 03:04:05"
    with pytest.raises(SqlError, match="Table already exists"):
        bases(f"CREATE TABLE {engine}.kinds ({query})")
    assert bases(f"CREATE TABLE IF NOT EXISTS {engine}.kinds ({query})") == "CREATE TABLE"
    bases(f"DROP TABLE {engine}.kinds")


def test_columns_go_by_name_where_the_query_has_them_and_by_place_otherwise(
    bases: Speaker,
) -> None:
    bases("CREATE TABLE sqlite.t (id int, text varchar(9), at timestamp DEFAULT NULL)")
    bases("INSERT INTO sqlite.t (SELECT text, id FROM shop.asked WHERE id = 1)")
    assert bases.session.notes == ["Columns were matched by their names: text, id."]
    bases("INSERT INTO sqlite.t SELECT 2, 'two', NULL")
    bases("INSERT INTO sqlite.t (TEXT, id) VALUES ('three', 3)")
    told = rows(bases, "SELECT id, text FROM sqlite.t")
    assert told == [(1, "Hi"), (2, "two"), (3, "three")]
    for text, said in (
        ("INSERT INTO sqlite.t SELECT 1, 2", "The query has 2 columns"),
        ("INSERT INTO sqlite.t (nope) SELECT 1", "Unknown column 'nope'"),
        ("INSERT INTO sqlite.t (id, text) SELECT 1", "names 2 columns, and its query has 1"),
        ("INSERT INTO sqlite.nope SELECT 1", "Table 'nope' not found in database: sqlite"),
        ("CREATE TABLE sqlite.u (SELECT 1 AS a, 2 AS a)", "Two columns would be called a"),
        ("CREATE TABLE sqlite.u (a int CHECK (a > 0))", "is not passed on"),
        ("DROP TABLE sqlite.u", "not found in database"),
        ("INSERT INTO places.cities SELECT 1", "a file of kind csv, which is only read"),
        ("INSERT INTO mindsdb.m SELECT 1", "no database that is written to"),
        ("INSERT INTO nodb.m SELECT 1", "Database does not exist: nodb"),
    ):
        with pytest.raises(SqlError) as refused:
            bases(text)
        assert said in refused.value.message
    bases("DROP TABLE sqlite.t")


@pytest.mark.parametrize("engine", ENGINES)
def test_parameters_and_names_are_never_text_of_the_statement(bases: Speaker, engine: str) -> None:
    evil = "x'); DROP TABLE t; --\"`"
    bases(f'CREATE TABLE {engine}.t (id int, `odd "name` text)')
    bases(f"INSERT INTO {engine}.t VALUES (?, ?), (?, ?)", 1, evil, 2, None)
    assert rows(bases, f"SELECT * FROM {engine}.t ORDER BY id") == [(1, evil), (2, None)]
    bases(f"DROP TABLE {engine}.t")


def test_a_text_that_is_too_long_is_refused_and_not_cut(bases: Speaker) -> None:
    bases("CREATE TABLE postgres.t (x varchar(3), c char(2))")
    with pytest.raises(SqlError, match="too long"):
        bases("INSERT INTO postgres.t VALUES ('abcd', 'a')")
    bases("INSERT INTO postgres.t VALUES ('abc', 'ab')")
    assert rows(bases, "SELECT * FROM postgres.t") == [("abc", "ab")]
    bases("DROP TABLE postgres.t")


def test_who_may_only_read_may_not_write(bases: Speaker) -> None:
    actor = bases.session.caller
    try:
        bases.session.caller = replace(actor, scopes=frozenset({Scope.DATA, Scope.INFER}))
        with pytest.raises(SqlError, match="Into shop only admins write") as refused:
            bases("CREATE TABLE shop.t (SELECT 1 AS a)")
        assert refused.value.code == 1045
        bases.session.caller = actor
        bases("ALTER DATABASE shop PARAMETERS = {'writers': 'data'}")
        bases.session.caller = replace(actor, scopes=frozenset({Scope.DATA}))
        bases("CREATE TABLE shop.t (SELECT 1 AS a); DROP TABLE shop.t")
        bases.session.caller = actor
        bases("ALTER DATABASE shop PARAMETERS = {'writers': 'none'}")
        with pytest.raises(SqlError, match="shop is only read"):
            bases("DROP TABLE shop.asked")
        with pytest.raises(SqlError, match="writers is 'me', expected admin, data, none"):
            bases("ALTER DATABASE shop PARAMETERS = {'writers': 'me'}")
    finally:
        bases.session.caller = actor
        bases("ALTER DATABASE shop PARAMETERS = {'writers': 'admin'}")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cancelled_statement_has_written_nothing(
    bases: Speaker, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases(f"CREATE TABLE {engine}.t (id int)")
    kind: Any = sinks.SINKS[engine]
    append = kind.append
    begun: list[int] = []

    def slow(self: Any, *given: Any) -> None:
        append(self, *given)
        begun.append(1)
        loop = statement.get_loop()
        loop.call_soon_threadsafe(statement.cancel)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result()  # It has heard it.

    monkeypatch.setattr(kind, "append", slow)

    async def run() -> None:
        nonlocal statement
        statement = asyncio.ensure_future(
            bases.say(f"INSERT INTO {engine}.t SELECT * FROM generate_series(1, 5000) AS g(id)")
        )
        with pytest.raises(asyncio.CancelledError):
            await statement

    statement: Any = None
    asyncio.run(run())
    assert len(begun) == 1
    assert rows(bases, f"SELECT count(*) FROM {engine}.t") == [(0,)]
    bases(f"DROP TABLE {engine}.t")


def test_a_table_is_copied_within_its_own_database(bases: Speaker) -> None:
    text = "CREATE OR REPLACE TABLE sqlite.n (SELECT * FROM generate_series(1, 30000) AS g(id))"
    bases(text)
    assert bases("INSERT INTO sqlite.n SELECT id FROM sqlite.n") == "INSERT 0 30000"
    bases("USE sqlite; DROP TABLE n")
    bases.session.database = "mindsdb"
