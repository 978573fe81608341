"""Messages of prepared statements that drivers do not send by themselves."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from scripted_language import Language
from wired_place import Wired

from modiste.sql.postgres.messages import message


class Raw:
    """A client that sends what it likes and reads letters and bodies."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self._socket.makefile("rb")
        body = struct.pack("!I", 3 << 16) + b"user\0me\0\0"
        self._socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.send(message(b"p", b"mod_one\0"))
        assert self.until(b"Z")[-1] == (b"Z", b"I")

    def send(self, *each: bytes) -> None:
        self._socket.sendall(b"".join(each))

    def until(self, last: bytes) -> list[tuple[bytes, bytes]]:
        """Messages up to one with this letter, or to the end of the connection."""
        told = []
        while head := self._file.read(5):
            letter, n_bytes = struct.unpack("!ci", head)
            told.append((letter, self._file.read(n_bytes - 4)))
            if letter == last:
                break
        return told

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def raw(wired: Wired, language: Language) -> Iterator[Raw]:
    client = Raw(wired.postgres)
    yield client
    client.close()


def parse(text: bytes, name: bytes = b"") -> bytes:
    return message(b"P", name + b"\0" + text + b"\0\0\0")


def bind(values: list[bytes], portal: bytes = b"") -> bytes:
    sent = b"".join(struct.pack("!i", len(value)) + value for value in values)
    return message(b"B", portal + b"\0\0\0\0" + struct.pack("!H", len(values)) + sent + b"\0\0")


EXECUTE, SYNC = message(b"E", b"\0\0\0\0\0"), message(b"S")


def letters(told: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(letter for letter, _ in told)


def test_after_an_error_everything_up_to_sync_is_left_aside(raw: Raw, language: Language) -> None:
    raw.send(parse(b"NOSUCH $1"), bind([b"x"]), EXECUTE, SYNC)
    assert letters(raw.until(b"Z")) == b"EZ"
    raw.send(parse(b"ECHO $1"), bind([b"x"]), EXECUTE, SYNC)
    assert letters(raw.until(b"Z")) == b"12DCZ"


def test_many_messages_at_once_are_answered_in_order(raw: Raw) -> None:
    raw.send(*(parse(b"ECHO $1"), bind([b"x"]), EXECUTE) * 50, SYNC)
    assert letters(raw.until(b"Z")) == b"12DC" * 50 + b"Z"


def test_a_described_portal_runs_once(raw: Raw, language: Language) -> None:
    raw.send(parse(b"NUMBERS 3"), bind([]), message(b"D", b"P\0"), EXECUTE, SYNC)
    assert letters(raw.until(b"Z")) == b"12TDDDCZ"
    assert [text for text, _ in language.ran] == ["NUMBERS 3"]


def test_an_empty_statement_a_close_and_a_portal_that_is_over(raw: Raw) -> None:
    raw.send(parse(b""), bind([]), EXECUTE, SYNC)
    assert letters(raw.until(b"Z")) == b"12IZ"
    raw.send(parse(b"NOTE", b"kept"), message(b"C", b"Skept\0"), SYNC)
    assert letters(raw.until(b"Z")) == b"13Z"
    raw.send(message(b"B", b"\0kept\0\0\0\0\0\0\0"), SYNC)
    assert b"26000" in raw.until(b"Z")[0][1]
    raw.send(parse(b"NOTE"), bind([]), SYNC, EXECUTE, SYNC)
    raw.until(b"Z")
    assert b"34000" in raw.until(b"Z")[0][1]


def test_wrong_counts_and_values_are_refused(raw: Raw, language: Language) -> None:
    for values, state in (([], b"08P01"), ([b"x", b"y"], b"08P01"), ([b"\xff"], b"22P02")):
        raw.send(parse(b"ECHO $1"), bind(values), EXECUTE, SYNC)
        assert state in dict(raw.until(b"Z"))[b"E"]
    assert not any(text.startswith("ECHO") for text, _ in language.ran)


@pytest.mark.parametrize(
    "sent",
    [b"Q\x7f\xff\xff\xff", b"Q\0\0\0\1", b"!\0\0\0\4", message(b"P", b"abc")],
    ids=["oversized", "too short", "unknown letter", "truncated"],
)
def test_what_cannot_be_a_message_ends_the_connection_with_a_reason(raw: Raw, sent: bytes) -> None:
    raw.send(sent)
    told = raw.until(b"nothing")
    assert letters(told) == b"E"
    assert b"FATAL" in told[0][1]
