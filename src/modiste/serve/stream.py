"""The only client of the engine: async, torch-free, reconnecting.

It refuses to leave anybody waiting: when the engine dies, everyone who waits gets a `Failed` with
code `engine_restarting`, and the next request connects to the engine that took its place. Requests
are not repeated here; the caller knows whether its tokens were already shown to somebody.

One `EngineStream` belongs to one event loop and shares one connection among all its callers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from modiste.errors import InvalidInput, Unavailable
from modiste.serve import protocol
from modiste.serve.protocol import RESTART_S
from modiste.serve.sequence import (
    Embed,
    Embedded,
    Event,
    Failed,
    FailureCode,
    Finished,
    Generate,
    Request,
    Score,
    Scored,
)

LONGEST_S = 30.0
"""What the supervisor waits at most before it starts a part again."""
RETRY_CONNECT_S = 0.05


class EngineStream:
    def __init__(self, process_dir: Path, *, connect_timeout_s: float = 5.0) -> None:
        """`process_dir` is where the engine writes `engine.json`. Nothing is opened before use."""
        self._process_dir = process_dir
        self._connect_timeout_s = connect_timeout_s
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._gone_since: float | None = None

    async def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        """`PromptLogprobs` if asked, tokens as they are drawn, then one `Finished` or `Failed`.

        Closing the iterator aborts the request, so close it when the caller is gone:
        `async with aclosing(stream.generate(request)) as events: ...`.
        """
        async with aclosing(self._ask(request)) as events:
            async for event in events:
                yield event

    async def score(
        self,
        base: str,
        adapter: str | None,
        adapter_version: str | None,
        ids: Sequence[int],
    ) -> list[float]:
        """Log-probability of each of `ids[1:]` given those before it.

        Raises:
            ModisteError: what `Failed.error` says (Busy, Unavailable, InvalidInput, ...).
        """
        request = Score("score", base, tuple(ids), adapter=adapter, adapter_version=adapter_version)
        async with aclosing(self._ask(request)) as events:
            async for event in events:
                if isinstance(event, Scored):
                    return list(event.logprobs)
                if isinstance(event, Failed):
                    raise event.error()
        raise Unavailable("the engine ended a score request without an answer; send it again")

    async def embed(self, request: Embed) -> tuple[float, ...]:
        """
        Raises:
            ModisteError: what `Failed.error` says.
        """
        async with aclosing(self._ask(request)) as events:
            async for event in events:
                if isinstance(event, Embedded):
                    return event.vector
                if isinstance(event, Failed):
                    raise event.error()
        raise Unavailable("the engine ended an embedding without an answer; send it again")

    async def status(self, *, timeout_s: float = 2.0) -> dict[str, Any]:
        """What the engine says about itself.

        Raises:
            Unavailable: no engine, or no answer within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connected(patience_s=0)
                async with aclosing(connection.ask({"op": "status"})) as answers:
                    async for answer in answers:
                        status: dict[str, Any] = answer["status"]
                        return status
        except TimeoutError:
            raise Unavailable(
                f"the engine did not answer within {timeout_s} s; see its log in "
                f"{self._process_dir}",
                code=FailureCode.RESTARTING,
                retry_after_s=RESTART_S,
            ) from None
        except _Lost as lost:
            wait_s = self._back_in_s()
            raise Unavailable(
                str(lost), code=FailureCode.RESTARTING, retry_after_s=wait_s
            ) from None
        raise Unavailable("the engine closed before it answered", retry_after_s=RESTART_S)

    async def close(self) -> None:
        """Hang up; everyone who still waits is told, and the engine aborts their requests."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _ask(self, request: Request) -> AsyncGenerator[Event, None]:
        try:
            connection = await self._connected(patience_s=self._connect_timeout_s)
            message = protocol.request_to_wire(request, 0)
            async with aclosing(connection.ask(message)) as answers:
                async for answer in answers:
                    event = protocol.event_from_wire(answer, request.id)
                    yield event
                    if isinstance(event, Finished | Scored | Embedded | Failed):
                        return
        except _Lost as lost:
            yield Failed(request.id, FailureCode.RESTARTING, str(lost), self._back_in_s())
        except InvalidInput as refused:
            yield Failed(request.id, FailureCode.INVALID, refused.message)

    def _back_in_s(self) -> float:
        """As long again as it is gone already: who starts it waits longer with every death."""
        gone_s = 0.0 if self._gone_since is None else time.monotonic() - self._gone_since
        return min(LONGEST_S, max(RESTART_S, gone_s))

    async def _connected(self, *, patience_s: float) -> _Connection:
        async with self._connecting:
            if self._connection is not None and self._connection.alive:
                return self._connection
            deadline = asyncio.get_running_loop().time() + patience_s
            while True:
                try:
                    self._connection = await _Connection.open(self._process_dir)
                    self._gone_since = None
                    return self._connection
                except _Lost:
                    self._gone_since = self._gone_since or time.monotonic()
                    if asyncio.get_running_loop().time() >= deadline:
                        raise
                await asyncio.sleep(RETRY_CONNECT_S)


class _Lost(Exception):
    """The connection to the engine is gone, or never was."""


class _Connection:
    """One socket; a listener task hands each answer to whoever asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[dict[str, Any] | None]] = {}
        self.alive = True
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, process_dir: Path) -> _Connection:
        record = process_dir / protocol.ENGINE_FILE
        try:
            socket = json.loads(record.read_text(encoding="utf-8"))["socket"]
            reader, writer = await asyncio.open_unix_connection(socket)
        except (OSError, ValueError, KeyError) as error:
            raise _Lost(f"no engine listens ({record}: {error}); it is starting or down") from None
        return cls(reader, writer)

    async def ask(self, message: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Every answer to one message; leaving early tells the engine to abort it."""
        number = next(self._numbers)
        answers = self._waiting[number] = asyncio.Queue()
        ended = False
        try:
            frame = protocol.encode({**message, "id": number})
            if not self.alive:
                raise _Lost("the engine stopped; it is being restarted")
            self._writer.write(frame)
            while (answer := await answers.get()) is not None:
                ended = protocol.ends(answer)
                yield answer
            raise _Lost("the engine stopped while it worked on this request; send it again")
        finally:
            del self._waiting[number]
            if self.alive and not ended:
                self._writer.write(protocol.encode({"op": "abort", "id": number}))

    async def close(self) -> None:
        self._writer.close()
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(protocol.LENGTH.size)
                body = await self._reader.readexactly(protocol.frame_length(head))
                for answer in protocol.decode(body)["events"]:
                    if (answers := self._waiting.get(answer["id"])) is not None:
                        answers.put_nowait(answer)
        except (asyncio.IncompleteReadError, OSError, InvalidInput, KeyError):
            pass  # Every way to lose the engine is answered below in the same way.
        finally:
            self.alive = False
            self._writer.close()
            for answers in self._waiting.values():
                answers.put_nowait(None)
