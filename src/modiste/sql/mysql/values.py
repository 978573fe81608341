"""Columns and rows as MySQL's clients read them: as text, and in binary for prepared statements.

Times are UTC; numbers that do not fit 64 bits are refused in binary, never cut.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from modiste.sql.errors import SqlError
from modiste.sql.mysql.packets import text
from modiste.sql.result import Column, Kind

NULL = b"\xfb"
BINARY, UTF8 = 63, 45


class Type(NamedTuple):
    number: int
    charset: int
    length: int
    flags: int
    decimals: int


TYPES: dict[Kind, Type] = {
    "text": Type(253, UTF8, 0x3FFFF, 0, 0),
    "integer": Type(8, BINARY, 20, 0x80, 0),
    "float": Type(5, BINARY, 22, 0x80, 31),
    "boolean": Type(1, BINARY, 1, 0x80, 0),
    "timestamp": Type(12, BINARY, 26, 0x80, 6),
    "json": Type(245, UTF8, 0xFFFFFFFF, 0x90, 0),
    "bytes": Type(252, BINARY, 0xFFFFFFFF, 0x90, 0),
}


def column(each: Column, *, database: str, table: str = "") -> bytes:
    """What a result set says of a column before its rows."""
    kind = TYPES[each.kind]
    name = text(each.name.encode())
    where = text(database.encode()) + text(table.encode()) * 2
    fixed = struct.pack("<HIBHBH", kind.charset, kind.length, kind.number, kind.flags,
                        kind.decimals, 0)  # fmt: skip
    return text(b"def") + where + name + name + b"\x0c" + fixed


def parameter() -> bytes:
    """What a prepared statement says of a parameter: anything may come."""
    return column(Column("?", "text"), database="")


def text_row(row: Sequence[object]) -> bytes:
    return b"".join(NULL if value is None else text(as_text(value)) for value in row)


def as_text(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"1" if value else b"0"
    if isinstance(value, datetime):
        return _utc(value).isoformat(" ").encode()
    return str(value).encode()


class Binary:
    """Rows of a prepared statement: values at their own width, NULLs as bits in front."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._write = [WRITERS[each.kind] for each in columns]
        self._names = [each.name for each in columns]

    def row(self, row: Sequence[object]) -> bytes:
        """Raises SqlError for a number that does not fit."""
        nulls = bytearray((len(row) + 9) // 8)
        values = bytearray()
        for at, value in enumerate(row):
            if value is None:
                nulls[(at + 2) // 8] |= 1 << (at + 2) % 8
                continue
            try:
                values += self._write[at](value)
            except (struct.error, OverflowError):
                raise _out_of_range(self._names[at], value) from None
        return b"\0" + bytes(nulls) + bytes(values)


def _out_of_range(name: str, value: object) -> SqlError:
    said = f"Out of range value for column '{name}': {value}; CAST it to text"
    return SqlError(said, code=1264, sqlstate="22003")


def _integer(value: object) -> bytes:
    return struct.pack("<q", value)


def _float(value: object) -> bytes:
    return struct.pack("<d", value)


def _boolean(value: object) -> bytes:
    return b"\x01" if value else b"\x00"


def _timestamp(value: object) -> bytes:
    if not isinstance(value, datetime):
        raise struct.error
    when = _utc(value)
    day = struct.pack("<HBBBBB", when.year, when.month, when.day, when.hour, when.minute,
                      when.second)  # fmt: skip
    if when.microsecond:
        return b"\x0b" + day + struct.pack("<I", when.microsecond)
    return b"\x07" + day


def _text(value: object) -> bytes:
    return text(as_text(value))


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


WRITERS: dict[Kind, Callable[[object], bytes]] = {
    "text": _text,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "json": _text,
    "bytes": _text,
}
