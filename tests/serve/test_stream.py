"""The client against a stand-in engine on a real Unix socket."""

import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from modiste.errors import Busy, Unavailable
from modiste.serve import protocol
from modiste.serve.sequence import Failed, Finished, FinishReason, Generate, Tokens
from modiste.serve.stream import EngineStream

REQUEST = Generate("mine", "/base", (1, 2))


class StandIn:
    """Answers each message through `answer`; remembers what it was told."""

    def __init__(self, folder: Path, answer):
        self.folder, self.answer, self.heard, self.writers = folder, answer, [], []

    async def start(self):
        socket = self.folder / "engine.sock"
        self.server = await asyncio.start_unix_server(self._serve, socket)
        record = {"pid": 1, "socket": str(socket)}
        (self.folder / protocol.ENGINE_FILE).write_text(json.dumps(record))

    async def die(self):
        self.server.close()
        for writer in self.writers:
            writer.close()
        (self.folder / "engine.sock").unlink(missing_ok=True)

    async def _serve(self, reader, writer):
        self.writers.append(writer)
        unframer = protocol.Unframer()
        while data := await reader.read(1 << 16):
            for message in unframer.feed(data):
                self.heard.append(message)
                if events := self.answer(message):
                    writer.write(protocol.encode({"events": events}))


@asynccontextmanager
async def stand_in(answer):
    with tempfile.TemporaryDirectory() as folder:
        engine = StandIn(Path(folder), answer)
        await engine.start()
        stream = EngineStream(Path(folder), connect_timeout_s=2.0)
        try:
            yield engine, stream
        finally:
            await stream.close()
            await engine.die()


def answering(*events):
    return lambda message: [{"id": message["id"], **event} for event in events]


async def everything(stream, request=REQUEST):
    async with aclosing(stream.generate(request)) as events:
        return [event async for event in events]


def within(seconds, walk):
    async def bounded():
        async with asyncio.timeout(seconds):
            await walk()

    asyncio.run(bounded())


def test_tokens_arrive_in_order_and_the_end_is_said_once():
    async def walk():
        say = answering(
            {"tokens": [5]},
            {"tokens": [6, 7]},
            {"finished": "stop", "n_generated": 4, "n_cached": 0},
        )
        async with stand_in(say) as (engine, stream):
            assert await everything(stream) == [
                Tokens("mine", (5,)),
                Tokens("mine", (6, 7)),
                Finished("mine", FinishReason.STOP, 4),
            ]
            await stream.close()
            assert [message["op"] for message in engine.heard] == ["generate"]

    within(10, walk)


def test_answers_find_their_caller_when_many_share_the_connection():
    async def walk():
        def echo(message):
            n = message["id"]
            return [
                {"id": n, "tokens": message["ids"]},
                {"id": n, "finished": "length", "n_generated": 1, "n_cached": 0},
            ]

        async with stand_in(echo) as (_, stream):
            requests = [Generate("same name", "/base", (n,)) for n in range(20)]
            results = await asyncio.gather(*(everything(stream, r) for r in requests))
            assert [events[0].ids for events in results] == [(n,) for n in range(20)]

    within(10, walk)


def test_closing_the_iterator_aborts_the_request():
    async def walk():
        async with stand_in(answering({"tokens": [5]})) as (engine, stream):
            async with aclosing(stream.generate(REQUEST)) as events:
                assert await anext(events) == Tokens("mine", (5,))
            while len(engine.heard) < 2:
                await asyncio.sleep(0.01)
            assert engine.heard[1] == {"op": "abort", "id": engine.heard[0]["id"]}

    within(10, walk)


def test_everyone_who_waits_is_told_when_the_engine_dies():
    async def walk():
        async with stand_in(lambda message: None) as (engine, stream):
            waiting = [asyncio.create_task(everything(stream)) for _ in range(5)]
            scoring = asyncio.create_task(stream.score("/base", None, None, [1, 2]))
            while len(engine.heard) < 6:
                await asyncio.sleep(0.01)
            await engine.die()
            for events in await asyncio.gather(*waiting):
                (failed,) = events
                assert isinstance(failed, Failed)
                assert failed.code == "engine_restarting"
                assert failed.retry_after_s > 0
            with pytest.raises(Unavailable):
                await scoring

    within(10, walk)


def test_the_next_request_reaches_the_engine_that_took_over():
    async def walk():
        end = answering({"finished": "stop", "n_generated": 1, "n_cached": 0})
        async with stand_in(end) as (engine, stream):
            await everything(stream)
            await engine.die()
            await asyncio.sleep(0.1)
            later = asyncio.create_task(everything(stream))
            await asyncio.sleep(0.2)
            await engine.start()
            assert isinstance((await later)[-1], Finished)

    within(10, walk)


def test_no_engine_is_an_answer_and_not_a_wait(tmp_path):
    async def walk():
        stream = EngineStream(tmp_path, connect_timeout_s=0.1)
        (failed,) = await everything(stream)
        assert failed.code == "engine_restarting"
        with pytest.raises(Unavailable):
            await stream.status()

    within(5, walk)


def test_the_longer_the_engine_is_gone_the_later_callers_are_asked_back(tmp_path, monkeypatch):
    monkeypatch.setattr("modiste.serve.stream.RESTART_S", 0.05)

    async def walk():
        stream = EngineStream(tmp_path, connect_timeout_s=0.0)
        (failed,) = await everything(stream)
        assert failed.retry_after_s == 0.05
        await asyncio.sleep(0.4)
        (failed,) = await everything(stream)
        assert 0.4 <= failed.retry_after_s < 5
        with pytest.raises(Unavailable) as raised:
            await stream.status()
        assert 0.4 <= raised.value.retry_after_s < 5
        monkeypatch.setattr("modiste.serve.stream.LONGEST_S", 0.2)
        (failed,) = await everything(stream)
        assert failed.retry_after_s == 0.2

    within(5, walk)


def test_a_status_that_does_not_come_is_unavailable_in_time():
    async def walk():
        async with stand_in(lambda message: None) as (_, stream):
            with pytest.raises(Unavailable, match="did not answer"):
                await stream.status(timeout_s=0.1)

    within(5, walk)


def test_score_returns_numbers_or_raises_what_went_wrong():
    async def walk():
        async with stand_in(answering({"logprobs": [-1.5]})) as (_, stream):
            assert await stream.score("/base", None, None, [1, 2]) == [-1.5]
        busy = {"failed": "busy", "message": "full", "retry_after_s": 2.0}
        async with stand_in(answering(busy)) as (_, stream):
            with pytest.raises(Busy):
                await stream.score("/base", None, None, [1, 2])

    within(10, walk)


def test_the_client_never_imports_torch():
    code = "import sys, modiste.serve.stream; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
