"""What moderation of the input costs: streams with a policy and without, in turn.

    .venv/bin/python benchmarks/moderation.py [--streams 16] [--new 64] [--rounds 12]

`modiste up` on 127.0.0.1 in a home of its own, the base that ships. Three keys ask the same chats,
streamed and greedy: one without a policy, one under rules for personal data, secrets, attacks and
hidden text, one under these and the classifier that ships. In each round all three take their turn,
in an order that moves on, so that a busy machine slows everybody: read the ratios, medians of the
rounds with their range. CPU seconds are of front and engine together, the steadier measure. The
wish is a throughput within 5 % of that without. First tokens are told beside, as that is where a
verdict is waited for.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

RULES = (
    {"name": "personal", "kind": "personal", "category": "pii"},
    {"name": "secrets", "kind": "secrets", "category": "pii"},
    {"name": "attacks", "kind": "injection", "category": "jailbreaking"},
    {"name": "hidden", "kind": "smuggling", "category": "jailbreaking"},
)
LABELS = (
    "hate_and_discrimination", "violence_and_threats", "dangerous", "criminal", "selfharm", "sexual"
)  # fmt: skip
CLASSIFIER = {
    "name": "classifier", "kind": "classifier", "model": "modiste-moderation",
    "categories": {label: label for label in LABELS}, "ignore": ["offensive", "pii"],
}  # fmt: skip
WITHOUT = "without"


class Turn(NamedTuple):
    tokens_per_s: float
    tokens_per_cpu_s: float
    first_ms: float
    """Median time to the first token."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--asked", type=int, default=4, help="chats a stream, one by one")
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="moderation-"))
    environment = {
        **os.environ, "MODISTE_HOME": str(home), "MODISTE_PORT": "0", "MODISTE_WORKERS": "0"
    }  # fmt: skip
    up = subprocess.Popen([sys.executable, "-m", "modiste", "up"], env=environment)
    try:
        server = Server(home, psutil.Process(up.pid))
        rounds = []
        for number in range(asked.rounds + 1):
            names = list(server.keys)
            order = names[number % 3 :] + names[: number % 3]
            rounds.append({name: server.turn(name, asked) for name in order})
    finally:
        up.terminate()
        up.wait(60)
        shutil.rmtree(home, ignore_errors=True)
    print_table(rounds[1:])  # The first one loads base and classifier.
    return 0


class Server:
    def __init__(self, home: Path, up: psutil.Process) -> None:
        self._url = _url(home)
        admin = (home / "admin.key").read_text().strip()
        with httpx.Client(headers={"Authorization": f"Bearer {admin}"}, timeout=60) as http:
            self.keys = {
                WITHOUT: self._key(http, None),
                "rules": self._key(http, policy("rules", RULES, ())),
                "rules, classifier": self._key(http, policy("all", (*RULES, CLASSIFIER), LABELS)),
            }
        wanted = ("modiste.serve.process", "modiste.api.app")
        self._processes = [
            process
            for process in up.children(recursive=True)
            if any(name in process.cmdline() for name in wanted)
        ]

    def _key(self, http: httpx.Client, held: Mapping[str, Any] | None) -> str:
        made = http.post(f"{self._url}/v1/keys", json={"name": "k", "scopes": ["infer"]}).json()
        if held is not None:
            http.post(f"{self._url}/v1/policies", json={"policy": held}).raise_for_status()
            where = f"{self._url}/v1/policies/{held['name']}/attach"
            http.post(where, json={"key": made["id"]}).raise_for_status()
        return str(made["secret"])

    def turn(self, name: str, asked: argparse.Namespace) -> Turn:
        cpu, wall = self._cpu_s(), time.perf_counter()
        firsts, n_tokens = asyncio.run(self._streams(self.keys[name], asked))
        took, used = time.perf_counter() - wall, self._cpu_s() - cpu
        return Turn(n_tokens / took, n_tokens / used, 1000 * statistics.median(firsts))

    async def _streams(self, key: str, asked: argparse.Namespace) -> tuple[list[float], int]:
        headers = {"Authorization": f"Bearer {key}"}
        limits = httpx.Limits(max_connections=asked.streams)
        async with httpx.AsyncClient(timeout=600, headers=headers, limits=limits) as http:

            async def one(stream: int) -> list[tuple[float, int]]:
                return [
                    await self._chat(http, asked, stream * asked.asked + at)
                    for at in range(asked.asked)
                ]

            told = await asyncio.gather(*map(one, range(asked.streams)))
        each = [answer for answers in told for answer in answers]
        return [first for first, _ in each], sum(n for _, n in each)

    async def _chat(
        self, http: httpx.AsyncClient, asked: argparse.Namespace, number: int
    ) -> tuple[float, int]:
        """Seconds to the first token, and how many came."""
        body = {
            "model": "modiste-tiny",
            "messages": [{"role": "user", "content": question(number)}],
            "max_tokens": asked.new,
            "temperature": 0.0,
            "stream": True,
        }
        began, first, n = time.perf_counter(), 0.0, 0
        async with http.stream("POST", f"{self._url}/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                told = json.loads(line[6:])
                if not first and told["choices"] and told["choices"][0]["delta"].get("content"):
                    first = time.perf_counter() - began
                if usage := told.get("usage"):
                    n = usage["completion_tokens"]
        if not n:
            raise SystemExit("a stream ended without its usage")
        return first or time.perf_counter() - began, n

    def _cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


def policy(
    name: str, detectors: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> dict[str, Any]:
    """Of the input alone, flagging: what is measured is the looking, not what follows."""
    codes = ("pii", "jailbreaking", *labels)
    return {
        "name": name,
        "taxonomy": "mistral-moderation/2603",
        "categories": [{"code": c, "applies_to": ["input"], "action": "flag"} for c in codes],
        "detectors": list(detectors),
    }


def question(number: int) -> str:
    return (
        f"Tell me the story of the number {number} and of the {number % 17} friends it has. They "
        "live in a small town by the river, they meet every evening at the market, and one of them "
        "has lost a hat. Say who finds it, where it was, and what they had for dinner afterwards."
    )


def print_table(rounds: Sequence[Mapping[str, Turn]]) -> None:
    print(f"{'':20}{'tokens/s':>10}{'per CPU-s':>11}{'first, ms':>11}   over without, of wall, CPU")
    for name in rounds[0]:
        middle = [statistics.median(each[name][at] for each in rounds) for at in range(3)]
        ratios = [sorted(each[name][at] / each[WITHOUT][at] for each in rounds) for at in range(2)]
        said = "   ".join(
            f"{statistics.median(found):.3f} ({found[0]:.2f} to {found[-1]:.2f})"
            for found in ratios
        )
        print(f"{name:20}{middle[0]:10.0f}{middle[1]:11.0f}{middle[2]:11.0f}   {said}")


def _url(home: Path) -> str:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            url: str = json.loads((home / "run" / "server.json").read_text())["url"]
            if httpx.get(f"{url}/healthz").json()["status"] == "ok":
                return url
        except (OSError, ValueError, KeyError, httpx.HTTPError):
            pass
        time.sleep(0.2)
    raise SystemExit("the server did not start within three minutes")


if __name__ == "__main__":
    raise SystemExit(main())
