"""Prepared statements of one connection, and the values that are bound to them.

Values are decoded by the type their client declares and stay values: no text is ever put together
from them. Long values may come in pieces beforehand.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import count

from modiste.sql.errors import SqlError, bad
from modiste.sql.mysql.packets import Reading

MOST = 16_384
"""Statements one connection may keep, as MySQL's `max_prepared_stmt_count`."""
WIDTHS = {1: 1, 2: 2, 13: 2, 3: 4, 9: 4, 8: 8}
"""Bytes of the integer types: TINY, SHORT, YEAR, LONG, INT24, LONGLONG."""
TEXTS = frozenset({15, 245, 247, 248, 249, 250, 251, 252, 253, 254})
NULL_TYPE = 6


@dataclass
class Prepared:
    id: int
    text: str
    n_parameters: int
    types: tuple[int, ...] = ()
    """As the client said them last; it need not repeat them."""
    pieces: dict[int, bytearray] = field(default_factory=dict)
    """Values that were sent ahead, by the number of their parameter."""


class Shelf:
    """The statements a connection has prepared."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._kept: dict[int, Prepared] = {}

    def add(self, text: str, n_parameters: int) -> Prepared:
        if len(self._kept) >= MOST:
            raise SqlError(
                f"This connection keeps {MOST} prepared statements already; close some.",
                code=1461,
                sqlstate="42000",
            )
        made = Prepared(next(self._ids), text, n_parameters)
        self._kept[made.id] = made
        return made

    def find(self, id_: int) -> Prepared:
        if id_ not in self._kept:
            raise SqlError(f"Unknown prepared statement {id_}", code=1243, sqlstate="26000")
        return self._kept[id_]

    def drop(self, id_: int) -> None:
        self._kept.pop(id_, None)

    def clear(self) -> None:
        self._kept.clear()

    def add_piece(self, packet: bytes, *, limit: int) -> None:
        """COM_STMT_SEND_LONG_DATA, which has no answer: what is wrong is told at EXECUTE."""
        reading = Reading(packet)
        statement = self._kept.get(reading.number(4))
        at = reading.number(2)
        if statement is not None and at < statement.n_parameters:
            kept = statement.pieces.setdefault(at, bytearray())
            piece = reading.rest()
            if len(kept) <= limit:
                kept += piece[: limit + 1 - len(kept)]


def bound(statement: Prepared, reading: Reading, *, limit: int) -> list[object]:
    """The values of one COM_STMT_EXECUTE, behind its id, flags and count of iterations.

    Raises:
        SqlError: a type or value nobody can read, or a long value over `limit` bytes.
        Refused: the packet is shorter than it says.
    """
    n = statement.n_parameters
    if n == 0:
        return []
    pieces = dict(statement.pieces)
    statement.pieces.clear()
    if any(len(piece) > limit for piece in pieces.values()):
        raise SqlError(f"A value has at most {limit:,} bytes.", code=1153, sqlstate="54000")
    nulls = reading.take((n + 7) // 8)
    if reading.number(1):
        statement.types = tuple(reading.number(2) for _ in range(n))
    if len(statement.types) != n:
        raise SqlError("Incorrect arguments to mysqld_stmt_execute", code=1210, sqlstate="HY000")
    values: list[object] = []
    for at, kind in enumerate(statement.types):
        if at in pieces:
            values.append(_said(bytes(pieces[at])))
        elif nulls[at // 8] >> at % 8 & 1 or kind & 0xFF == NULL_TYPE:
            values.append(None)
        else:
            values.append(_value(reading, kind & 0xFF, unsigned=bool(kind & 0x8000)))
    return values


def _value(reading: Reading, kind: int, *, unsigned: bool) -> object:
    if kind in WIDTHS:
        return reading.number(WIDTHS[kind], signed=not unsigned)
    if kind in TEXTS:
        return _said(reading.text())
    if kind in READERS:
        return READERS[kind](reading)
    raise bad(f"Parameters of MySQL's type {kind} cannot be read; bind a text or a number.")


def _said(value: bytes) -> str | bytes:
    """Clients send texts as BLOB too: what is UTF-8 is a text, everything else bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _float(reading: Reading) -> float:
    """A FLOAT as the decimal number it was meant as: 0.1, not 0.10000000149."""
    (value,) = struct.unpack("<f", reading.take(4))
    return float(f"{value:.7g}")


def _double(reading: Reading) -> float:
    (value,) = struct.unpack("<d", reading.take(8))
    return float(value)


def _decimal(reading: Reading) -> Decimal:
    said = reading.text().decode("ascii", "replace")
    try:
        return Decimal(said)
    except InvalidOperation:
        raise bad(f"Bound DECIMAL {said[:50]!r} is no number.") from None


def _day(reading: Reading) -> date:
    return _moment(reading).date()


def _moment(reading: Reading) -> datetime:
    """DATE, DATETIME and TIMESTAMP: 4, 7 or 11 bytes, as far as they are not zero."""
    inside = Reading(reading.take(reading.number(1)))
    try:
        year, month, day = inside.number(2), inside.number(1), inside.number(1)
        if not inside.left:
            return datetime(year, month, day)
        hour, minute, second = (inside.number(1) for _ in range(3))
        fraction = inside.number(4) if inside.left else 0
        return datetime(year, month, day, hour, minute, second, fraction)
    except ValueError as error:
        raise bad(f"A bound date is none: {error}.") from None


def _duration(reading: Reading) -> str:
    """TIME, as MySQL writes it: `-26:03:04.5`."""
    inside = Reading(reading.take(reading.number(1)))
    if not inside.left:
        return "00:00:00"
    sign = "-" if inside.number(1) else ""
    hours = inside.number(4) * 24 + inside.number(1)
    minutes, seconds = inside.number(1), inside.number(1)
    fraction = f".{inside.number(4):06d}".rstrip("0").rstrip(".") if inside.left else ""
    return f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"


READERS: dict[int, Callable[[Reading], object]] = {
    0: _decimal,
    4: _float,
    5: _double,
    7: _moment,
    10: _day,
    11: _duration,
    12: _moment,
    16: lambda reading: reading.text(),
    246: _decimal,
}
