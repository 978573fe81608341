"""Values in both formats; binary ones as PostgreSQL itself writes them (`typsend`)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.postgres import values
from modiste.sql.postgres.values import BINARY, TEXT, Encoded, decoded, each_format
from modiste.sql.result import Column

BOUND = [
    (23, TEXT, b"-7", -7),
    (1700, TEXT, b"1.50", Decimal("1.50")),
    (16, TEXT, b"t", True),
    (17, TEXT, rb"\xff00", b"\xff\0"),
    (25, TEXT, "né'".encode(), "né'"),
    (21, BINARY, b"\xff\xf9", -7),
    (20, BINARY, b"\x40" + bytes(7), 2**62),
    (700, BINARY, b"\x3d\xcc\xcc\xcd", 0.1),
    (16, BINARY, b"\0", False),
    (1082, BINARY, b"\0\0\x26\x66", date(2026, 11, 30)),
    (1114, BINARY, b"\0\0\0\0\0\0\0\1", datetime(2000, 1, 1, microsecond=1)),
    (1700, BINARY, bytes.fromhex("0002000040000002000c0d48"), Decimal("-12.34")),
    (2950, BINARY, bytes(15) + b"\1", "00000000-0000-0000-0000-000000000001"),
    (3802, BINARY, b'\x01{"a":1}', '{"a":1}'),
    (0, BINARY, b"x", "x"),
]


@pytest.mark.parametrize(("oid", "code", "sent", "value"), BOUND)
def test_bound_values_are_decoded_by_their_type(
    oid: int, code: int, sent: bytes, value: object
) -> None:
    told = decoded(sent, oid, code)
    assert told == value
    assert type(told) is type(value)


@pytest.mark.parametrize(
    ("oid", "code", "sent"),
    [(23, TEXT, b"x"), (23, BINARY, b"\0"), (16, TEXT, b"maybe"), (25, TEXT, b"\xff"),
     (1700, BINARY, b"\0"), (3802, BINARY, b"\2{}"), (1007, BINARY, b"\0\0\0\1")],
)  # fmt: skip
def test_bytes_that_are_none_of_their_type_are_refused(oid: int, code: int, sent: bytes) -> None:
    with pytest.raises(SqlError):
        decoded(sent, oid, code)
    assert decoded(None, oid, code) is None


def test_parameters_are_what_was_declared_or_cast_or_counted_else_text() -> None:
    text = "SELECT $1, $2::bigint, CAST($3 AS bool) LIMIT $4"
    assert values.parameter_types(text, [], 4) == (25, 20, 16, 20)
    assert values.parameter_types(text, [23, 0], 4) == (23, 20, 16, 20)


def test_format_codes_stand_for_none_all_or_each() -> None:
    assert each_format([], 2) == (0, 0)
    assert each_format([1], 3) == (1, 1, 1)
    assert each_format([0, 1], 2) == (0, 1)
    for wrong in ([2], [0, 1, 0]):
        with pytest.raises(SqlError):
            each_format(wrong, 2)


def test_numbers_that_do_not_fit_are_refused_by_column() -> None:
    columns = [Column("n", "integer"), Column("t", "timestamp"), Column("b", "bytes")]
    when = datetime(2000, 1, 1, microsecond=1, tzinfo=UTC)
    told = Encoded(columns, (1, 1, 1)).values((1, when, b"\xff"))
    assert told == [bytes(7) + b"\1", bytes(7) + b"\1", b"\xff"]
    assert Encoded(columns, (0, 0, 0)).values((2**70, when, b"\xff")) == [
        str(2**70).encode(),
        b"2000-01-01 00:00:00.000001",
        rb"\xff",
    ]
    with pytest.raises(SqlError, match="column 'n'"):
        Encoded(columns, (1, 1, 1)).values((2**63, None, None))
