"""Server-sent events: a stream that notices when its reader is gone.

The generator behind a stream is closed on every way out (done, failed, reader gone), so that what
feeds it (a sequence in the engine, a poll of the database) stops with it. A failure after the
headers went out becomes the last event. `while_connected` gives blocking answers the same
protection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from modiste.errors import ModisteError

PING = b": ping\n\n"
PING_S = 10.0
"""Silence after which a comment line is sent; proxies and clients time out on silence."""
DONE = b"data: [DONE]\n\n"

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody is left to read the answer."""


def data(value: Any, *, event: str | None = None) -> bytes:
    """One event. The space after the colon is not optional: the 0.x client drops lines without."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + orjson.dumps(value) + b"\n\n"


class EventStream(Response):
    """The answer 200 `text/event-stream`."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        *,
        on_error: Callable[[ModisteError], bytes],
        ping_s: float = PING_S,
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._on_error = on_error
        self._ping_s = ping_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        talking = asyncio.create_task(self._talk(start, send))
        listening = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({talking, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _stop(listening, talking)
        if not talking.cancelled():
            talking.result()

    async def _talk(self, start: Any, send: Send) -> None:
        said_at = time.monotonic()

        async def say(chunk: bytes, *, more: bool = True) -> None:
            nonlocal said_at
            said_at = time.monotonic()
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

        async def break_silence() -> None:
            while True:
                if (left_s := said_at + self._ping_s - time.monotonic()) > 0:
                    await asyncio.sleep(left_s)
                else:
                    await say(PING)

        async with aclosing(self._events) as events:
            await send(start)
            pinging = asyncio.create_task(break_silence())
            try:
                async for chunk in events:
                    await say(chunk)
            except ModisteError as error:
                await say(self._on_error(error))
            finally:
                await _stop(pinging)
        await say(b"", more=False)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client hangs up.

    Call it when the body has been read: after that, a client has nothing to send but its end.

    Raises:
        ClientGone: it hung up first.
    """
    working = asyncio.create_task(work)
    listening = asyncio.create_task(_until_gone(request.receive))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        await _stop(listening, working)


async def peeked(events: AsyncGenerator[T], *, patience_s: float) -> AsyncGenerator[T]:
    """The same events, after the first one came or `patience_s` passed.

    What fails at once fails here, while the answer can still have a status of its own.
    """
    first = asyncio.ensure_future(anext(events))
    try:
        await asyncio.wait({first}, timeout=patience_s)
        if first.done() and not isinstance(first.exception(), StopAsyncIteration):
            first.result()
    except BaseException:
        await _stop(first)
        await events.aclose()
        raise
    return _resumed(first, events)


async def _resumed(first: asyncio.Future[T], events: AsyncGenerator[T]) -> AsyncGenerator[T]:
    try:
        try:
            yield await first
        except StopAsyncIteration:
            return
        async for event in events:
            yield event
    finally:
        await _stop(first)
        await events.aclose()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stop(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
