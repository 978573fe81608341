"""PostgreSQL's messages (protocol 3): one letter, a length, a body.

Source: PostgreSQL 16, chapter "Frontend/Backend Protocol", "Message Formats". Refuses messages over
`limit` bytes and lengths that cannot be.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from modiste.sql.channel import Channel

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
AUTHENTICATED, PASSWORD_WANTED = 0, 3


class Broken(Exception):
    """The connection cannot go on; the client is told so."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate, self.message = sqlstate, message


async def read_startup(channel: Channel, *, limit: int) -> tuple[int, bytes]:
    """What a connection begins with: a code and its body, without a letter."""
    (n_bytes,) = struct.unpack("!i", await channel.exactly(4))
    if not 8 <= n_bytes <= limit:
        raise Broken("08P01", "invalid length of startup packet")
    body = await channel.exactly(n_bytes - 4)
    return int.from_bytes(body[:4], "big"), body[4:]


async def read(channel: Channel, *, limit: int) -> tuple[bytes, bytes]:
    """Letter and body.

    Raises:
        Broken: over `limit` bytes, or a length that cannot be.
        Gone: the client closed.
    """
    letter, n_bytes = struct.unpack("!ci", await channel.exactly(5))
    if n_bytes < 4:
        raise Broken("08P01", "invalid message length")
    if n_bytes > limit:
        raise Broken("54000", f"a message has at most {limit:,} bytes; this one has more")
    return letter, await channel.exactly(n_bytes - 4)


class Reading:
    """A body read from front to back. Raises Broken where it is shorter than it says."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= self.left:
            raise Broken("08P01", "insufficient data left in message")
        taken = self._body[self._at : self._at + n_bytes]
        self._at += n_bytes
        return taken

    def short(self) -> int:
        """Counts: never negative."""
        return int.from_bytes(self.take(2), "big")

    def long(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def name(self) -> str:
        """Up to the next zero byte. Raises Broken where there is none, or it is no UTF-8."""
        end = self._body.find(b"\0", self._at)
        if end < 0:
            raise Broken("08P01", "invalid string in message")
        said = self.take(end - self._at)
        self._at += 1
        try:
            return said.decode()
        except UnicodeDecodeError as error:
            raise Broken(
                "22021", f"byte {error.start + 1} is no UTF-8; connect with client_encoding=UTF8"
            ) from None

    def value(self) -> bytes | None:
        """Bytes behind their length; -1 is NULL."""
        n_bytes = self.long()
        return None if n_bytes == -1 else self.take(n_bytes)


def message(letter: bytes, body: bytes = b"") -> bytes:
    return letter + struct.pack("!i", len(body) + 4) + body


def name(text: str) -> bytes:
    return text.encode("utf-8", "replace").replace(b"\0", b"") + b"\0"


def authentication(kind: int) -> bytes:
    return message(b"R", struct.pack("!i", kind))


def parameter(key: str, value: str) -> bytes:
    return message(b"S", name(key) + name(value))


def data_row(values: Iterable[bytes | None], n_values: int) -> bytes:
    body = bytearray(struct.pack("!H", n_values))
    for value in values:
        if value is None:
            body += b"\xff\xff\xff\xff"
        else:
            body += struct.pack("!i", len(value)) + value
    return message(b"D", bytes(body))


def complete(tag: str) -> bytes:
    return message(b"C", name(tag))


def parameters(oids: Sequence[int]) -> bytes:
    return message(b"t", struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def error(severity: str, sqlstate: str, said: str, *, position: int | None = None) -> bytes:
    fields = [("S", severity), ("V", severity), ("C", sqlstate), ("M", said)]
    if position is not None:
        fields.append(("P", str(position)))
    return message(b"E", _fields(fields))


def notice(said: str) -> bytes:
    return message(b"N", _fields([("S", "WARNING"), ("V", "WARNING"), ("C", "01000"), ("M", said)]))


def _fields(fields: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(letter.encode() + name(value) for letter, value in fields) + b"\0"
