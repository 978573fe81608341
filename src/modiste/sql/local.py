"""The local engine: DuckDB over Arrow tables, shut off from files, network and Python's names.

Also what Arrow's types and values are for the wires.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from modiste.sql import errors
from modiste.sql.result import BATCH_ROWS, Column, Kind, Row, Rows

CONFIG: dict[str, Any] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
MEMORY = "1GB"
"""Of one query's joins, groups and sorting; more goes to a folder that is gone with the query."""
WAIT_S = 10.0
STREAM_ROWS = 2048


@dataclass
class Reading:
    """A query under way. Read `batches` to its end, or `close` it."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None]

    def table(self) -> pa.Table:
        try:
            return pa.Table.from_batches(self.batches, schema=self.schema)
        finally:
            self.close()


class Engine:
    """One connection over tables by name, for one thread at a time; `close` it.

    A reader in place of a table is read once, as far as a query needs it.
    """

    def __init__(self, tables: Mapping[str, pa.Table | pa.RecordBatchReader]) -> None:
        self._spill = tempfile.TemporaryDirectory(prefix="modiste-sql-")
        config = {**CONFIG, "memory_limit": MEMORY, "temp_directory": self._spill.name}
        self._connection = duckdb.connect(config=config)
        self._connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            self._connection.register(name, table)
        self._connection.execute("SET lock_configuration = true")

    def put(self, name: str, table: pa.Table | pa.RecordBatchReader) -> None:
        """In place of what had the name."""
        self._connection.register(name, table)

    def table(self, sql: str) -> pa.Table:
        """Raises SqlError: what DuckDB makes of it."""
        with _told():
            return self._connection.sql(sql).to_arrow_table()

    def stream(self, sql: str) -> Reading:
        """As `table`, whose rows come as they are computed. Closing it closes this engine."""
        with _told():
            reader = self._connection.sql(sql).to_arrow_reader(STREAM_ROWS)

        def batches() -> Iterator[pa.RecordBatch]:
            with _told():
                yield from reader

        return Reading(reader.schema, batches(), self.close)

    def interrupt(self) -> None:
        """From another thread: end what runs."""
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()
        self._spill.cleanup()


def run(sql: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    """One query over tables by name.

    Raises:
        SqlError: what DuckDB makes of it.
    """
    engine = Engine(tables)
    try:
        return engine.table(sql)
    finally:
        engine.close()


@contextmanager
def _told() -> Iterator[None]:
    """What DuckDB raises, as an error of ours."""
    try:
        yield
    except duckdb.BinderException as error:
        raise errors.no_column(_first_line(error)) from None
    except duckdb.CatalogException as error:
        raise errors.no_table(_first_line(error)) from None
    except duckdb.ParserException as error:
        raise errors.SqlError(_first_line(error), code=1064, sqlstate="42601") from None
    except (duckdb.Error, OSError, pa.ArrowException) as error:  # A reader says the latter two.
        raise errors.bad(_first_line(error)) from None


def opened(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A database file. In one process all hold it in the same way, so another way waits a while."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=CONFIG)
        except duckdb.ConnectionException as error:
            if "different configuration" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def columns(schema: pa.Schema, names: Sequence[str] | None = None) -> tuple[Column, ...]:
    names = schema.names if names is None else names
    return tuple(Column(name, kind(each.type)) for name, each in zip(names, schema, strict=True))


def kind(of: pa.DataType) -> Kind:
    types = pa.types
    if types.is_boolean(of):
        return "boolean"
    if types.is_integer(of):
        return "integer"
    if types.is_floating(of) or types.is_decimal(of):
        return "float"
    if types.is_timestamp(of):
        return "timestamp"
    if types.is_binary(of) or types.is_large_binary(of):
        return "bytes"
    return "json" if types.is_nested(of) else "text"


def values(batch: pa.RecordBatch) -> list[Row]:
    """Rows of plain values, as `result` promises them."""
    plain = []
    for column in batch.columns:
        change = _change(column.type)
        found = column.to_pylist()
        plain.append(found if change is None else [v if v is None else change(v) for v in found])
    return list(zip(*plain, strict=True)) if plain else [()] * batch.num_rows


def rows(table: pa.Table, names: Sequence[str] | None = None) -> Rows:
    async def batches() -> AsyncGenerator[list[Row], None]:
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            yield values(batch)

    return Rows(columns(table.schema, names), batches())


def _change(of: pa.DataType) -> Callable[[Any], object] | None:
    types = pa.types
    if types.is_decimal(of):
        return float
    if types.is_nested(of):
        return lambda value: json.dumps(value, default=_as_text, ensure_ascii=False)
    untouched = (
        types.is_boolean(of) or types.is_integer(of) or types.is_floating(of)
        or types.is_string(of) or types.is_large_string(of) or types.is_binary(of)
        or types.is_large_binary(of) or types.is_timestamp(of)
    )  # fmt: skip
    return None if untouched else str


def _as_text(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
