"""What is asked of a database that is written to, and the words that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import pyarrow as pa

from modiste.sql.result import Column, Kind

Path = tuple[str, ...]
"""`[schema.]table`"""
Make = Callable[[str], str]
"""The text of a CREATE TABLE for a name that is quoted already."""
TYPES: dict[str, dict[Kind, str]] = {
    "postgres": {
        "text": "text", "integer": "bigint", "float": "double precision", "boolean": "boolean",
        "timestamp": "timestamptz", "json": "jsonb", "bytes": "bytea",
    },
    "mysql": {
        "text": "LONGTEXT", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN",
        "timestamp": "DATETIME(6)", "json": "JSON", "bytes": "LONGBLOB",
    },
    "sqlite": {
        "text": "TEXT", "integer": "INTEGER", "float": "REAL", "boolean": "BOOLEAN",
        "timestamp": "TIMESTAMP", "json": "TEXT", "bytes": "BLOB",
    },
    "duckdb": {
        "text": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN",
        "timestamp": "TIMESTAMP", "json": "VARCHAR", "bytes": "BLOB",
    },
}  # fmt: skip
"""What a column of a kind becomes in a table that is made for it. Times are UTC."""


class Sink(Protocol):
    """One transaction in one database."""

    def columns(self, path: Path) -> list[str]:
        """Of a table, those that can be written, in order; empty where it is not there."""

    def create(self, path: Path, text: Make, *, replace: bool, filled: bool) -> None:
        """
        Args:
            filled: rows follow in this transaction.
        """

    def drop(self, path: Path) -> None: ...

    def append(self, path: Path, names: Sequence[str], batch: pa.RecordBatch) -> None: ...

    def commit(self) -> None: ...

    def close(self) -> None:
        """Without a commit before it, nothing has happened."""


def made_for(columns: Sequence[Column], engine: str) -> Make:
    """The text that makes a table for rows of these columns."""
    types, name_of = TYPES[engine], ticked if engine == "mysql" else quoted
    inside = ", ".join(f"{name_of(column.name)} {types[column.kind]}" for column in columns)
    return lambda name: f"CREATE TABLE {name} ({inside})"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def ticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def dotted(path: Path, name_of: Callable[[str], str] = quoted) -> str:
    return ".".join(name_of(part) for part in path)


def naive(column: pa.Array) -> pa.Array:
    """A time without its zone, which is UTC."""
    return column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column
