"""Training tokens per second of the recipe, beside transformers + PEFT on the same samples.

    .venv/bin/python benchmarks/tuning.py [--rounds 3] [--base DIR] [--threads 1]

Chat-like samples: log-normal lengths around 120 tokens with a tail to 1,000, 45 % of the tokens
trained, rank-16 adapters on all linear layers, steps of about 2,000 tokens. The reference pads each
batch to its longest sample, as users start, or groups samples by length first. Tokens are real
ones, padding never counts. Variants take turns within a round, so that a busy machine slows all;
CPU seconds (of all threads) are the steadier measure.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor

import modiste.bases.tiny
from modiste.tune.loss import Document
from modiste.tune.machine import Machine
from modiste.tune.spec import parse
from modiste.tune.tuned import load

N_SAMPLES, RANK, STEP_TOKENS = 96, 16, 2_048

Step = Callable[[Sequence[Document]], None]


class Speed(NamedTuple):
    per_cpu_s: float
    per_wall_s: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--base", type=Path, default=Path(modiste.bases.tiny.__file__).parent)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    samples = chats(N_SAMPLES)
    by_length = sorted(samples, key=lambda sample: len(sample.ids))
    variants = {
        "transformers + PEFT, padded": (reference(arguments.base), samples),
        "transformers + PEFT, grouped by length": (reference(arguments.base), by_length),
        "modiste, bf16": (ours(arguments.base, "bfloat16", arguments.threads), samples),
        "modiste, fp32": (ours(arguments.base, "float32", arguments.threads), samples),
    }
    for step, data in variants.values():
        step(data[:4])  # first calls pack weights and allocate
    speeds: dict[str, list[Speed]] = {name: [] for name in variants}
    for _ in range(arguments.rounds):
        for name, (step, data) in variants.items():
            speeds[name].append(measure(step, data))
    print(f"{'tokens per second, medians':42}{'CPU':>8}{'wall':>8}{'ratio':>8}")
    first = statistics.median(s.per_cpu_s for s in next(iter(speeds.values())))
    for name, measured in speeds.items():
        cpu, wall = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{name:42}{cpu:8.0f}{wall:8.0f}{cpu / first:8.2f}")
    return 0


def chats(n: int, *, seed: int = 0) -> list[Document]:
    chosen = random.Random(seed)  # noqa: S311
    made = []
    for _ in range(n):
        length = min(1000, max(16, int(chosen.lognormvariate(4.8, 0.7))))
        ids = [chosen.randrange(300, 4000) for _ in range(length)]
        made.append(Document(ids, [i >= 0.55 * length for i in range(length)]))
    return made


def measure(step: Step, samples: Sequence[Document]) -> Speed:
    n_tokens = sum(len(sample.ids) for sample in samples)
    cpu, wall = time.process_time(), time.monotonic()
    group: list[Document] = []
    for sample in samples:
        group.append(sample)
        if sum(len(s.ids) for s in group) >= STEP_TOKENS:
            step(group)
            group = []
    if group:
        step(group)
    return Speed(n_tokens / (time.process_time() - cpu), n_tokens / (time.monotonic() - wall))


def ours(base: Path, dtype: str, threads: int) -> Step:
    spec = parse({"model": "m", "data": {"train": ["x"]}, "lora": {"rank": RANK}}).spec
    tuned = load(spec, base, Machine("cpu", dtype, threads))
    optimizer = torch.optim.AdamW([tuned.learned.flat], lr=1e-4, fused=True)

    def step(samples: Sequence[Document]) -> None:
        tuned.learned.zero_grad()
        for batch in tuned.batches(samples):
            tuned.scorer.loss(batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def reference(base: Path) -> Step:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    peft = get_peft_model(model, config)
    optimizer = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=1e-4)

    def step(samples: Sequence[Document]) -> None:
        ids, labels, mask = padded(samples)
        optimizer.zero_grad()
        peft(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()

    return step


def padded(samples: Sequence[Document]) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(len(sample.ids) for sample in samples)
    shape = (len(samples), longest)
    ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    mask = torch.zeros(shape, dtype=torch.long)
    for row, sample in enumerate(samples):
        n = len(sample.ids)
        values, trained = torch.tensor(sample.ids), torch.tensor(sample.mask)
        ids[row, :n], mask[row, :n] = values, 1
        labels[row, :n] = torch.where(trained, values, -100)
    return ids, labels, mask


if __name__ == "__main__":
    raise SystemExit(main())
