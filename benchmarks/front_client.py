"""A front and an engine's double as processes, and a client that costs little beside them.

The client keeps its connections, notes when bytes arrive and reads them afterwards, so that a
measurement is of the front and not of who asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from front_double import spoken

CHAT = "/v1/chat/completions"


class Front:
    """`modiste.api.app` and the double in a home of their own, until `close`."""

    def __init__(self, home: Path, *, tokens_per_s: float = 0.0) -> None:
        self.home, self.run = home, home / "run"
        self.run.mkdir(parents=True, exist_ok=True)
        variables = {name: v for name, v in os.environ.items() if not name.startswith("MODISTE_")}
        variables |= {"MODISTE_HOME": str(home), "MODISTE_PORT": "0", "MODISTE_WORKERS": "0"}
        double = str(Path(__file__).with_name("front_double.py"))
        commands = {
            "double": [sys.executable, double, str(self.run), "--tokens-per-s", str(tokens_per_s)],
            "front": [sys.executable, "-m", "modiste.api.app"],
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        for name, command in commands.items():
            with (home / f"{name}.log").open("wb") as log:
                started = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
            self._processes.append(started)
        self._until_ready()
        self.process = psutil.Process(self._processes[1].pid)
        server = json.loads((self.run / "server.json").read_text())
        self.port: int = server["port"]
        self.key = (home / "admin.key").read_text().strip()

    def _until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while not all((self.run / name).exists() for name in ("engine.json", "server.json")):
            if time.monotonic() > deadline or any(p.poll() is not None for p in self._processes):
                self.close()
                said = "".join(log.read_text() for log in self.home.glob("*.log"))
                raise SystemExit(f"the front or the double did not start: {said[-2000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def peak_rss_bytes(self) -> int:
        """Since it started."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])

    def open_files(self) -> Counter[str]:
        """How many of which kind: file names within the home, sockets and pipes by that word."""
        kinds: Counter[str] = Counter()
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                target = os.readlink(link)
            except FileNotFoundError:  # Closed since it was listed.
                continue
            kinds[target.partition(":[")[0].removeprefix(f"{self.home}/")] += 1
        return kinds


class Connection(asyncio.Protocol):
    """One request after the other; `ask` waits for the whole answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # What TCP gives.
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrivals.append(time.perf_counter())
        self._received += data
        if self._answered is not None and not self._answered.done() and self._complete():
            self._answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error or ConnectionError("the front hung up"))

    async def ask(self, request: bytes) -> Answer:
        assert self._transport is not None  # noqa: S101  # `create_connection` waits for it.
        self._received, self._arrivals, self._ends_at = bytearray(), [], 0
        self._answered = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self._transport.write(request)
        await self._answered
        return Answer(bytes(self._received), began, self._arrivals)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _complete(self) -> bool:
        if not self._ends_at and (head_ends := self._received.find(b"\r\n\r\n")) >= 0:
            length = _headers(self._received[:head_ends]).get("content-length")
            self._ends_at = -1 if length is None else head_ends + 4 + int(length)
        if self._ends_at < 0:
            return self._received.endswith(b"\r\n0\r\n\r\n")
        return 0 < self._ends_at <= len(self._received)


@dataclass
class Answer:
    raw: bytes
    asked_at: float
    arrived_at: list[float]
    """Of every piece. Both by `time.perf_counter`."""

    @property
    def first_s(self) -> float:
        return self.arrived_at[0] - self.asked_at

    @property
    def whole_s(self) -> float:
        return self.arrived_at[-1] - self.asked_at

    @property
    def body(self) -> bytes:
        head, _, body = self.raw.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the front answered {self.raw[:500]!r}")
        return body if "content-length" in _headers(head) else _unchunked(body)

    def fault_of_stream(self, seed: int, n_tokens: int) -> str | None:
        """What of its events is not as the double told them."""
        events = [event for event in self.body.decode().split("\n\n") if event]
        events = [event for event in events if not event.startswith(":")]
        if events[-1] != "data: [DONE]":
            return f"ends with {events[-1]!r}"
        chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
        choices = [chunk["choices"][0] for chunk in chunks]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        if text != (expected := spoken(seed, n_tokens)):
            return f"{text!r} instead of {expected!r}"
        reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
        if reasons != ["length"] or chunks[-1]["usage"]["completion_tokens"] != n_tokens:
            return f"ends with {reasons} and {chunks[-1].get('usage')}"
        return None


@dataclass
class Client:
    """Any number of requests at once, over connections that are used again."""

    front: Front
    _idle: list[Connection] = field(default_factory=list)

    async def ask(self, request: bytes) -> Answer:
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self.front.port)
        answer = await connection.ask(request)
        self._idle.append(connection)
        return answer

    def chat(self, seed: int, n_tokens: int, *, stream: bool) -> bytes:
        body = {
            "model": "modiste-tiny",
            "messages": [{"role": "user", "content": "Count for me, please."}],
            "random_seed": seed,
            "max_tokens": n_tokens,
            "stream": stream,
        }
        content = json.dumps(body).encode()
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.front.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def _headers(head: bytes | bytearray) -> Mapping[str, Any]:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}


def _unchunked(body: bytes) -> bytes:
    whole, at = bytearray(), 0
    while True:
        line_ends = body.index(b"\r\n", at)
        size = int(body[at:line_ends], 16)
        if not size:
            return bytes(whole)
        whole += body[line_ends + 2 : line_ends + 2 + size]
        at = line_ends + 2 + size + 2
