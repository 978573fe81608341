"""A server under mixed load for some minutes: does it leak, lose a request, or answer wrongly?

    python benchmarks/soak.py --seconds 600

`modiste up` on 127.0.0.1 in a home of its own. Chats over HTTP, whole, streamed and hung up on, and
requests to the engine through adapters that come in new versions, some cancelled, some that cannot
be served. Every request has a seed and was answered alone before: what comes under load is compared
to the letter. Ends with figures as JSON, and with exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from serve_engine import base, prompt, random_adapter

from modiste.errors import InvalidInput
from modiste.serve.sequence import (
    Failed,
    Finished,
    Generate,
    Grammar,
    GrammarKind,
    Sampling,
    Tokens,
)
from modiste.serve.stream import EngineStream

N_ADAPTERS, N_VERSIONS, N_CASES, N_CLIENTS = 6, 4, 12, 10
SAMPLE_S = 2.0
GROWTH_LIMIT = 0.05
"""Of resident memory between the second quarter of the time and the last."""
TINY = base("a", Path())


@dataclass
class Soak:
    http: httpx.AsyncClient
    engine: EngineStream
    adapters: list[Path]
    rng: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    expected: dict[str, Any] = field(default_factory=dict)

    def generate(self, case: int, version: int) -> Generate:
        """The same bytes under every version: the files are the same."""
        beginning = prompt(7, 150) if case % 2 else ()
        adapter = None if case % 4 == 0 else self.adapters[case % N_ADAPTERS]
        return Generate(
            f"case-{case}",
            str(TINY),
            (*beginning, *prompt(case, 10 + 9 * (case % 8))),
            adapter=None if adapter is None else str(adapter),
            adapter_version=f"v{version}",
            sampling=Sampling(temperature=1.0, seed=case, max_tokens=20 + case, logprobs=1),
            owner=str(case % 3),
        )

    def chat(self, case: int) -> dict[str, Any]:
        question = f"Where is order {case}? " * (1 + case % 5)
        return {
            "model": self.expected["model"],
            "messages": [{"role": "user", "content": question}],
            "seed" if self.expected["openai"] else "random_seed": case,
            "temperature": 0.9,
            "max_tokens": 16 + 4 * case,
        }

    async def told(self, request: Generate, *, leave_after: int | None = None) -> list[Any]:
        """Ids and log-probabilities; those that came until it left."""
        found: list[Any] = []
        async with aclosing(self.engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, Tokens):
                    found.append((event.ids, event.logprobs))
                    if leave_after is not None and len(found) >= leave_after:
                        return found
                elif isinstance(event, Failed):
                    raise event.error()
                elif isinstance(event, Finished):
                    return found
        raise AssertionError("a stream ended without an end")

    async def learn(self) -> None:
        """Everything alone, once; and every version of every adapter is read."""
        models = (await self.http.get("/v1/models")).json()["data"]
        self.expected |= {"model": models[0]["id"], "openai": False}
        for case in range(N_CASES):
            self.expected[f"case-{case}"] = await self.told(self.generate(case, 0))
            for version in range(1, N_VERSIONS):
                await self.told(self.generate(case, version), leave_after=1)
        for case in range(8):
            answer = await self.http.post("/v1/chat/completions", json=self.chat(case))
            answer.raise_for_status()
            self.expected[f"chat-{case}"] = answer.json()["choices"][0]["message"]["content"]

    def check(self, name: str, got: Any, *, whole: bool) -> None:
        expected = self.expected[name]
        if got != (expected if whole else expected[: len(got)]):
            self.wrong.append(f"{name}: {str(got)[:200]} instead of {str(expected)[:200]}")
        self.counts["whole" if whole else "left"] += 1

    async def ask_engine(self) -> None:
        case, version = self.rng.randrange(N_CASES), self.rng.randrange(N_VERSIONS)
        leave = self.rng.randrange(1, 15) if self.rng.random() < 0.3 else None
        got = await self.told(self.generate(case, version), leave_after=leave)
        self.check(f"case-{case}", got, whole=leave is None)

    async def ask_badly(self) -> None:
        bad = self.rng.choice(
            [
                {"ids": (999_999,)},
                {"adapter": "/nowhere", "adapter_version": "v1"},
                {"grammar": Grammar(GrammarKind.LARK, "start: nothing")},
                {"base": "/nowhere"},
            ]
        )
        request = Generate(**({"id": "bad", "base": str(TINY), "ids": (1, 2)} | bad))
        try:
            await self.told(request)
            self.wrong.append(f"{bad} was answered")
        except InvalidInput:
            self.counts["refused"] += 1
        except Exception as error:  # noqa: BLE001  # Other refusals have other types; all are told.
            known = getattr(error, "error_code", "") in ("base_unusable", "adapter_unusable")
            self.counts["refused"] += known
            if not known:
                self.wrong.append(f"{bad}: {error!r}")
        answer = await self.http.post("/v1/chat/completions", json={"model": "no-such", "n": "x"})
        if answer.status_code not in (400, 404, 422):
            self.wrong.append(f"a bad body was answered with {answer.status_code}")

    async def ask_http(self) -> None:
        case = self.rng.randrange(8)
        answer = await self.http.post("/v1/chat/completions", json=self.chat(case))
        answer.raise_for_status()
        content = answer.json()["choices"][0]["message"]["content"]
        self.check(f"chat-{case}", content, whole=True)

    async def stream_http(self) -> None:
        case, text = self.rng.randrange(8), ""
        leave = self.rng.random() < 0.4
        body = self.chat(case) | {"stream": True}
        async with self.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    self.check(f"chat-{case}", text, whole=True)
                    return
                if line.startswith("data: "):
                    delta = json.loads(line[6:])["choices"][0]["delta"]
                    text += delta.get("content") or ""
                    if leave and len(text) > 10:
                        self.check(f"chat-{case}", text, whole=False)
                        return
        self.wrong.append(f"chat-{case}: a stream ended without [DONE]")

    async def client(self, deadline: float) -> None:
        kinds: list[Callable[[], Any]] = [self.ask_engine, self.ask_http, self.stream_http]
        while time.monotonic() < deadline:
            ask = self.ask_badly if self.rng.random() < 0.1 else self.rng.choice(kinds)
            try:
                async with asyncio.timeout(120):
                    await ask()
            except Exception as error:  # noqa: BLE001  # Whatever it was, it was not an answer.
                self.wrong.append(f"{ask.__name__}: {error!r}")


def n_files(process: psutil.Process) -> int:
    """Open ones, without those of the database, whose connections are kept up to a bound."""
    kept = [file for file in process.open_files() if "modiste.db" in file.path]
    return process.num_fds() - len(kept)


class Watched:
    """Memory and open files of the engine and the front, every two seconds."""

    def __init__(self, supervisor: psutil.Process) -> None:
        self.parts = {
            name: process
            for process in supervisor.children(recursive=True)
            for name in ("modiste.serve.process", "modiste.api")
            if any(name in word for word in process.cmdline())
        }
        self.rss: dict[str, list[int]] = {name: [] for name in self.parts}
        self.n_files: dict[str, list[int]] = {name: [] for name in self.parts}

    async def watch(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            for name, process in self.parts.items():
                self.rss[name].append(process.memory_info().rss)
                self.n_files[name].append(n_files(process))
            await asyncio.sleep(SAMPLE_S)

    def files(self) -> dict[str, int]:
        return {name: n_files(process) for name, process in self.parts.items()}

    def files_early(self) -> dict[str, int]:
        """Most at once in the first half, when pools have filled."""
        return {name: max(some[: len(some) // 2 + 1]) for name, some in self.n_files.items()}

    def growth(self) -> dict[str, float]:
        told = {}
        for name, rss in self.rss.items():
            quarter = max(1, len(rss) // 4)
            told[name] = median(rss[-quarter:]) / median(rss[quarter : 2 * quarter] or rss) - 1
        return told


async def soak(seconds: float, home: Path, supervisor: psutil.Process) -> dict[str, Any]:
    url = json.loads((home / "run" / "server.json").read_text())["url"]
    key = (home / "admin.key").read_text().strip()
    seeds = [random_adapter(TINY, home, seed) for seed in range(N_ADAPTERS)]
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120
    ) as http:
        one = Soak(http, EngineStream(home / "run"), seeds, random.Random(1))  # noqa: S311
        await one.learn()
        print("every request was answered alone; the load begins", file=sys.stderr, flush=True)
        watched = Watched(supervisor)
        began = time.monotonic()
        deadline = began + seconds
        clients = [one.client(deadline) for _ in range(N_CLIENTS)]
        await asyncio.gather(watched.watch(deadline), *clients)
        took_s = time.monotonic() - began
        status = await idle(one.engine)
        await one.engine.close()
    await asyncio.sleep(2.0)
    figures = {
        "seconds": round(took_s),
        "requests": dict(one.counts),
        "wrong": one.wrong[:20],
        "n_wrong": len(one.wrong),
        "rss_mib": {name: round(rss[-1] / 2**20) for name, rss in watched.rss.items()},
        "rss_growth": {name: round(grown, 4) for name, grown in watched.growth().items()},
        "files_early": watched.files_early(),
        "files_after": watched.files(),
        "prefix_mib": [round(one["prefix_bytes"] / 2**20, 1) for one in status["bases"].values()],
    }
    return figures | {"faults": faults(figures, status)}


async def idle(engine: EngineStream) -> dict[str, Any]:
    """The engine's status once nobody asks; an abort takes a step to arrive."""
    for _ in range(200):
        status = await engine.status(timeout_s=10)
        if not status["running"] and not status["waiting"]:
            return status
        await asyncio.sleep(0.1)
    return status


def faults(figures: dict[str, Any], status: dict[str, Any]) -> list[str]:
    found = [f"{figures['n_wrong']} wrong or lost answers"] if figures["n_wrong"] else []
    if status["running"] or status["waiting"]:
        found.append(f"{status['running']} still run and {status['waiting']} still wait")
    for path, told in status["bases"].items():
        if told["free_cells"] != told["cells"]:
            found.append(f"{path}: {told['cells'] - told['free_cells']} cells were not given back")
    for name, grown in figures["rss_growth"].items():
        if grown > GROWTH_LIMIT:
            found.append(f"memory of {name} grew by {grown:.1%}")
    for name, n in figures["files_after"].items():
        if n > figures["files_early"][name] + 2:
            found.append(f"{name} has {n} open files, {figures['files_early'][name]} early on")
    return found


def started(home: Path) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MODISTE_")}
    environment |= {"MODISTE_HOME": str(home), "MODISTE_ENGINE_PREFIX_MIB": "16"}
    command = [sys.executable, "-m", "modiste", "up", "--port", "0", "--workers", "0"]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        try:
            url = json.loads((home / "run" / "server.json").read_text())["url"]
            if httpx.get(f"{url}/healthz", timeout=10).status_code == 200:
                return process
        except (OSError, ValueError, httpx.HTTPError):
            pass
        time.sleep(0.3)
    process.terminate()
    raise SystemExit("`modiste up` did not start: " + (home / "up.log").read_text()[-2000:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    seconds = parser.parse_args().seconds
    home = Path(tempfile.mkdtemp(prefix="soak-"))
    process = started(home)
    try:
        figures = asyncio.run(soak(seconds, home, psutil.Process(process.pid)))
    finally:
        process.terminate()
        process.wait(60)
    shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(figures, indent=1))
    return 1 if figures["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
