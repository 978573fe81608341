"""What a token costs in steps of 1,000 to 100,000 tokens: the cost should not grow with the step.

    .venv/bin/python benchmarks/packs.py [--rounds 3] [--threads 1]

The shipped base, rank-16 adapters on all linear layers, fp32. A step packs short chats (log-normal
lengths around 120 tokens, at most 1,000) until it is full; gradients of the whole step, no update.
CPU time of all threads per token, the fastest of the rounds, which take turns over the sizes.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import numpy as np
import psutil
import torch

import modiste.bases.tiny
from modiste.tune.machine import Machine
from modiste.tune.mixture import Sample, Samples
from modiste.tune.objective import NextToken
from modiste.tune.spec import parse
from modiste.tune.tuned import load

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    machine = Machine("cpu", "float32", arguments.threads)
    machine.use()
    spec = parse({"model": "m", "data.train": ["x"], "lora.rank": 16}).spec
    tuned = load(spec, Path(modiste.bases.tiny.__file__).parent, machine)
    objective = NextToken(tuned.scorer, machine)
    steps = {size: _step(size) for size in SIZES}
    best = dict.fromkeys(SIZES, float("inf"))
    resident = dict.fromkeys(SIZES, 0)
    for _ in range(arguments.rounds):
        for size, samples in steps.items():
            tuned.learned.zero_grad()
            began = time.process_time()
            for number, batch in enumerate(objective.batches(samples)):
                with tuned.learned.training(1, 0, number):
                    objective.loss(batch).loss.backward()  # type: ignore[no-untyped-call]
            n_tokens = sum(len(sample.ids) for sample in samples)
            best[size] = min(best[size], (time.process_time() - began) / n_tokens)
            resident[size] = psutil.Process().memory_info().rss
    print(f"{'tokens in a step':>16}{'us of CPU per token':>22}{'ratio':>8}{'MB after it':>14}")
    for size in SIZES:
        ratio = best[size] / best[SIZES[0]]
        print(f"{size:16,}{best[size] * 1e6:22.1f}{ratio:8.2f}{resident[size] / 1e6:14,.0f}")
    return 0


def _step(size: int) -> list[Sample]:
    chosen = random.Random(size)  # noqa: S311
    rows = []
    left = size
    while left >= 16:
        length = min(left, 1000, max(16, int(chosen.lognormvariate(4.8, 0.7))))
        ids = [chosen.randrange(300, 4000) for _ in range(length)]
        rows.append((ids, np.arange(length) >= 0.55 * length))
        left -= length
    samples = Samples((ids, mask.tolist()) for ids, mask in rows)
    return [samples[i] for i in range(len(samples))]


if __name__ == "__main__":
    torch.manual_seed(0)
    raise SystemExit(main())
