"""Rows of MySQL and MariaDB as they come: nothing but one batch of them is held here.

Kinds are told by the server before the first row. DECIMAL is float, as PostgreSQL's numeric; TIME
is text; a date that is none (0000-00-00) is NULL.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
from pymysql.constants import FIELD_TYPE, FLAG
from pymysql.cursors import SSCursor

ROWS = 5_000
"""Of a batch."""
INTEGERS = frozenset(
    {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG,
     FIELD_TYPE.YEAR}
)  # fmt: skip
FLOATS = frozenset({FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE, FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL})
TIMES = frozenset({FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME})
BYTES = frozenset(
    {FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.BLOB,
     FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.VARCHAR, FIELD_TYPE.BIT,
     FIELD_TYPE.GEOMETRY}
)  # fmt: skip
BINARY = 63
"""The character set of what is no text."""


class Streamed(NamedTuple):
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None]


def stream(connection: Any, sql: str) -> Streamed:
    """A query's rows; `close` ends it and its connection, whatever is still to come.

    Raises:
        pymysql.MySQLError: of the query at once, of the connection between batches.
    """
    cursor = connection.cursor(SSCursor)

    def close() -> None:
        cursor.connection = None  # Closing the cursor would read every row that is left,
        if cursor._result is not None:  # and so would forgetting its result.
            cursor._result.unbuffered_active = False
        if connection.open:
            connection.close()

    try:
        with warnings.catch_warnings(action="ignore"):
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(sql)
        fields = [] if cursor._result is None else cursor._result.fields
        schema = pa.schema([(field.name, _type(field)) for field in fields])
    except BaseException:
        close()
        raise
    return Streamed(schema, _batches(cursor, schema), close)


def _batches(cursor: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while rows := cursor.fetchmany(ROWS):
        columns = zip(*rows, strict=True)
        arrays = [
            pa.array(_plain(column, field.type), field.type)
            for column, field in zip(columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _type(field: Any) -> pa.DataType:
    kind = field.type_code
    if kind in INTEGERS:
        return pa.uint64() if kind == FIELD_TYPE.LONGLONG and _unsigned(field) else pa.int64()
    if kind in FLOATS:
        return pa.float64()
    if kind in TIMES:
        return pa.timestamp("us")
    if kind == FIELD_TYPE.DATE:
        return pa.date32()
    return pa.binary() if kind in BYTES and field.charsetnr == BINARY else pa.string()


def _unsigned(field: Any) -> bool:
    return bool(field.flags & FLAG.UNSIGNED)


def _plain(column: Sequence[object], of: pa.DataType) -> Sequence[object]:
    """Values as Arrow takes them."""
    if pa.types.is_timestamp(of) or pa.types.is_date(of):
        return [value if isinstance(value, (date, datetime)) else None for value in column]
    if pa.types.is_floating(of):
        return [float(value) if isinstance(value, Decimal) else value for value in column]
    if pa.types.is_string(of):
        return [value if value is None or isinstance(value, str) else _text(value)
                for value in column]  # fmt: skip
    return column


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
