"""Serving measured beside transformers with PEFT, llama.cpp and vLLM, on this machine.

    .venv/bin/python benchmarks/serve.py [--only speed,llama,threads,prefix,gap,growth,cold,vllm,
                                          grammar] [--sizes a,b] [--rounds 3] [--json FILE]
                                         [--plot FILE.svg] [--vllm PYTHON]

Each request has 64 random prompt tokens and takes `--new` greedy ones through a random rank-16
adapter on every linear layer; prompts count in the time, not in the tokens. All that is compared
runs in turn within each round, so that a busy machine slows everybody: read the ratios, which are
medians of the rounds with their range. CPU seconds count all threads of a process and are the
steadier measure; one thread each, but for `threads`. The engine runs with exact weights and with
int8 ones. `vllm` needs the interpreter of an environment with a CPU build of vLLM, which
docs/performance.md says how to make, and is left out without it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from growth_plot import growth_svg
from serve_engine import Engine, Speed, base, prompt, random_adapter, request, wide_base
from serve_peers import LlamaCpp, Transformers, Vllm, llama_files

from modiste.serve.sequence import Grammar, GrammarKind

CASES = [(1, 1), (16, 8), (64, 1), (64, 8), (64, 64)]
"""(streams, adapters)"""
SECTIONS = ("speed", "llama", "threads", "prefix", "gap", "growth", "cold", "vllm", "grammar")
Rounds = list[dict[str, Speed]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--sizes", default="a,b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--vllm", type=Path, help="interpreter of an environment with vLLM")
    parser.add_argument("--plot", type=Path, help="draws `growth` as SVG")
    arguments = parser.parse_args()
    if arguments.plot and "growth" not in arguments.only.split(","):
        parser.error("--plot draws the section growth; add it to --only")
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="modiste-") as folder:
        for size in arguments.sizes.split(","):
            bench = Bench(
                size,
                Path(folder),
                rounds=arguments.rounds,
                n_new=arguments.new,
                vllm=arguments.vllm,
            )
            for section in arguments.only.split(","):
                print(f"\n{section}, size {size}", flush=True)
                figures[f"{section} {size}"] = getattr(bench, section)()
                if arguments.json:
                    arguments.json.write_text(json.dumps(figures, indent=1))
    if arguments.plot:
        arguments.plot.write_text(growth_svg(figures), encoding="utf-8")
    return 0


class Bench:
    def __init__(
        self, size: str, folder: Path, *, rounds: int, n_new: int, vllm: Path | None
    ) -> None:
        self._base, self._folder, self._vllm = base(size, folder), folder, vllm
        self._rounds, self._n_new = rounds, n_new

    def speed(self) -> Any:
        """Streams over adapters, exact and int8, beside transformers with PEFT."""
        peers = Transformers(self._base, self._adapters(8), n_new=self._n_new)
        exact, int8 = self._engine("auto"), self._engine("int8")
        measures: dict[str, Callable[[], Speed]] = {
            "PEFT one by one": lambda: peers.one_by_one(64),
            "PEFT adapter_names, 16 x 8": lambda: peers.batched(16),
            "PEFT adapter_names, 64 x 8": lambda: peers.batched(64),
        }
        for streams, adapters in CASES:
            requests = self._requests(streams, adapters)
            name = f"{streams} x {adapters}"
            measures[f"exact, {name}"] = lambda r=requests: exact.speed(r)
            measures[f"int8, {name}"] = lambda r=requests: int8.speed(r)
        try:
            rounds = self._interleaved(measures)
        finally:
            exact.close()
            int8.close()
        _table(rounds, over=["PEFT one by one", "PEFT adapter_names, 64 x 8"])
        return rounds

    def llama(self) -> Any:
        """llama.cpp with q8_0 weights and one adapter for all."""
        files = llama_files(self._base, self._adapters(1)[0], self._folder)
        if files is None:
            print("this base has no tokenizer, which llama.cpp needs")
            return None
        measures: dict[str, Callable[[], Speed]] = {}
        exact, int8 = self._engine("auto"), self._engine("int8")
        for streams, adapters in ((1, 1), (16, 8), (64, 8)):
            server = LlamaCpp(*files, streams=streams, n_new=self._n_new)
            requests = self._requests(streams, adapters)
            measures[f"llama.cpp q8_0, {streams} x 1"] = server.speed
            measures[f"exact, {streams} x {adapters}"] = lambda r=requests: exact.speed(r)
            measures[f"int8, {streams} x {adapters}"] = lambda r=requests: int8.speed(r)
        try:
            rounds = self._interleaved(measures)
        finally:
            exact.close()
            int8.close()
        _table(rounds, over=[f"llama.cpp q8_0, {streams} x 1" for streams in (1, 16, 64)])
        return rounds

    def vllm(self) -> Any:
        """vLLM's CPU build in fp32, with adapters in the batch and without any."""
        if self._vllm is None:
            print("left out: --vllm names no interpreter with vLLM")
            return None
        cases = ((1, 1), (16, 8), (64, 8))
        named = Vllm(self._vllm, self._base, self._adapters(8), self._folder, n_new=self._n_new)
        bare = Vllm(self._vllm, self._base, [], self._folder, n_new=self._n_new)
        exact, int8 = self._engine("auto"), self._engine("int8")
        measures: dict[str, Callable[[], Speed]] = {}
        for streams, adapters in cases:
            requests = self._requests(streams, adapters)
            name = f"{streams} x {adapters}"
            measures[f"vLLM, {name}"] = partial(named.speed, streams, adapters)
            plain = self._requests(streams, 0)
            measures[f"vLLM without adapters, {streams}"] = partial(bare.speed, streams, 0)
            measures[f"exact without adapters, {streams}"] = lambda r=plain: exact.speed(r)
            measures[f"int8 without adapters, {streams}"] = lambda r=plain: int8.speed(r)
            measures[f"exact, {name}"] = lambda r=requests: exact.speed(r)
            measures[f"int8, {name}"] = lambda r=requests: int8.speed(r)
        try:
            rounds = self._interleaved(measures)
        finally:
            for each in (named, bare, exact, int8):
                each.close()
        over = [f"vLLM, {streams} x {adapters}" for streams, adapters in cases]
        _table(rounds, over=[*over, *(f"vLLM without adapters, {streams}" for streams, _ in cases)])
        return rounds

    def threads(self) -> Any:
        """Wall time on one and on two threads: of an idle machine only."""
        one, two = self._engine("auto"), self._engine("auto", threads=2)
        requests = self._requests(64, 8)
        try:
            rounds = self._interleaved(
                {"one thread": lambda: one.speed(requests), "two": lambda: two.speed(requests)}
            )
        finally:
            one.close()
            two.close()
        _table(rounds, over=["one thread"], field=1)
        return rounds

    def prefix(self) -> Any:
        """32 requests with 512 shared tokens and 64 of their own, 16 new: CPU seconds against the
        same without anything shared."""
        engine = self._engine("auto", prefix_mib=256)
        adapter = self._adapters(1)[0]

        def ask(shared: bool, turn: int) -> float:
            firsts = [prompt(10_000 + turn * 100 + (0 if shared else n), 512) for n in range(32)]
            requests = [
                self._request(n, first + prompt(n), adapter, n_new=16)
                for n, first in enumerate(firsts)
            ]
            before = engine.cpu_s()
            engine.ask(requests[:1])
            engine.ask(requests[1:])
            return engine.cpu_s() - before

        try:
            ask(True, 99)
            pairs = [(ask(False, turn), ask(True, turn)) for turn in range(self._rounds)]
        finally:
            engine.close()
        ratios = [apart / shared for apart, shared in pairs]
        print(f"a shared prefix is {_told(ratios)} times cheaper")
        return ratios

    def gap(self) -> Any:
        """Longest silence of eight streams while a prompt of 700 tokens arrives, milliseconds."""
        engine = self._engine("auto")
        running = self._requests(8, 8, n_new=192)
        late = self._request(99, prompt(99, 700), self._adapters(1)[0], n_new=4)
        found = []
        try:
            engine.ask(running)
            for _ in range(self._rounds):
                quiet, disturbed = (
                    max(_longest_gap(a.arrivals_s) for a in engine.ask(*asked)[:8])
                    for asked in ((running, ()), ([*running, late], [0.0] * 8 + [0.1]))
                )
                found.append((1000 * quiet, 1000 * disturbed))
        finally:
            engine.close()
        for quiet, disturbed in found:
            print(f"{quiet:8.1f} ms alone, {disturbed:8.1f} ms while the prompt arrives")
        return found

    def grammar(self) -> Any:
        """Longest silence of four streams of a base with 131,072 tokens while the first grammar of
        an engine arrives, and how long that one waits, milliseconds; whatever the size."""
        wide = wide_base(self._folder)
        held = Grammar(GrammarKind.JSON_SCHEMA, '{"type": "object"}')
        running = [request(n, wide, prompt(n), adapter=None, n_new=400) for n in range(4)]
        late = request(99, wide, prompt(99), adapter=None, n_new=4)
        found = []
        for _ in range(self._rounds):
            engine = self._engine("auto")
            try:
                engine.ask(running)
                quiet = max(_longest_gap(a.arrivals_s) for a in engine.ask(running))
                asked = [*running, replace(late, grammar=held)]
                *others, first = engine.ask(asked, [0.0] * 4 + [0.3])
                disturbed = max(_longest_gap(a.arrivals_s) for a in others)
                found.append((1000 * quiet, 1000 * disturbed, 1000 * first.arrivals_s[0]))
            finally:
                engine.close()
        for quiet, disturbed, wait in found:
            print(
                f"{quiet:8.1f} ms alone, {disturbed:8.1f} ms beside it, which waited {wait:8.1f} ms"
            )
        return found

    def growth(self) -> Any:
        """Tokens per CPU-second with more adapters known and used, and with longer contexts."""
        engine = self._engine("auto")
        speeds: dict[str, float] = {}
        try:
            for n in (1, 10, 100, 1000):
                self._adapters(n)
                for turn in range(0, n, 64):  # Every adapter is opened once.
                    engine.ask(self._requests(64, n, first=turn, n_new=1))
                speeds[f"{n} adapters"] = engine.speed(self._requests(64, n)).per_cpu_s
                speeds[f"{n} adapters, MB"] = engine.rss_bytes() / 1e6
            context = 8192 if self._base.name == "b" else 2048
            for length in (128, 512, 2048, 8192):
                if length <= context:
                    ids = prompt(7, length - 40)
                    asked = [self._request(n, ids[n:], None, n_new=32) for n in range(4)]
                    engine.ask(asked)
                    speeds[f"context {length}"] = engine.speed(asked).per_cpu_s
        finally:
            engine.close()
        for name, value in speeds.items():
            print(f"{name:24}{value:10.0f}")
        return speeds

    def cold(self) -> Any:
        """Milliseconds to the first token through an adapter that was never and just used.

        In an engine that finds nothing beside the adapters, and in the next one, which finds the
        packed copies that the first left there.
        """
        adapters = [self._unpacked(seed) for seed in range(1000, 1020)]
        found = {name: self._cold(adapters) for name in ("never packed", "packed before")}
        for name, each in found.items():
            print(f"{name}: median {statistics.median(each):.1f} ms, slowest {max(each):.1f} ms")
        return found

    def _cold(self, adapters: Sequence[Path]) -> list[float]:
        engine = self._engine("auto")
        try:
            engine.ask(self._requests(1, 1, n_new=1))
            found = []
            for n, adapter in enumerate(adapters, 1):
                asked = [self._request(0, prompt(n), adapter, n_new=1)]
                cold, warm = (engine.ask(asked)[0].arrivals_s[0] for _ in range(2))
                found.append(1000 * (cold - warm))
        finally:
            engine.close()
        return found

    def _unpacked(self, seed: int) -> Path:
        """Nobody else in this run uses its seed, so nothing lies beside it yet."""
        return random_adapter(self._base, self._folder, seed)

    def _engine(self, linear: str, *, threads: int = 1, prefix_mib: int = 0) -> Engine:
        home = Path(tempfile.mkdtemp(dir=self._folder))
        return Engine(home, linear=linear, threads=threads, prefix_mib=prefix_mib)

    def _adapters(self, n: int) -> list[Path]:
        return [random_adapter(self._base, self._folder, seed) for seed in range(n)]

    def _requests(
        self, streams: int, n_adapters: int, *, first: int = 0, n_new: int | None = None
    ) -> list[Any]:
        """Over so many adapters, or the bare base."""
        adapters: list[Path | None] = [*self._adapters(n_adapters)] or [None]
        return [
            self._request(n, prompt(n), adapters[(first + n) % len(adapters)], n_new=n_new)
            for n in range(streams)
        ]

    def _request(
        self, number: int, ids: Sequence[int], adapter: Path | None, *, n_new: int | None
    ) -> Any:
        return request(number, self._base, ids, adapter=adapter, n_new=n_new or self._n_new)

    def _interleaved(self, measures: Mapping[str, Callable[[], Speed]]) -> Rounds:
        for warm_up in measures.values():
            warm_up()
        return [
            {name: measure() for name, measure in measures.items()} for _ in range(self._rounds)
        ]


def _longest_gap(arrivals_s: Sequence[float]) -> float:
    return max(b - a for a, b in itertools.pairwise(arrivals_s))


def _table(rounds: Rounds, *, over: Sequence[str], field: int = 0) -> None:
    print(f"{'':30}{'tok/CPU-s':>10}{'tok/s':>10}" + "".join(f"  / {name:26}" for name in over))
    for name in rounds[0]:
        cpu, wall = (statistics.median(one[name][i] for one in rounds) for i in (0, 1))
        ratios = [_told([one[name][field] / one[peer][field] for one in rounds]) for peer in over]
        print(f"{name:30}{cpu:10.0f}{wall:10.0f}" + "".join(f"  {r:28}" for r in ratios))


def _told(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
