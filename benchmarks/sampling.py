"""What choosing tokens costs: the compiled kernel, its twin in numpy, and what transformers does.

    .venv/bin/python benchmarks/sampling.py

Milliseconds of CPU for one token each of so many rows of random logits (normal, times 2.5: flatter
than a model's, so that nuclei are large), one thread, lower quartile of the rounds, taken in turn.
transformers is its own warpers for temperature, top-k and top-p, softmax and multinomial.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from modiste.serve.sampling import Draw, choose, pick, uniform
from modiste.serve.sequence import Sampling

WAYS = {
    "greedy": Sampling(temperature=0.0),
    "temperature 0.7": Sampling(temperature=0.7),
    "top_p 0.9": Sampling(temperature=1.0, top_p=0.9),
    "top_k 50": Sampling(temperature=1.0, top_k=50),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("compiled", "numpy", "transformers")
    print(f"{'vocabulary':>10} {'rows':>4} {'way':<16}" + "".join(f"{c:>14}" for c in columns))
    for vocabulary in (4_096, 32_768, 131_072):
        for rows in (1, 16, 64):
            logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0)) * 2.5
            for name, how in WAYS.items():
                took = measured(ways(how, rows), logits, asked.rounds)
                figures = "".join(f"{ms:>11.2f} ms" for ms in took)
                print(f"{vocabulary:>10,} {rows:>4} {name:<16}{figures}", flush=True)
    return 0


def ways(how: Sampling, rows: int) -> tuple[Callable[[Tensor], Any], ...]:
    draws = [Draw(how, seed, 5, {}) for seed in range(rows)]
    warpers: list[Any] = [TemperatureLogitsWarper(how.temperature)] if how.temperature else []
    warpers += [] if how.top_k is None else [TopKLogitsWarper(how.top_k)]
    warpers += [TopPLogitsWarper(how.top_p)] if how.top_p < 1 else []

    def peer(logits: Tensor) -> Any:
        if not how.temperature:
            return logits.argmax(-1)
        for warper in warpers:
            logits = warper(None, logits)
        return torch.multinomial(torch.softmax(logits, -1), 1)

    def twin(logits: Tensor) -> Any:
        return [pick(row, how, uniform(n, 5)) for n, row in enumerate(logits.numpy())]

    return (lambda logits: choose(logits, draws)), twin, peer


def measured(
    found: tuple[Callable[[Tensor], Any], ...], logits: Tensor, rounds: int
) -> list[float]:
    took: list[list[float]] = [[] for _ in found]
    for _ in range(rounds):
        for way, times in zip(found, took, strict=True):
            own = logits.clone()
            start = time.process_time()
            way(own)
            times.append(time.process_time() - start)
    return [sorted(times)[len(times) // 4] * 1e3 for times in took]


if __name__ == "__main__":
    sys.exit(main())
