"""Writing into MySQL and MariaDB, which commit what makes tables at once.

A table that is filled is first one that this connection alone sees, and then takes its name in one
statement: killed half-way, nothing is left.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from modiste.actions.data_sources import Opened
from modiste.sql import errors, sources
from modiste.sql.sink import Make, Path, dotted, naive, ticked

UNSAFE = ("MyISAM", "MEMORY", "CSV", "ARCHIVE", "Aria", "MRG_MyISAM")
"""MySQL's tables without transactions."""


class MySql:
    def __init__(self, source: Opened, timeout_s: float) -> None:
        self._connection = sources.mysql(source, timeout_s)
        self._connection.autocommit(False)
        self._hidden = f"__modiste_{uuid.uuid4().hex[:12]}"
        self._wanted: tuple[Path, bool] | None = None
        # Or else what is too long is cut.
        self._run("SET SESSION sql_mode = CONCAT_WS(',', @@sql_mode, 'STRICT_ALL_TABLES')")
        self._run("SET SESSION time_zone = '+00:00'")

    def columns(self, path: Path) -> list[str]:
        place = (path[0] if len(path) > 1 else None, path[-1])
        where = "WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s"
        engine = self._run(f"SELECT ENGINE FROM information_schema.TABLES {where}", place)  # noqa: S608
        if engine and engine[0][0] in UNSAFE:
            raise errors.bad(
                f"{'.'.join(path)} is a {engine[0][0]} table, which takes nothing back when a "
                "statement fails half-way; only tables with transactions are written to."
            )
        found = self._run(
            f"SELECT COLUMN_NAME FROM information_schema.COLUMNS {where} "  # noqa: S608
            "AND COALESCE(GENERATION_EXPRESSION, '') = '' ORDER BY ORDINAL_POSITION",
            place,
        )
        return [str(name) for (name,) in found]

    def create(self, path: Path, text: Make, *, replace: bool, filled: bool) -> None:
        if filled:
            self._wanted = (path, replace)
            made = text(ticked(self._hidden)).replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)
            self._run(f"{made} ENGINE = InnoDB")
        elif replace:
            self._replace(path, text)
        else:
            self._run(text(dotted(path, ticked)))

    def drop(self, path: Path) -> None:
        self._run(f"DROP TABLE {dotted(path, ticked)}")

    def append(self, path: Path, names: Sequence[str], batch: pa.RecordBatch) -> None:
        hidden = self._wanted is not None and self._wanted[0] == path
        where = dotted((self._hidden,) if hidden else path, ticked)
        into = ", ".join(ticked(name) for name in names)
        marks = ", ".join("%s" for _ in names)
        head = f"INSERT INTO {where} ({into})".replace("%", "%%")
        text = f"{head} VALUES ({marks})"
        rows = zip(*(naive(column).to_pylist() for column in batch.columns), strict=True)
        with self._connection.cursor() as cursor:
            cursor.executemany(text, list(rows))

    def commit(self) -> None:
        self._connection.commit()
        if self._wanted is None:
            return
        path, replace = self._wanted

        def text(name: str) -> str:
            return f"CREATE TABLE {name} AS SELECT * FROM {ticked(self._hidden)}"  # noqa: S608

        if replace:
            self._replace(path, text)
        else:
            self._run(text(dotted(path, ticked)))

    def close(self) -> None:
        self._connection.close()

    def _replace(self, path: Path, text: Make) -> None:
        """Made beside it first; then both change names in one step."""
        wanted = dotted(path, ticked)
        beside, old = (
            dotted((*path[:-1], f"{self._hidden}_{which}"), ticked) for which in ("new", "old")
        )
        if not self.columns(path):
            self._run(text(wanted))
            return
        self._run(text(beside))
        self._run(f"RENAME TABLE {wanted} TO {old}, {beside} TO {wanted}")
        self._run(f"DROP TABLE {old}")

    def _run(self, text: str, given: Sequence[object] | None = None) -> Sequence[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(text, given)
            found: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return found
