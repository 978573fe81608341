"""Writing into databases: a connection of its own, one transaction, rows in batches.

Values travel beside the text, names are quoted. What was not committed leaves nothing behind, be
it an error, a cancelled statement or a killed process. All of this blocks: call it in threads.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote

import pyarrow as pa

from modiste.actions.data_sources import Opened
from modiste.sql import errors, local, sources
from modiste.sql.mysql_sink import MySql
from modiste.sql.sink import Make, Path, Sink, dotted, naive, quoted

WAIT_S = 10.0
"""For a lock of a file, at most."""


def check(source: Opened) -> None:
    """Raises SqlError: nothing can be written there."""
    if source.engine not in SINKS:
        raise errors.SqlError(
            f"{source.name} is a file of kind {source.engine}, which is only read.",
            code=1235,
            sqlstate="0A000",
        )


@contextmanager
def opened(source: Opened, timeout_s: float) -> Iterator[Sink]:
    """A transaction that is taken back unless it is committed.

    Raises:
        SqlError: no file or server there, or what it says against a statement.
    """
    check(source)
    with sources.told(source):
        sink = SINKS[source.engine](source, timeout_s)
    try:
        with sources.told(source, connected=True):
            yield sink
    finally:
        sink.close()


def _inserting(path: Path, names: Sequence[str], rest: str) -> str:
    into = ", ".join(quoted(name) for name in names)
    return f"INSERT INTO {dotted(path)} ({into}) {rest}"


class _Making(ABC):
    """What databases have in common that take back the making of tables, too."""

    @abstractmethod
    def _run(self, text: str) -> None: ...

    def create(self, path: Path, text: Make, *, replace: bool, filled: bool) -> None:
        if replace:
            self._run(f"DROP TABLE IF EXISTS {dotted(path)}")
        self._run(text(dotted(path)))

    def drop(self, path: Path) -> None:
        self._run(f"DROP TABLE {dotted(path)}")


class _Postgres(_Making):
    def __init__(self, source: Opened, timeout_s: float) -> None:
        self._connection = sources.postgres(source, timeout_s, write=True)
        self._cursor = self._connection.cursor()
        self._types: dict[Path, dict[str, str]] = {}

    def _run(self, text: str) -> None:
        self._cursor.execute(text)

    def columns(self, path: Path) -> list[str]:
        # Without a length, which a cast would cut a text to; -1 says "none" for char as well.
        self._cursor.execute(
            "SELECT attname::text, format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = "
            "to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' "
            "ORDER BY attnum",
            parameters=(dotted(path),),
        )
        self._types[path] = dict(self._cursor.fetchall())
        return [*self._types[path]]

    def append(self, path: Path, names: Sequence[str], batch: pa.RecordBatch) -> None:
        if path not in self._types:
            self.columns(path)
        types = self._types[path]
        values = ", ".join(f"CAST(v{at} AS {types[name]})" for at, name in enumerate(names))
        asked = ", ".join(f"${at + 1}::text[]" for at in range(len(names)))
        known = ", ".join(f"v{at}" for at in range(len(names)))
        rest = f"SELECT {values} FROM unnest({asked}) AS u({known})"  # noqa: S608
        lists = [_one_list(_texts(column)) for column in batch.columns]
        given = pa.RecordBatch.from_arrays(lists, [str(at) for at in range(len(names))])
        self._cursor.execute(_inserting(path, names, rest), parameters=given)

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        self._cursor.close()
        self._connection.close()


class _Sqlite(_Making):
    def __init__(self, source: Opened, timeout_s: float) -> None:
        path = quote(str(sources.there(source)))
        self._connection = sqlite3.connect(
            f"file:{path}?mode=rw", uri=True, timeout=min(timeout_s, WAIT_S),
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        self._run("PRAGMA foreign_keys = ON")
        self._run("BEGIN IMMEDIATE")

    def _run(self, text: str) -> None:
        self._connection.execute(text)

    def columns(self, path: Path) -> list[str]:
        schema = path[0] if len(path) > 1 else "main"
        query = "SELECT name FROM pragma_table_info(?, ?)"
        return [str(name) for (name,) in self._connection.execute(query, (path[-1], schema))]

    def append(self, path: Path, names: Sequence[str], batch: pa.RecordBatch) -> None:
        rest = f"VALUES ({', '.join('?' for _ in names)})"
        columns = [
            _texts(naive(each)) if pa.types.is_timestamp(each.type) else each
            for each in batch.columns
        ]
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        self._connection.executemany(_inserting(path, names, rest), rows)

    def commit(self) -> None:
        self._run("COMMIT")

    def close(self) -> None:
        self._connection.close()


class _DuckDb(_Making):
    def __init__(self, source: Opened, timeout_s: float) -> None:
        self._connection = local.opened(sources.there(source), read_only=False)
        self._run("BEGIN")

    def _run(self, text: str) -> None:
        self._connection.execute(text)

    def columns(self, path: Path) -> list[str]:
        found = self._connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
            "AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) "
            "ORDER BY column_index",
            [path[0] if len(path) > 1 else "main", path[-1]],
        ).fetchall()
        return [str(name) for (name,) in found]

    def append(self, path: Path, names: Sequence[str], batch: pa.RecordBatch) -> None:
        columns = [naive(column) for column in batch.columns]
        self._connection.register("__batch", pa.table(columns, names=batch.schema.names))
        self._run(_inserting(path, names, "SELECT * FROM __batch"))
        self._connection.unregister("__batch")

    def commit(self) -> None:
        self._run("COMMIT")

    def close(self) -> None:
        self._connection.close()


def _texts(column: pa.Array) -> pa.Array:
    """As PostgreSQL reads each kind from text."""
    if not pa.types.is_binary(column.type):
        return column.cast(pa.string())
    return pa.array([v if v is None else f"\\x{v.hex()}" for v in column.to_pylist()], pa.string())


def _one_list(column: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)


SINKS: dict[str, Callable[[Opened, float], Sink]] = {
    "postgres": _Postgres,
    "mysql": MySql,
    "sqlite": _Sqlite,
    "duckdb": _DuckDb,
}
