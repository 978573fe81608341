"""The other end of a channel in memory: what is fed arrives, what is sent is kept."""

from __future__ import annotations

import asyncio
from typing import Any

from modiste.sql.channel import Channel


class Transport:
    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing waits here."""


class Writer:
    def __init__(self, peer: str) -> None:
        self.sent = bytearray()
        self.transport = Transport()
        self._peer = peer

    def get_extra_info(self, name: str) -> Any:
        return (self._peer, 1) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        """Nobody reads slowly here."""


def channel(*fed: bytes, peer: str = "127.0.0.1") -> tuple[Channel, Writer]:
    """A channel that reads `fed` and then its end. Needs a running loop."""
    reader, writer = asyncio.StreamReader(), Writer(peer)
    for each in fed:
        reader.feed_data(each)
    reader.feed_eof()
    made: Any = writer
    return Channel(reader, made, asyncio.Event()), writer
