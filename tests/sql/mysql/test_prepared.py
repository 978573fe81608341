"""Bound values by their types, and a client that prepares over the wire."""

from __future__ import annotations

import struct
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from scripted_language import EVERY_KIND, Language
from wired_place import Wired

from modiste.sql.errors import SqlError
from modiste.sql.mysql import packets
from modiste.sql.mysql.packets import Reading, Refused
from modiste.sql.mysql.prepared import Prepared, Shelf, bound

LIMIT = 1000
VALUES: list[tuple[int, bytes, object]] = [
    (1, b"\xff", -1),
    (1 | 0x8000, b"\xff", 255),
    (2, b"\x01\x80", -32767),
    (3, struct.pack("<i", -7), -7),
    (8, struct.pack("<q", 2**62), 2**62),
    (8 | 0x8000, b"\xff" * 8, 2**64 - 1),
    (4, struct.pack("<f", 0.1), 0.1),
    (5, struct.pack("<d", 0.1), 0.1),
    (246, b"\x05-1.50", Decimal("-1.50")),
    (253, b"\x06n\xc3\xa9\n'x", "né\n'x"),
    (252, b"\x02\xff\xfe", b"\xff\xfe"),
    (10, b"\x04\xea\x07\x0b\x1e", date(2026, 11, 30)),
    (12, b"\x04\xea\x07\x0b\x1e", datetime(2026, 11, 30)),
    (12, b"\x0b\xea\x07\x0b\x1e\x0c\x01\x02\x59\x01\0\0", datetime(2026, 11, 30, 12, 1, 2, 345)),
    (11, b"\x08\x01\x01\0\0\0\x02\x03\x04", "-26:03:04"),
    (6, b"", None),
]


def execute_body(values: list[tuple[int, bytes, object]]) -> Reading:
    types = b"".join(kind.to_bytes(2, "little") for kind, _, _ in values)
    nulls = bytes((len(values) + 7) // 8)
    return Reading(nulls + b"\x01" + types + b"".join(sent for _, sent, _ in values))


def test_every_type_is_decoded_as_itself() -> None:
    statement = Prepared(1, "", len(VALUES))
    told = bound(statement, execute_body(VALUES), limit=LIMIT)
    assert told == [value for _, _, value in VALUES]
    assert [type(each) for each in told] == [type(value) for _, _, value in VALUES]


def test_nulls_are_bits_and_types_are_remembered() -> None:
    statement = Prepared(1, "", 9)
    types = b"".join((1).to_bytes(2, "little") for _ in range(9))
    first = bound(statement, Reading(b"\x01\x01\x01" + types + bytes(range(7))), limit=LIMIT)
    assert first == [None, 0, 1, 2, 3, 4, 5, 6, None]
    again = bound(statement, Reading(b"\xff\x00\x00\x2a"), limit=LIMIT)
    assert again == [None] * 8 + [42]


def test_broken_packets_are_told_not_read_past() -> None:
    for broken in (b"", b"\0", b"\0\x01\x08", b"\0\x01\x08\0\x01\x02"):
        with pytest.raises(Refused):
            bound(Prepared(1, "", 1), Reading(broken), limit=LIMIT)
    with pytest.raises(SqlError, match="arguments"):
        bound(Prepared(1, "", 1), Reading(b"\0\0"), limit=LIMIT)
    for kind, sent in ((255, b"\0"), (246, b"\x03abc"), (10, b"\x04\0\0\0\0")):
        with pytest.raises(SqlError):
            bound(Prepared(1, "", 1), execute_body([(kind, sent, None)]), limit=LIMIT)


def test_long_values_come_in_pieces_and_have_a_limit() -> None:
    shelf = Shelf()
    statement = shelf.add("ECHO ?", 1)
    for piece in (b"\x01\0\0\0\0\0n\xc3", b"\x01\0\0\0\0\0\xa9-2"):
        shelf.add_piece(piece, limit=LIMIT)
    assert bound(statement, Reading(b"\0\x01\xfc\0"), limit=LIMIT) == ["né-2"]
    shelf.add_piece(b"\x01\0\0\0\0\0" + bytes(5000), limit=LIMIT)
    with pytest.raises(SqlError, match="at most 1,000 bytes"):
        bound(statement, Reading(b"\0\x01\xfc\0"), limit=LIMIT)
    shelf.drop(1)
    with pytest.raises(SqlError, match="Unknown prepared statement"):
        shelf.find(1)


class Preparing:
    """A client of the binary protocol; Python has none with a permissive licence."""

    def __init__(self, wired: Wired) -> None:
        self.client = pymysql.connect(
            host="127.0.0.1", port=wired.mysql, user="m", password="mod_one", ssl_disabled=True
        )

    def command(self, letter: int, body: bytes) -> Any:
        self.client._execute_command(letter, body)
        return self.client._read_packet()

    def prepare(self, text: str) -> tuple[int, int]:
        """Number of the statement and of its parameters; definitions are read over."""
        head = self.command(0x16, text.encode()).get_all_data()
        _, number, n_columns, n_parameters = struct.unpack("<BIHH", head[:9])
        for count in (n_parameters, n_columns):
            for _ in range(count + bool(count)):
                self.client._read_packet()
        return number, n_parameters

    def execute(self, number: int, body: bytes) -> list[bytes]:
        """Rows as they came, without their columns."""
        n_columns = self.command(0x17, number.to_bytes(4, "little") + b"\0\1\0\0\0" + body)
        for _ in range(n_columns.read_length_encoded_integer() + 1):
            self.client._read_packet()
        rows = []
        while True:
            packet = self.client._read_packet()
            if packet.is_eof_packet():
                return rows
            rows.append(packet.get_all_data())


def test_bound_values_are_never_text_of_the_statement(wired: Wired, language: Language) -> None:
    evil = "x' AND role='injected; DROP MODEL m -- né😀"
    preparing = Preparing(wired)
    number, n = preparing.prepare("ECHO ? ?")
    assert n == 2
    sent = b"\0\x01\xfd\0\x08\0" + packets.text(evil.encode()) + struct.pack("<q", 7)
    rows = preparing.execute(number, sent)
    assert rows == [
        b"\0\0" + packets.text(b"str") + packets.text(evil.encode()),
        b"\0\0" + packets.text(b"int") + packets.text(b"7"),
    ]
    assert ("ECHO ? ?", (evil, 7)) in language.ran
    preparing.client.close()


def test_rows_come_in_binary(wired: Wired, language: Language) -> None:
    preparing = Preparing(wired)
    number, _ = preparing.prepare("KINDS")
    full, empty = preparing.execute(number, b"")
    text, integer, number_, _, _, said, raw = EVERY_KIND
    assert full[3:] == (
        packets.text(str(text).encode())
        + struct.pack("<qd", integer, number_)
        + b"\x01"
        + b"\x0b\xea\x07\x0b\x1e\x0c\x01\x02\x59\x01\0\0"
        + packets.text(str(said).encode())
        + packets.text(raw)  # type: ignore[arg-type]
    )
    assert empty == b"\0\xfc\x01"
    number, _ = preparing.prepare("HUGE")
    with pytest.raises(pymysql.err.DataError, match="Out of range"):
        preparing.execute(number, b"")
    preparing.client.close()


def test_a_text_of_several_statements_is_not_prepared(wired: Wired, language: Language) -> None:
    preparing = Preparing(wired)
    with pytest.raises(pymysql.err.ProgrammingError, match="one after the other"):
        preparing.prepare("ECHO ?; NOTE")
    preparing.client.close()
