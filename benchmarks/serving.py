"""Tokens per second of the engine, beside transformers + PEFT generating one request at a time.

    .venv/bin/python benchmarks/serving.py [--rounds 3] [--base DIR]

Each request has 64 random prompt tokens and takes 64 greedy tokens through a random rank-16
adapter on every linear layer; prompts count in the time, not in the tokens. Engine and reference
run in turn within each round, on one thread, so that a busy machine slows both. The engine is a
real process behind its socket. CPU seconds (of all its threads) are the steadier measure; wall
time includes whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

import modiste.bases.tiny
from modiste.nn.adapter_io import save_peft
from modiste.nn.shape import read_shape
from modiste.serve.adapters import modules_of
from modiste.serve.sequence import Finished, Generate, Sampling
from modiste.serve.stream import EngineStream

N_PROMPT, N_NEW, RANK = 64, 64, 16
CASES = [(1, 0), (1, 1), (16, 0), (16, 1), (16, 8), (64, 8)]
"""(streams, adapters); 0 adapters is the bare base."""
REFERENCE_REQUESTS = 4

Case = str | tuple[int, int]


class Speed(NamedTuple):
    per_cpu_s: float
    per_wall_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", type=Path, default=Path(modiste.bases.tiny.__file__).parent)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="modiste-") as folder:
        adapters = [_random_adapter(arguments.base, Path(folder), n) for n in range(8)]
        reference = _reference(arguments.base, adapters)
        with _Engine(Path(folder) / "home") as engine:
            ask: dict[Case, Callable[[], Speed]] = {
                case: engine.case(arguments.base, adapters, *case) for case in CASES
            }
            for warm_up in (*ask.values(), reference):
                warm_up()
            measures: dict[Case, Callable[[], Speed]] = {"reference": reference}
            measures.update(ask)
            rounds = [
                {case: measure() for case, measure in measures.items()}
                for _ in range(arguments.rounds)
            ]
    _print(rounds)
    return 0


def _print(rounds: list[dict[Case, Speed]]) -> None:
    def median(case: Case, field: int) -> float:
        return statistics.median(one[case][field] for one in rounds)

    base = median("reference", 0)
    print(f"{'':34}{'tok/CPU-s':>10}{'tok/s':>10}{'x reference':>13}")
    print(
        f"{'transformers + PEFT, one by one':34}{base:10.0f}{median('reference', 1):10.0f}{1:13.1f}"
    )
    for streams, adapters in CASES:
        name = f"engine, {streams} streams, {adapters or 'no'} adapters"
        cpu, wall = median((streams, adapters), 0), median((streams, adapters), 1)
        print(f"{name:34}{cpu:10.0f}{wall:10.0f}{cpu / base:13.1f}")


class _Engine:
    """An engine process in a home of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> _Engine:
        settings = {"HOME": self._home, "ENGINE_THREADS": 1, "ENGINE_MAX_SEQUENCES": 64}
        variables = {f"MODISTE_{name}": str(value) for name, value in settings.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "modiste.serve.process"],
            env=os.environ | variables,
            stderr=subprocess.DEVNULL,
        )
        while not (self._home / "run" / "engine.json").exists():
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def case(
        self, base: Path, adapters: list[Path], streams: int, n_adapters: int
    ) -> Callable[[], Speed]:
        used: list[Path | None] = [*adapters[:n_adapters]] or [None]

        def request(n: int) -> Generate:
            adapter = used[n % len(used)]
            sampling = Sampling(temperature=0.0, max_tokens=N_NEW)
            folder = None if adapter is None else str(adapter)
            return Generate(str(n), str(base), _prompt(n), adapter=folder, sampling=sampling)

        return lambda: self._measure([request(n) for n in range(streams)])

    def _measure(self, requests: list[Generate]) -> Speed:
        process = psutil.Process(self._process.pid)
        cpu, wall = sum(process.cpu_times()[:2]), time.perf_counter()
        asyncio.run(self._ask(requests))
        wall = time.perf_counter() - wall
        cpu = sum(process.cpu_times()[:2]) - cpu
        n_tokens = N_NEW * len(requests)
        # The system counts CPU time in hundredths of a second.
        return Speed(n_tokens / max(cpu, 0.01), n_tokens / wall)

    async def _ask(self, requests: list[Generate]) -> None:
        stream = EngineStream(self._home / "run")

        async def one(request: Generate) -> None:
            async with aclosing(stream.generate(request)) as events:
                last = [event async for event in events][-1]
            if not isinstance(last, Finished):
                raise SystemExit(f"the engine answered {last}")

        await asyncio.gather(*(one(request) for request in requests))
        await stream.close()


def _reference(base: Path, adapters: list[Path]) -> Callable[[], Speed]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(plain, adapters[0], adapter_name="0")
    for n, adapter in enumerate(adapters[1:], 1):
        model.load_adapter(adapter, adapter_name=str(n))
    model.eval().generation_config.eos_token_id = None

    @torch.inference_mode()
    def measure() -> Speed:
        cpu, wall = time.process_time(), time.perf_counter()
        for n in range(REFERENCE_REQUESTS):
            model.set_adapter(str(n))
            ids = torch.tensor([_prompt(n)])
            model.generate(  # type: ignore[no-untyped-call]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=N_NEW,
                do_sample=False,
                pad_token_id=0,
            )
        n_tokens = REFERENCE_REQUESTS * N_NEW
        return Speed(
            n_tokens / (time.process_time() - cpu), n_tokens / (time.perf_counter() - wall)
        )

    return measure


def _random_adapter(base: Path, folder: Path, seed: int) -> Path:
    shape, generator = read_shape(base), torch.Generator().manual_seed(seed)

    def random_matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator) * 0.02

    weights = {
        f"model.layers.{layer}.{name}": (
            random_matrix(RANK, module.inputs),
            random_matrix(module.outputs, RANK),
        )
        for layer in range(shape.n_layers)
        for name, module in modules_of(shape).items()
    }
    targets = [name.rpartition(".")[2] for name in modules_of(shape)]
    path = folder / f"adapter-{seed}"
    save_peft(path, weights, rank=RANK, scaling=2.0, targets=targets, base=str(base))
    return path


def _prompt(seed: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(300, 4000), k=N_PROMPT))  # noqa: S311  # No secret.


if __name__ == "__main__":
    raise SystemExit(main())
