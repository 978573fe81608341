"""Databases and files as they are read; PostgreSQL is a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from modiste.actions.data_sources import Opened
from modiste.sql import local, sources
from modiste.sql.errors import SqlError


@pytest.fixture(scope="module")
def postgres(postgresql_server: str) -> Opened:
    import psycopg

    folder = postgresql_server.partition("host=")[2]
    with psycopg.connect(
        f"postgresql://modiste@/postgres?host={folder}", autocommit=True
    ) as connection:
        connection.execute("DROP SCHEMA IF EXISTS demo CASCADE")
        connection.execute("CREATE SCHEMA demo")
        connection.execute(
            "CREATE TABLE demo.t (id int, n numeric(9,2), j jsonb, w timestamptz, x text, b bytea)"
        )
        connection.execute(
            "INSERT INTO demo.t VALUES "
            "(1, 1.25, '{\"a\": 1}', '2026-01-02 03:04:05+00', 'é', '\\x01')"
        )
        connection.execute("INSERT INTO demo.t (id) VALUES (2)")
    given = {"host": folder, "user": "modiste", "database": "postgres", "schema": "demo"}
    return Opened("pg", "postgres", given)


def read(source: Opened, sql: str) -> list[tuple[object, ...]]:
    table = sources.read(source, sql, 10).table()
    return [row for batch in table.to_batches() for row in local.values(batch)]


def test_postgresql_is_read_with_its_types(postgres: Opened) -> None:
    sources.check(postgres, 10)
    assert ("demo", "t", "BASE TABLE") in sources.tables(postgres, 10)
    first, second = read(postgres, "SELECT id, n, j, x, b FROM t ORDER BY id")
    assert first == (1, 1.25, '{"a": 1}', "é", b"\x01")
    assert second == (2, None, None, None, None)
    schema = sources.read(postgres, "SELECT w, n FROM t", 10).table().schema
    assert [column.kind for column in local.columns(schema)] == ["timestamp", "float"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone", "read-only transaction"),
        ("COPY (SELECT 1) TO PROGRAM 'true'", "begins with COPY"),
        ("SELECT 1; DELETE FROM t", "one query at a time"),
        ("SELECT pg_sleep(5)", "statement timeout"),
        ("SELECT nope FROM t", 'column "nope" does not exist'),
    ],
)
def test_postgresql_is_only_read_and_not_for_ever(postgres: Opened, text: str, told: str) -> None:
    with pytest.raises(SqlError) as refused:
        sources.read(postgres, text, 0.3).table()
    assert told in refused.value.message
    assert refused.value.message.startswith("pg: ")


def test_a_reading_may_be_left_half_way(postgres: Opened) -> None:
    reading = sources.read(postgres, "SELECT generate_series(1, 100000) AS n", 10)
    assert next(reading.batches).num_rows > 0
    reading.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "c.csv").write_text("id,x\n1,a\n2,b\n")
    (folder / "j.jsonl").write_text('{"id": 1, "x": "a"}\n{"id": 2, "x": "b"}\n')
    parquet.write_table(pa.table({"id": [1, 2], "x": ["a", "b"]}), folder / "p.parquet")
    with duckdb.connect(str(folder / "d.duckdb")) as connection:
        connection.execute("CREATE TABLE d AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(id, x)")
    return folder


@pytest.mark.parametrize(
    ("engine", "name"),
    [("csv", "c.csv"), ("jsonl", "j.jsonl"), ("parquet", "p.parquet"), ("duckdb", "d.duckdb")],
)
def test_a_file_is_a_database_of_tables(folder: Path, engine: str, name: str) -> None:
    source = Opened("f", engine, {"path": str(folder / name)})
    sources.check(source, 10)
    assert [each.name for each in sources.tables(source, 10)] == [name[0]]
    assert read(source, f"SELECT x FROM {name[0]} WHERE id = 2") == [("b",)]


def test_a_duckdb_file_reaches_no_other_file(folder: Path) -> None:
    source = Opened("f", "duckdb", {"path": str(folder / "d.duckdb")})
    with pytest.raises(SqlError):
        read(source, "SELECT * FROM read_text('/etc/passwd')")


def test_a_password_is_in_no_message() -> None:
    given: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "user": "u", "password": "s3 cret",
                             "database": "d"}  # fmt: skip
    for engine in ("postgres", "mysql"):
        with pytest.raises(SqlError, match="Can't connect to db") as refused:
            sources.check(Opened("x", engine, given), 2)
        assert "cret" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "VACUUM INTO 'copy.db'",
        "ATTACH 'other.db' AS o",
        "(PRAGMA journal_mode)",
        "SELECT 1; SELECT 2",
    ],
)
def test_what_is_no_single_query_reaches_no_source(tmp_path: Path, text: str) -> None:
    import sqlite3

    path = tmp_path / "s.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE t (a)")
    source = Opened("s", "sqlite", {"path": str(path)})
    with pytest.raises(SqlError, match="is passed on"):
        sources.read(source, text, 10)
    assert read(source, "-- read\nSELECT count(*) AS n FROM t;") == [(0,)]
    assert [found.name for found in tmp_path.iterdir()] == ["s.db"]
