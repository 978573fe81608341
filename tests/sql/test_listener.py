"""Limits and drains; the rest is held by real clients (`*/test_connection.py`)."""

from __future__ import annotations

import asyncio

from modiste.sql.channel import Channel
from modiste.sql.listener import Listener, Number
from modiste.sql.turn import Turn
from modiste.types import Actor


class Sleeper:
    """Takes one turn as long as the client says."""

    def __init__(self, channel: Channel, number: Number) -> None:
        self.turn = Turn(channel.gone)
        self.actor: Actor | None = None
        self._channel = channel

    async def serve(self) -> None:
        seconds = int.from_bytes(await self._channel.exactly(1), "big") / 100
        await self.turn.take(asyncio.sleep(seconds))
        self._channel.send(b"done")
        await self._channel.drain()

    def refuse(self) -> None:
        self._channel.send(b"full")


async def said(port: int, *, asks: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asks)
    answer = await reader.read()
    writer.close()
    return answer


def test_a_drain_waits_for_statements_and_not_for_who_is_silent() -> None:
    async def work() -> list[bytes]:
        listener = Listener(Sleeper, limit=3)
        port = await listener.start("127.0.0.1", 0)
        asks = (b"\x14", b"", b"\xff\xff")  # 0.2 s; nothing; 2.55 s, longer than the drain
        clients = [asyncio.create_task(said(port, asks=ask)) for ask in asks]
        await asyncio.sleep(0.1)
        assert listener.n_open == 3
        assert await said(port, asks=b"") == b"full"
        await listener.close(drain_s=0.5)
        assert listener.n_open == 0
        return await asyncio.gather(*clients)

    assert asyncio.run(work()) == [b"done", b"", b""]
