"""Streams of events: pings, ends, failures and readers that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from modiste.api import sse
from modiste.errors import ModisteError, Unavailable


class Wire:
    """What an ASGI server does: collects what is sent, says when the reader is gone."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


class Source:
    """Events with pauses; remembers that it was closed."""

    def __init__(self, *pauses_s: float, failure: ModisteError | None = None) -> None:
        self.pauses_s, self.failure = pauses_s, failure
        self.closed = False

    async def events(self) -> AsyncGenerator[bytes]:
        try:
            for number, pause_s in enumerate(self.pauses_s):
                await asyncio.sleep(pause_s)
                yield sse.data(number)
            if self.failure:
                raise self.failure
        finally:
            self.closed = True


def stream(source: Source, *, ping_s: float = 10.0) -> sse.EventStream:
    return sse.EventStream(
        source.events(), on_error=lambda error: sse.data({"error": str(error)}), ping_s=ping_s
    )


def test_an_event_has_a_space_behind_its_colon() -> None:
    assert sse.data({"a": "é\n"}) == 'data: {"a":"é\\n"}\n\n'.encode()
    assert sse.data(1, event="step") == b"event: step\ndata: 1\n\n"


def test_a_stream_sends_its_events_and_ends() -> None:
    async def run() -> None:
        wire, source = Wire(), Source(0, 0)
        await stream(source)({}, wire.receive, wire.send)
        start = wire.sent[0]
        headers = dict(start["headers"])
        assert start["status"] == 200
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert b"content-length" not in headers
        assert wire.body == b"data: 0\n\ndata: 1\n\n"
        assert wire.sent[-1]["more_body"] is False
        assert source.closed

    asyncio.run(run())


def test_silence_is_broken_by_comments() -> None:
    async def run() -> None:
        wire, source = Wire(), Source(0, 0.25)
        await stream(source, ping_s=0.05)({}, wire.receive, wire.send)
        assert wire.body.count(sse.PING) >= 2
        assert wire.body.replace(sse.PING, b"") == b"data: 0\n\ndata: 1\n\n"

    asyncio.run(run())


def test_a_failure_becomes_the_last_event() -> None:
    async def run() -> None:
        wire, source = Wire(), Source(0, failure=Unavailable("gone"))
        await stream(source)({}, wire.receive, wire.send)
        assert wire.body == b'data: 0\n\ndata: {"error":"gone"}\n\n'
        assert wire.sent[-1]["more_body"] is False

    asyncio.run(run())


def test_the_source_is_closed_when_the_reader_goes_away() -> None:
    async def run() -> None:
        wire, source = Wire(), Source(0, 60)
        running = asyncio.create_task(stream(source)({}, wire.receive, wire.send))
        while b"data: 0" not in wire.body:
            await asyncio.sleep(0.01)
        wire.gone.set()
        async with asyncio.timeout(5):
            await running
        assert source.closed

    asyncio.run(run())


class FakeRequest:
    def __init__(self, wire: Wire) -> None:
        self.receive = wire.receive


def test_work_is_cancelled_when_its_client_hangs_up() -> None:
    async def run() -> None:
        wire, cancelled = Wire(), asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()

        asyncio.get_running_loop().call_later(0.05, wire.gone.set)
        async with asyncio.timeout(5):
            with pytest.raises(sse.ClientGone):
                await sse.while_connected(FakeRequest(wire), work())  # type: ignore[arg-type]
        assert cancelled.is_set()

    asyncio.run(run())


def test_work_that_is_done_gives_its_result_or_its_error() -> None:
    async def fine() -> int:
        return 3

    async def broken() -> int:
        raise Unavailable("down")

    async def run() -> None:
        request: Any = FakeRequest(Wire())
        assert await sse.while_connected(request, fine()) == 3
        with pytest.raises(Unavailable):
            await sse.while_connected(request, broken())

    asyncio.run(run())


def test_what_fails_at_once_fails_before_the_stream_opens() -> None:
    async def run() -> None:
        source = Source(failure=Unavailable("down"))
        with pytest.raises(Unavailable):
            await sse.peeked(source.events(), patience_s=5)
        assert source.closed

    asyncio.run(run())


@pytest.mark.parametrize("pauses_s", [(), (0.0, 0.0), (0.2, 0.0)])
def test_peeking_loses_nothing(pauses_s: tuple[float, ...]) -> None:
    async def run() -> list[bytes]:
        events = await sse.peeked(Source(*pauses_s).events(), patience_s=0.05)
        return [event async for event in events]

    assert asyncio.run(run()) == [sse.data(number) for number in range(len(pauses_s))]


def test_a_peeked_stream_closes_its_source_even_if_it_is_never_read_on() -> None:
    async def run() -> None:
        source = Source(0.0, 60.0)
        events = await sse.peeked(source.events(), patience_s=0.05)
        assert await anext(events) == sse.data(0)
        await events.aclose()
        assert source.closed

    asyncio.run(run())
