"""What the HTTP front adds to an engine: latency at a steady rate, and many streams at once.

    .venv/bin/python benchmarks/front.py [--only latency,streams] [--rate 100] [--seconds 10]
                                         [--streams 500] [--tokens 60] [--tokens-per-s 20]
                                         [--json FILE]

The front is the real one: a process of its own (`modiste.api.app`) with its database, keys and
tokenizer. Behind it, over the engine's socket, a double that computes nothing (`front_double.py`);
before it, this process. Requests come at random times, whatever became of earlier ones. Ends with
exit code 1 if a stream lost, doubled or mixed up anything.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from front_client import Answer, Client, Front
from front_double import TINY

from modiste.serve.sequence import Finished, Generate, Sampling
from modiste.serve.stream import EngineStream

SECTIONS = ("latency", "streams")
N_TOKENS = 16
"""Of an answer whose latency is measured."""
Ask = Callable[[], Awaitable[tuple[float, float]]]
"""Seconds to the first byte and to the end."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--tokens-per-s", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"load": os.getloadavg()[0]}
    print(f"load {figures['load']:.1f} on {os.cpu_count()} cores")
    for section in arguments.only.split(","):
        pace = arguments.tokens_per_s if section == "streams" else 0.0
        with tempfile.TemporaryDirectory(prefix="modiste-") as folder:
            front = Front(Path(folder), tokens_per_s=pace)
            try:
                if section == "latency":
                    figures[section] = latency(front, arguments.rate, arguments.seconds)
                else:
                    figures[section] = streams(front, arguments.streams, arguments.tokens)
            finally:
                front.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    return 1 if figures.get("streams", {}).get("n_wrong") else 0


def latency(front: Front, rate: float, seconds: float) -> dict[str, Any]:
    """Milliseconds from sending a chat to its first byte and to its end, and those of the double
    asked without a front."""

    async def measured() -> dict[str, Any]:
        client, engine = Client(front), EngineStream(front.run)
        asks: dict[str, Ask] = {
            "the double alone": lambda: _directly(engine),
            "chat, whole": lambda: _chat(client, stream=False),
            "chat, streamed": lambda: _chat(client, stream=True),
        }
        found: dict[str, Any] = {}
        for name, ask in asks.items():
            await _open_loop(ask, rate, 1.0)  # Opens connections, fills caches.
            cpu = front.cpu_s()
            times = await _open_loop(ask, rate, seconds)
            cpu_ms = 1000 * (front.cpu_s() - cpu) / len(times)
            found[name] = _latencies(times) | {"n": len(times), "front_cpu_ms": cpu_ms}
        client.close()
        await engine.close()
        return found

    found = asyncio.run(measured())
    print(f"\n{rate:.0f} requests/s for {seconds:.0f} s each, {N_TOKENS} tokens, milliseconds")
    print(f"{'':20}{'first byte p50':>15}{'p99':>8}{'end p50':>10}{'p99':>8}{'front CPU':>11}")
    for name, one in found.items():
        print(
            f"{name:20}{one['first_p50_ms']:15.2f}{one['first_p99_ms']:8.2f}"
            f"{one['end_p50_ms']:10.2f}{one['end_p99_ms']:8.2f}{one['front_cpu_ms']:11.2f}"
        )
    return found


def streams(front: Front, n: int, n_tokens: int) -> dict[str, Any]:
    """All opened at once; every event is looked at when the last has ended."""

    async def measured() -> tuple[list[Answer], Counter[str], list[int]]:
        client = Client(front)
        await client.ask(client.chat(0, 1, stream=True))  # Loads the tokenizer.
        client.close()
        await asyncio.sleep(0.5)
        before, most = front.open_files(), [0]
        watching = asyncio.create_task(_watch_files(front, most))
        asked = [client.ask(client.chat(seed, n_tokens, stream=True)) for seed in range(n)]
        answers = await asyncio.gather(*asked)
        watching.cancel()
        client.close()
        return answers, before, most

    cpu, began = front.cpu_s(), time.perf_counter()
    answers, before, most = asyncio.run(measured())
    wall, cpu = time.perf_counter() - began, front.cpu_s() - cpu
    time.sleep(1.0)
    after = front.open_files()
    faults = [answer.fault_of_stream(seed, n_tokens) for seed, answer in enumerate(answers)]
    wrong = [f"stream {seed}: {fault}" for seed, fault in enumerate(faults) if fault]
    silences = sorted(1000 * _longest_silence(answer.arrived_at) for answer in answers)
    figures = {
        "streams": n,
        "events": sum(answer.body.count(b"data: ") for answer in answers),
        "n_wrong": len(wrong),
        "wrong": wrong[:10],
        "wall_s": round(wall, 2),
        "front_cpu_s": round(cpu, 2),
        "front_peak_rss_mib": round(front.peak_rss_bytes() / 2**20),
        "last_stream_opened_s": round(max(answer.first_s for answer in answers), 2),
        "longest_silence_ms_p50": round(_quantile(silences, 0.5)),
        "longest_silence_ms_max": round(silences[-1]),
        "files_before": sum(before.values()),
        "files_at_most": most[0],
        "files_after": sum(after.values()),
        "files_gained": dict(after - before),
    }
    print(f"\n{n} streams of {n_tokens} tokens")
    for name, value in figures.items():
        print(f"{name:26}{value}")
    return figures


async def _watch_files(front: Front, most: list[int]) -> None:
    while True:
        most[0] = max(most[0], front.process.num_fds())
        await asyncio.sleep(0.2)


async def _open_loop(ask: Ask, rate: float, seconds: float) -> list[tuple[float, float]]:
    rng = random.Random(1)  # noqa: S311  # The same times in every run.
    clock = asyncio.get_running_loop().time
    asked: list[asyncio.Future[tuple[float, float]]] = []
    due, end = clock(), clock() + seconds
    while (due := due + rng.expovariate(rate)) < end:
        await asyncio.sleep(due - clock())
        asked.append(asyncio.ensure_future(ask()))
    return await asyncio.gather(*asked)


async def _chat(client: Client, *, stream: bool) -> tuple[float, float]:
    answer = await client.ask(client.chat(0, N_TOKENS, stream=stream))
    if not answer.body:
        raise SystemExit("an answer was empty")
    return answer.first_s, answer.whole_s


async def _directly(engine: EngineStream) -> tuple[float, float]:
    sampling = Sampling(seed=0, max_tokens=N_TOKENS)
    request = Generate("direct", str(TINY), tuple(range(3, 23)), sampling=sampling)
    began, told, arrivals = time.perf_counter(), [], []
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            arrivals.append(time.perf_counter() - began)
            told.append(event)
    if not isinstance(told[-1], Finished):
        raise SystemExit(f"the double answered {told[-1]}")
    return arrivals[0], arrivals[-1]


def _latencies(times: Sequence[tuple[float, float]]) -> dict[str, float]:
    found = {}
    for at, name in enumerate(("first", "end")):
        ordered = sorted(1000 * one[at] for one in times)
        for share in (50, 99):
            found[f"{name}_p{share}_ms"] = _quantile(ordered, share / 100)
    return found


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _longest_silence(arrived_at: Sequence[float]) -> float:
    return max((b - a for a, b in itertools.pairwise(arrived_at)), default=0.0)


if __name__ == "__main__":
    raise SystemExit(main())
