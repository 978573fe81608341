"""One port of the SQL door: who is connected, how many may be, and how it ends.

What one wire does with a connection is the wire's; that a statement can be interrupted by number,
that too many are refused in the wire's own words, and that a drain lets statements finish, is here.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from modiste.sql.channel import Channel, Gone, Noticing
from modiste.sql.turn import Turn
from modiste.types import Actor

log = logging.getLogger(__name__)


class Connection(Protocol):
    """One client, from its greeting to its end."""

    turn: Turn
    actor: Actor | None
    """Who it is; None until that is known."""

    async def serve(self) -> None:
        """Until the client leaves. Raises Gone, or nothing."""

    def refuse(self) -> None:
        """Say that there are too many already."""


class Number:
    """How others name a connection: its id, and the secret that allows to interrupt it."""

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.secret = secrets.randbits(32)


class Listener:
    """Listens, limits, and remembers who is there."""

    def __init__(self, make: Callable[[Channel, Number], Connection], *, limit: int) -> None:
        self._make, self._limit = make, limit
        self._ids = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._open: dict[int, tuple[Number, Connection]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def start(self, host: str, port: int) -> int:
        """The port it listens on; 0 takes a free one. Raises OSError where it cannot."""
        loop = asyncio.get_running_loop()

        def protocol() -> Noticing:
            reader, gone = asyncio.StreamReader(), asyncio.Event()

            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._serve(Channel(reader, writer, gone))

            return Noticing(reader, connected, gone)

        self._server = await loop.create_server(protocol, host, port, backlog=256)
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def close(self, *, drain_s: float = 0.0) -> None:
        """Take no more; end who waits; statements under way have `drain_s` to finish."""
        if self._server is not None:
            self._server.close()
        deadline = asyncio.get_running_loop().time() + drain_s
        while self._tasks:
            late = asyncio.get_running_loop().time() >= deadline
            for id_, task in tuple(self._tasks.items()):
                if late or not self._open[id_][1].turn.busy:
                    task.cancel()
            await asyncio.wait(self._tasks.values(), timeout=0.05)

    @property
    def n_open(self) -> int:
        return len(self._open)

    def find(self, id_: int) -> tuple[Number, Connection] | None:
        return self._open.get(id_)

    def end(self, id_: int) -> None:
        """Close a connection, whatever it is at."""
        task = self._tasks.get(id_)
        if task is not None:
            task.cancel()

    async def _serve(self, channel: Channel) -> None:
        number = Number(next(self._ids))
        connection = self._make(channel, number)
        task = asyncio.current_task()
        if len(self._open) >= self._limit:
            log.warning("refused a connection: there are %d already", self._limit)
            connection.refuse()
            channel.close()
            return
        self._open[number.id] = (number, connection)
        if task is not None:
            self._tasks[number.id] = task
        try:
            await connection.serve()
        except (Gone, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("connection %d ended by what nobody foresaw", number.id)
        finally:
            del self._open[number.id]
            self._tasks.pop(number.id, None)
            with suppress(OSError):
                channel.close()
