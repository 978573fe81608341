"""Bases, adapters and prompts that serving is measured with, and our engine as what is measured.

Random weights throughout: they cost what trained ones cost. The engine is a real process behind its
socket; its CPU seconds are those of all its threads.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

import modiste.bases.tiny
from modiste.nn.adapter_io import save_peft
from modiste.nn.shape import read_shape
from modiste.serve.adapters import modules_of
from modiste.serve.sequence import Finished, Generate, Sampling, Tokens
from modiste.serve.stream import EngineStream

RANK = 16
B_SHAPE = {
    "vocab_size": 32768,
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 8448,
    "tie_word_embeddings": True,
    "sliding_window": None,
}
"""54 million parameters."""

WIDE_SHAPE = B_SHAPE | {
    "vocab_size": 131072,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


class Speed(NamedTuple):
    per_cpu_s: float
    per_wall_s: float


class Answer(NamedTuple):
    ids: list[int]
    arrivals_s: list[float]
    """Since the request was sent."""


def base(size: str, folder: Path) -> Path:
    """`a` is the base that ships (7 million parameters), `b` random."""
    if size == "a":
        return Path(modiste.bases.tiny.__file__).parent
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    path = folder / "b"
    if not path.exists():
        MistralForCausalLM(MistralConfig(**B_SHAPE)).bfloat16().save_pretrained(path)
    return path


def wide_base(folder: Path) -> Path:
    """Small and random, behind Mistral's tokenizer of 131,072 tokens."""
    import mistral_common
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    path = folder / "wide"
    if not path.exists():
        MistralForCausalLM(MistralConfig(**WIDE_SHAPE)).bfloat16().save_pretrained(path)
        tokens = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
        shutil.copy(tokens, path / "tekken.json")
    return path


def random_adapter(base: Path, folder: Path, seed: int) -> Path:
    """Rank 16 on all seven linear layers."""
    path = folder / f"{base.name}-adapter-{seed}"
    if path.exists():
        return path
    shape, generator = read_shape(base), torch.Generator().manual_seed(seed)

    def random_matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator) * 0.02

    weights = {
        f"model.layers.{layer}.{name}": (
            random_matrix(RANK, module.inputs),
            random_matrix(module.outputs, RANK),
        )
        for layer in range(shape.n_layers)
        for name, module in modules_of(shape, None).items()
    }
    targets = [name.rpartition(".")[2] for name in modules_of(shape, None)]
    save_peft(path, weights, rank=RANK, scaling=2.0, targets=targets, base=str(base))
    return path


def prompt(seed: int, length: int = 64) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(300, 4000), k=length))  # noqa: S311  # No secret.


def request(
    number: int, base: Path, ids: Sequence[int], *, adapter: Path | None, n_new: int
) -> Generate:
    sampling = Sampling(temperature=0.0, max_tokens=n_new)
    if adapter is None:
        return Generate(str(number), str(base), tuple(ids), sampling=sampling)
    return Generate(
        str(number),
        str(base),
        tuple(ids),
        adapter=str(adapter),
        adapter_version="1",
        sampling=sampling,
    )


class Engine:
    """An engine process in a home of its own."""

    def __init__(self, home: Path, *, linear: str, threads: int = 1, prefix_mib: int = 0) -> None:
        """Prompts that were met are kept only where `prefix_mib` says so: rounds repeat them."""
        self._home = home
        settings = {
            "HOME": home,
            "ENGINE_THREADS": threads,
            "ENGINE_MAX_SEQUENCES": 64,
            "ENGINE_PREFIX_MIB": prefix_mib,
            "SERVE_LINEAR": linear,
        }
        variables = {f"MODISTE_{name}": str(value) for name, value in settings.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "modiste.serve.process"],
            env=os.environ | variables | {"OMP_NUM_THREADS": str(threads)},
            stderr=subprocess.DEVNULL,
        )
        while not (home / "run" / "engine.json").exists():
            time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def rss_bytes(self) -> int:
        resident: int = psutil.Process(self._process.pid).memory_info().rss
        return resident

    def cpu_s(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def speed(self, requests: Sequence[Generate]) -> Speed:
        cpu, wall = self.cpu_s(), time.perf_counter()
        answers = self.ask(requests)
        wall, cpu = time.perf_counter() - wall, self.cpu_s() - cpu
        n_tokens = sum(len(answer.ids) for answer in answers)
        # The system counts CPU time in hundredths of a second.
        return Speed(n_tokens / max(cpu, 0.01), n_tokens / wall)

    def ask(self, requests: Sequence[Generate], delays_s: Sequence[float] = ()) -> list[Answer]:
        """All at once, or each after its delay."""

        async def all_of_them() -> list[Answer]:
            stream = EngineStream(self._home / "run")
            waits = delays_s or [0.0] * len(requests)
            pairs = zip(requests, waits, strict=True)
            try:
                return await asyncio.gather(*(_answer(stream, *pair) for pair in pairs))
            finally:
                await stream.close()

        return asyncio.run(all_of_them())


async def _answer(stream: EngineStream, request: Generate, delay_s: float) -> Answer:
    await asyncio.sleep(delay_s)
    began = time.perf_counter()
    ids: list[int] = []
    arrivals: list[float] = []
    async with aclosing(stream.generate(request)) as events:
        async for event in events:
            if isinstance(event, Tokens):
                ids += event.ids
                arrivals += [time.perf_counter() - began] * len(event.ids)
    if not isinstance(event, Finished):
        raise SystemExit(f"the engine answered {event}")
    return Answer(ids, arrivals)
