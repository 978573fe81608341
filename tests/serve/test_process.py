"""The engine as a real process: started, asked, killed, drained, and told to go."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from modiste.serve import protocol
from modiste.serve.protocol import RESTART_S
from modiste.serve.sequence import Failed, Finished, FinishReason, Generate, Sampling, Tokens
from modiste.serve.stream import EngineStream


class Home:
    """A home with an engine in it; everything started here is gone afterwards."""

    def __init__(self, path):
        self.path = Path(path)
        self.run = self.path / "run"
        self.processes = []

    def start(self, *, wait=True, **settings):
        variables = {f"MODISTE_{name.upper()}": str(value) for name, value in settings.items()}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MODISTE_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "modiste.serve.process"],
            env=clean | {"MODISTE_HOME": str(self.path)} | variables,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        deadline = time.monotonic() + 90
        while wait and self.record().get("pid") != process.pid:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "the engine did not start"
            time.sleep(0.02)
        return process

    def record(self):
        try:
            return json.loads((self.run / "engine.json").read_text())
        except FileNotFoundError:
            return {}

    def stream(self, **settings):
        return EngineStream(self.run, **settings)


@pytest.fixture
def home():
    with tempfile.TemporaryDirectory(prefix="m-") as path:
        one = Home(path)
        yield one
        for process in one.processes:
            process.kill()
            process.wait()
            process.stderr.close()


@pytest.fixture(scope="module")
def base(random_base):
    return str(random_base("mistral", max_position_embeddings=20_000))


def long(name, base, n=15_000):
    return Generate(name, base, (1, 2, 3), sampling=Sampling(seed=1, max_tokens=n))


def short(name, base):
    return long(name, base, n=5)


async def everything(stream, request):
    async with aclosing(stream.generate(request)) as events:
        return [event async for event in events]


async def until(condition, *, within_s=60):
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.02)


def test_it_answers_once_it_is_ready(home, base):
    home.start()

    async def walk():
        stream = home.stream()
        events = await everything(stream, short("a", base))
        assert sum(len(e.ids) for e in events if isinstance(e, Tokens)) == 5
        assert events[-1] == Finished("a", FinishReason.LENGTH, 5)
        assert len(await stream.score(base, None, None, [1, 2, 3])) == 2
        status = await stream.status()
        assert status["state"] == "ready"
        assert status["bases"][base]["reproducible"] is True
        await stream.close()

    asyncio.run(walk())


def test_only_its_user_may_open_the_socket(home):
    home.start()
    mode = os.stat(home.record()["socket"]).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(home.run.stat().st_mode) == 0o700


def test_a_home_with_a_long_path_gets_a_short_private_socket(home):
    deep = Home(home.path / ("long" * 30))
    home.processes.append(process := deep.start())
    socket = Path(deep.record()["socket"])
    assert len(str(socket)) < 100
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    process.terminate()
    process.wait(10)
    assert not socket.parent.exists()


def test_everyone_is_told_when_it_is_killed_and_the_next_one_serves(home, base):
    async def walk():
        stream = home.stream(connect_timeout_s=20)
        waiting = [asyncio.create_task(everything(stream, long(str(n), base))) for n in range(4)]

        async def two_run_and_two_wait():
            status = await stream.status()
            return (status["running"], status["waiting"]) == (2, 2)

        await until(two_run_and_two_wait)
        process.kill()
        async with asyncio.timeout(5):
            for events in await asyncio.gather(*waiting):
                assert isinstance(events[-1], Failed)
                assert events[-1].code == "engine_restarting"
        home.start()
        assert isinstance((await everything(stream, short("again", base)))[-1], Finished)
        await stream.close()

    process = home.start(engine_max_sequences=2)
    asyncio.run(walk())


def test_sigterm_finishes_what_runs_refuses_what_comes_and_leaves(home, base):
    async def walk():
        stream = home.stream(connect_timeout_s=0.5)
        running = asyncio.create_task(everything(stream, long("a", base, n=300)))

        async def started():
            return (await stream.status())["running"] == 1

        await until(started)
        process.send_signal(signal.SIGTERM)

        async def draining():
            return (await stream.status())["state"] == "draining"

        await until(draining)
        (refused,) = await everything(stream, short("late", base))
        assert refused.code == "engine_restarting"
        assert refused.retry_after_s > RESTART_S, "what still runs takes time, too"
        events = await running
        assert events[-1] == Finished("a", FinishReason.LENGTH, 300)
        await stream.close()

    process = home.start()
    asyncio.run(walk())
    assert process.wait(10) == 0
    assert home.record() == {}


def test_a_drain_that_takes_too_long_tells_who_is_left(home, base):
    async def walk():
        stream = home.stream()
        running = asyncio.create_task(everything(stream, long("a", base)))

        async def started():
            return (await stream.status())["running"] == 1

        await until(started)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            events = await running
        assert events[-1].code == "engine_restarting"
        await stream.close()

    process = home.start(drain_timeout_s=0.3)
    asyncio.run(walk())
    assert process.wait(10) == 0


def test_a_client_that_leaves_frees_its_places(home, base):
    async def walk():
        leaving, watching = home.stream(), home.stream()
        asks = [asyncio.create_task(everything(leaving, long(str(n), base))) for n in range(3)]

        async def n_running(n):
            return (await watching.status())["running"] == n

        await until(lambda: n_running(3))
        await leaving.close()
        await until(lambda: n_running(0))
        for events in await asyncio.gather(*asks):
            assert events[-1].code == "engine_restarting"
        await watching.close()

    home.start()
    asyncio.run(walk())


def test_closing_one_iterator_aborts_that_request_alone(home, base):
    async def walk():
        stream = home.stream()
        other = asyncio.create_task(everything(stream, long("b", base, n=400)))
        async with aclosing(stream.generate(long("a", base))) as events:
            await anext(events)

        async def alone():
            return (await stream.status())["running"] <= 1

        await until(alone)
        assert (await other)[-1] == Finished("b", FinishReason.LENGTH, 400)
        await stream.close()

    home.start()
    asyncio.run(walk())


def test_who_waits_has_the_place_of_who_is_aborted_within_the_step(home, base):
    home.start(engine_max_sequences=1)
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(20)
        wire.connect(home.record()["socket"])
        unframer = protocol.Unframer()

        def frames():
            while data := wire.recv(1 << 16):
                yield from unframer.feed(data)

        def send(message):
            wire.sendall(protocol.encode(message))

        told = frames()
        send(protocol.request_to_wire(long("a", base), 1))
        next(told)
        send(protocol.request_to_wire(short("b", base), 2))
        send({"op": "abort", "id": 1})
        frame = next(frame for frame in told if "finished" in frame["events"][0])
        (ended, first) = frame["events"]
        assert (ended["id"], ended["finished"]) == (1, FinishReason.CANCELLED)
        assert (first["id"], len(first["tokens"])) == (2, 1)


def test_a_second_engine_does_not_take_the_home(home):
    home.start()
    second = home.start(wait=False, drain_timeout_s=0)
    assert second.wait(30) == 75
    assert b"another engine serves" in second.stderr.read()


def test_wrong_settings_are_told_and_end_with_a_usage_error(home):
    process = home.start(wait=False, engine_max_sequences="many")
    assert process.wait(30) == 2
    assert b"engine_max_sequences" in process.stderr.read()


def test_nonsense_on_the_socket_harms_nobody_else(home, base):
    async def walk():
        stream = home.stream()
        assert isinstance((await everything(stream, short("a", base)))[-1], Finished)
        for nonsense in (b"\xff" * 64, b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x01{"):
            reader, writer = await asyncio.open_unix_connection(home.record()["socket"])
            writer.write(nonsense)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
        assert isinstance((await everything(stream, short("b", base)))[-1], Finished)
        await stream.close()

    home.start()
    asyncio.run(walk())


def test_the_engine_does_not_import_transformers():
    code = "import sys, modiste.serve.process; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
