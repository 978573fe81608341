"""MySQL's packets: frames, numbers and texts of any length, and the four packets every answer ends
with.

Source: the MySQL client/server protocol, "Protocol Basics". A packet of 16 MB - 1 or more travels
in several frames, the last of which is shorter and may be empty. Refuses packets over `limit` and
frames out of order.
"""

from __future__ import annotations

import struct

from modiste.sql.channel import Channel

FRAME_BYTES = 0xFFFFFF
MORE_RESULTS = 0x0008
AUTOCOMMIT = 0x0002
SQLSTATES = {
    1007: "HY000", 1040: "08004", 1045: "28000", 1047: "08S01", 1049: "42000", 1050: "42S01",
    1052: "23000", 1054: "42S22", 1064: "42000", 1146: "42S02", 1149: "42000", 1153: "08S01",
    1156: "08S01", 1159: "08S01", 1210: "HY000", 1227: "42000", 1235: "42000", 1243: "HY000",
    1264: "22003", 1317: "70100", 1835: "HY000",
}  # fmt: skip


class Refused(Exception):
    """The connection cannot go on; the client is told so."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Packets:
    """Packets of one connection; sequence numbers begin at 0 with every command."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._sequence = 0

    def begin(self) -> None:
        """What comes next is a command."""
        self._sequence = 0

    async def read(self, *, limit: int) -> bytes:
        """One packet, its frames put together.

        Raises:
            Refused: over `limit` bytes, or out of order.
            Gone: the client closed.
        """
        whole = b""
        while True:
            header = await self.channel.exactly(4)
            n_bytes = int.from_bytes(header[:3], "little")
            if header[3] != self._sequence:
                raise Refused(1156, "Got packets out of order")
            self._sequence = (self._sequence + 1) % 256
            if len(whole) + n_bytes > limit:
                raise Refused(1153, f"A packet has at most {limit:,} bytes; this one has more.")
            whole += await self.channel.exactly(n_bytes)
            if n_bytes < FRAME_BYTES:
                return whole

    def framed(self, *payloads: bytes | bytearray) -> bytearray:
        """Packets as they travel, numbered on."""
        out = bytearray()
        for payload in payloads:
            for at in range(0, len(payload) + 1, FRAME_BYTES):
                piece = payload[at : at + FRAME_BYTES]
                out += len(piece).to_bytes(3, "little")
                out.append(self._sequence)
                out += piece
                self._sequence = (self._sequence + 1) % 256
        return out

    def send(self, *payloads: bytes | bytearray) -> None:
        self.channel.send(self.framed(*payloads))


def integer(value: int) -> bytes:
    """A number in one to nine bytes ("length-encoded")."""
    if value < 251:
        return bytes((value,))
    if value < 1 << 16:
        return b"\xfc" + value.to_bytes(2, "little")
    if value < 1 << 24:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def text(value: bytes) -> bytes:
    """Bytes behind their length."""
    return integer(len(value)) + value


class Reading:
    """A packet read from front to back. Raises Refused where it is shorter than it says."""

    def __init__(self, packet: bytes) -> None:
        self._packet, self._at = packet, 0

    @property
    def left(self) -> int:
        return len(self._packet) - self._at

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > self.left:
            raise Refused(1835, "Malformed communication packet")
        taken = self._packet[self._at : self._at + n_bytes]
        self._at += n_bytes
        return taken

    def rest(self) -> bytes:
        return self.take(self.left)

    def number(self, n_bytes: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(n_bytes), "little", signed=signed)

    def integer(self) -> int:
        first = self.number(1)
        if first < 251:
            return first
        if first in (0xFC, 0xFD, 0xFE):
            return self.number({0xFC: 2, 0xFD: 3, 0xFE: 8}[first])
        raise Refused(1835, "Malformed communication packet")

    def text(self) -> bytes:
        return self.take(self.integer())

    def ended(self) -> bytes:
        """Up to the next zero byte, or to the end where there is none."""
        end = self._packet.find(b"\0", self._at)
        if end < 0:
            return self.rest()
        taken = self.take(end - self._at)
        self._at += 1
        return taken


def ok(*, affected: int = 0, status: int, n_warnings: int, header: int = 0) -> bytes:
    counts = struct.pack("<HH", status, min(n_warnings, 0xFFFF))
    return bytes((header,)) + integer(affected) + integer(0) + counts


def end(*, status: int, n_warnings: int) -> bytes:
    """End of columns or rows, for clients that know no other."""
    return b"\xfe" + struct.pack("<HH", min(n_warnings, 0xFFFF), status)


def error(code: int, message: str) -> bytes:
    state = SQLSTATES.get(code, "HY000").encode()
    return b"\xff" + code.to_bytes(2, "little") + b"#" + state + message.encode()[:60_000]
