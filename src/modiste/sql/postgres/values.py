"""Columns, rows and bound values as PostgreSQL's clients write and read them, as text and binary.

Every value is decoded by its declared type, never by its length. Times are UTC.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import NamedTuple
from uuid import UUID

from modiste.sql.errors import SqlError
from modiste.sql.postgres.messages import message, name
from modiste.sql.result import Column, Kind

TEXT, BINARY = 0, 1
BOOL, BYTEA, INT8, INT2, INT4, TEXT_OID, OID, JSON = 16, 17, 20, 21, 23, 25, 26, 114
FLOAT4, FLOAT8, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC = 700, 701, 1082, 1114, 1184, 1700
UUID_OID, JSONB = 2950, 3802
INTEGERS = frozenset({INT2, INT4, INT8, OID})
BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
EPOCH = datetime(2000, 1, 1)
"""Where binary times count from."""


class Type(NamedTuple):
    oid: int
    size: int


TYPES: dict[Kind, Type] = {
    "text": Type(TEXT_OID, -1),
    "integer": Type(INT8, 8),
    "float": Type(FLOAT8, 8),
    "boolean": Type(BOOL, 1),
    "timestamp": Type(TIMESTAMP, 8),
    "json": Type(JSON, -1),
    "bytes": Type(BYTEA, -1),
}
CASTS = {
    "int": INT4, "integer": INT4, "int4": INT4, "bigint": INT8, "int8": INT8, "smallint": INT2,
    "int2": INT2, "float": FLOAT8, "float8": FLOAT8, "double": FLOAT8, "real": FLOAT4,
    "numeric": NUMERIC, "decimal": NUMERIC, "bool": BOOL, "boolean": BOOL, "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMPTZ, "date": DATE, "json": JSON, "jsonb": JSONB, "bytea": BYTEA,
}  # fmt: skip
CAST = re.compile(r"\$(\d+)\s*::\s*(\w+)|\bCAST\s*\(\s*\$(\d+)\s+AS\s+(\w+)", re.IGNORECASE)
COUNTED = re.compile(r"\b(?:LIMIT|OFFSET)\s+\$(\d+)", re.IGNORECASE)


def parameter_types(text: str, declared: Sequence[int], n: int) -> tuple[int, ...]:
    """What the parameters of a statement are: as declared, as cast in the text, else text."""
    types = dict(enumerate(declared, start=1))
    said = {int(number): INT8 for number in COUNTED.findall(text)}
    for first, first_type, second, second_type in CAST.findall(text):
        oid = CASTS.get((first_type or second_type).lower())
        if oid is not None:
            said[int(first or second)] = oid
    return tuple(types.get(at) or said.get(at) or TEXT_OID for at in range(1, n + 1))


def description(columns: Sequence[Column], formats: Sequence[int]) -> bytes:
    """What rows look like; `formats` has one code for each column."""
    body = struct.pack("!H", len(columns))
    for each, code in zip(columns, formats, strict=True):
        kind = TYPES[each.kind]
        body += name(each.name) + struct.pack("!IhIhih", 0, 0, kind.oid, kind.size, -1, code)
    return message(b"T", body)


def each_format(codes: Sequence[int], n: int) -> tuple[int, ...]:
    """Codes as they are sent: none for text everywhere, one for all, or one for each."""
    if any(code not in (TEXT, BINARY) for code in codes):
        raise SqlError("A format code is 0 or 1.", sqlstate="08P01")
    if len(codes) <= 1:
        return (*codes, TEXT)[:1] * n
    if len(codes) != n:
        said = f"bind message has {len(codes)} formats but query has {n} columns or parameters"
        raise SqlError(said, sqlstate="08P01")
    return tuple(codes)


class Encoded:
    """Rows of these columns, each in its format."""

    def __init__(self, columns: Sequence[Column], formats: Sequence[int]) -> None:
        self.n = len(columns)
        self._write = [
            BINARY_WRITERS[each.kind] if code == BINARY else _as_text
            for each, code in zip(columns, formats, strict=True)
        ]
        self._names = [each.name for each in columns]

    def values(self, row: Sequence[object]) -> list[bytes | None]:
        """Raises SqlError for a number that does not fit."""
        out: list[bytes | None] = []
        for at, value in enumerate(row):
            try:
                out.append(None if value is None else self._write[at](value))
            except (struct.error, OverflowError):
                said = f"Out of range value for column '{self._names[at]}': {value}"
                raise SqlError(f"{said}; CAST it to text", code=1264, sqlstate="22003") from None
        return out


def decoded(value: bytes | None, oid: int, code: int) -> object:
    """A bound value. Raises SqlError where its bytes are none of its type."""
    if value is None:
        return None
    try:
        return _from_binary(value, oid) if code == BINARY else _from_text(value.decode(), oid)
    except (
        ValueError,
        KeyError,
        OverflowError,
        struct.error,
        InvalidOperation,
        UnicodeDecodeError,
    ):
        raise SqlError(
            f"A bound value is none of its type (OID {oid}): {value[:40]!r}", sqlstate="22P02"
        ) from None


def _from_text(said: str, oid: int) -> object:
    if oid in INTEGERS:
        return int(said)
    if oid in (FLOAT4, FLOAT8):
        return float(said)
    if oid == NUMERIC:
        return Decimal(said)
    if oid == BOOL:
        return BOOLEANS[said.strip().lower()]
    if oid == BYTEA and said.startswith("\\x"):
        return bytes.fromhex(said[2:])
    return said


def _from_binary(value: bytes, oid: int) -> object:
    reader = BINARY_READERS.get(oid)
    if reader is not None:
        return reader(value)
    if oid not in TEXTS:
        raise SqlError(
            f"Parameters of type OID {oid} are not read in binary; bind a text.", sqlstate="0A000"
        )
    return value.decode()


def _numeric(value: bytes) -> Decimal:
    """Groups of four decimal digits, the weight of the first, sign and scale."""
    n, weight, sign, scale = struct.unpack("!hhHh", value[:8])
    if sign == 0xC000:
        return Decimal("NaN")
    groups = struct.unpack(f"!{n}h", value[8:])
    whole = sum(group * Decimal(10_000) ** (weight - at) for at, group in enumerate(groups))
    signed = -Decimal(whole) if sign == 0x4000 else Decimal(whole)
    return signed.quantize(Decimal(1).scaleb(-scale))


def _jsonb(value: bytes) -> str:
    if value[:1] != b"\x01":
        raise ValueError
    return value[1:].decode()


def _as_text(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    if isinstance(value, datetime):
        return _utc(value).isoformat(" ").encode()
    return str(value).encode()


def _timestamp(value: object) -> bytes:
    if not isinstance(value, datetime):
        raise struct.error
    return struct.pack("!q", (_utc(value) - EPOCH) // timedelta(microseconds=1))


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else _as_text(value)


BINARY_WRITERS: dict[Kind, Callable[[object], bytes]] = {
    "text": _as_text,
    "integer": lambda value: struct.pack("!q", value),
    "float": lambda value: struct.pack("!d", value),
    "boolean": lambda value: b"\x01" if value else b"\x00",
    "timestamp": _timestamp,
    "json": _as_text,
    "bytes": _bytes,
}
BINARY_READERS: dict[int, Callable[[bytes], object]] = {
    BOOL: lambda value: struct.unpack("!?", value)[0],
    BYTEA: bytes,
    INT2: lambda value: struct.unpack("!h", value)[0],
    INT4: lambda value: struct.unpack("!i", value)[0],
    INT8: lambda value: struct.unpack("!q", value)[0],
    OID: lambda value: struct.unpack("!I", value)[0],
    FLOAT4: lambda value: float(f"{struct.unpack('!f', value)[0]:.7g}"),
    FLOAT8: lambda value: struct.unpack("!d", value)[0],
    DATE: lambda value: date(2000, 1, 1) + timedelta(days=struct.unpack("!i", value)[0]),
    TIMESTAMP: lambda value: EPOCH + timedelta(microseconds=struct.unpack("!q", value)[0]),
    TIMESTAMPTZ: lambda value: EPOCH + timedelta(microseconds=struct.unpack("!q", value)[0]),
    NUMERIC: _numeric,
    UUID_OID: lambda value: str(UUID(bytes=value)),
    JSONB: _jsonb,
}
TEXTS = frozenset({0, 18, 19, TEXT_OID, JSON, 142, 705, 1042, 1043})
"""char, name, text, json, xml, unknown, bpchar, varchar: their binary form is their text."""
