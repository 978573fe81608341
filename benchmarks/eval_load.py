"""Does an evaluation keep the engine as busy as a load generator does?

    python benchmarks/eval_load.py [--items 500] [--new 64] [--rounds 3]

`modiste up` on 127.0.0.1 in a home of its own, the base that ships. The same chats are asked twice
in each round: by a bare client with 64 requests at a time over HTTP, and as a suite of one scorer.
Busy is CPU seconds of the engine's process over the wall time in which answers came. The wish is
0.9 of the load generator's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

AT_ONCE = 64


class Load(NamedTuple):
    busy: float
    """CPU seconds of the engine per second of wall."""
    tokens_per_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="eval-load-"))
    environment = {**os.environ, "MODISTE_HOME": str(home), "MODISTE_PORT": "0"}
    up = subprocess.Popen([sys.executable, "-m", "modiste", "up"], env=environment)
    try:
        with httpx.Client(timeout=600) as http:
            server = Server.reached(home, http, psutil.Process(up.pid))
            rounds = [(server.raw(asked), server.evaluated(asked)) for _ in range(asked.rounds + 1)]
    finally:
        up.terminate()
        up.wait(60)
        shutil.rmtree(home, ignore_errors=True)
    print_table(rounds[1:])  # The first one loads the base.
    return 0


class Server:
    def __init__(self, home: Path, http: httpx.Client, url: str, up: psutil.Process) -> None:
        self._home, self._http, self._url = home, http, url
        self._http.headers["Authorization"] = f"Bearer {(home / 'admin.key').read_text().strip()}"
        self._engine = next(
            process
            for process in up.children(recursive=True)
            if "modiste.serve.process" in process.cmdline()
        )

    @classmethod
    def reached(cls, home: Path, http: httpx.Client, up: psutil.Process) -> Server:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                url = json.loads((home / "run" / "server.json").read_text())["url"]
                if http.get(f"{url}/healthz").json()["status"] == "ok":
                    return cls(home, http, url, up)
            except (OSError, ValueError, KeyError, httpx.HTTPError, StopIteration):
                pass
            time.sleep(0.2)
        raise SystemExit("the server did not start within two minutes")

    def raw(self, asked: argparse.Namespace) -> Load:
        async def ask_all() -> int:
            places = asyncio.Semaphore(AT_ONCE)
            headers = dict(self._http.headers)
            async with httpx.AsyncClient(timeout=600, headers=headers) as http:

                async def ask(number: int) -> int:
                    async with places:
                        body = {
                            "model": "modiste-tiny",
                            "messages": [{"role": "user", "content": question(number)}],
                            "max_tokens": asked.new,
                            "temperature": 0.0,
                        }
                        answer = await http.post(f"{self._url}/v1/chat/completions", json=body)
                        return int(answer.json()["usage"]["completion_tokens"])

                return sum(await asyncio.gather(*map(ask, range(asked.items))))

        cpu, wall = self._cpu(), time.perf_counter()
        n_tokens = asyncio.run(ask_all())
        took = time.perf_counter() - wall
        return Load((self._cpu() - cpu) / took, n_tokens / took)

    def evaluated(self, asked: argparse.Namespace) -> Load:
        rows = "".join(json.dumps({"q": question(n)}) + "\n" for n in range(asked.items))
        sent = self._http.post(
            f"{self._url}/v1/files",
            files={"file": (f"items-{time.time_ns()}.jsonl", rows)},
            data={"purpose": "evals"},
        ).json()
        suite = {
            "name": "load",
            "dataset": {"file_id": sent["id"], "reference": "x"},
            "prompt": "{{q}}",
            "models": {"base": {"model": "modiste-tiny"}},
            "sampling": {"max_tokens": asked.new},
            "scorers": ["exact"],
        }
        made = self._http.post(f"{self._url}/v1/evals/runs", json={"suite": suite}).json()
        run_id = made["data"][0]["id"]
        run = self._first_answer(run_id)
        cpu, wall, before = self._cpu(), time.perf_counter(), run["counts"]["completion_tokens"]
        while run["status"] not in ("SUCCESS", "FAILED", "CANCELLED"):
            if run["counts"]["done"] < asked.items:
                last, at, n_tokens = self._cpu(), time.perf_counter(), run["counts"]
            time.sleep(0.02)
            run = self._run(run_id)
        if run["status"] != "SUCCESS":
            raise SystemExit(f"the evaluation ended with {run['status']}: {run['error']}")
        took = at - wall
        return Load((last - cpu) / took, (n_tokens["completion_tokens"] - before) / took)

    def _first_answer(self, run_id: str) -> dict[str, Any]:
        run = self._run(run_id)
        while not run["counts"]["done"] and run["status"] in ("QUEUED", "RUNNING"):
            time.sleep(0.02)
            run = self._run(run_id)
        return run

    def _run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self._http.get(f"{self._url}/v1/evals/runs/{run_id}").json()
        return run

    def _cpu(self) -> float:
        times = self._engine.cpu_times()
        return times.user + times.system


def question(number: int) -> str:
    return f"Tell me the story of the number {number} and of the {number % 17} friends it has."


def print_table(rounds: list[tuple[Load, Load]]) -> None:
    print(f"{'':24}{'engine busy':>12}{'tokens/s':>12}")
    for name, at in (("load generator", 0), ("evaluation", 1)):
        busy = statistics.median(pair[at].busy for pair in rounds)
        speed = statistics.median(pair[at].tokens_per_s for pair in rounds)
        print(f"{name:24}{busy:12.2f}{speed:12.0f}")
    for name, field in (("busy, ratio", 0), ("tokens/s, ratio", 1)):
        ratios = sorted(pair[1][field] / pair[0][field] for pair in rounds)
        middle = statistics.median(ratios)
        print(f"{name:24}{middle:12.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    raise SystemExit(main())
