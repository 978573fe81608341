"""How fast a tuning is, beside the trainers people would otherwise use: one command, one table.

    .venv/bin/python benchmarks/tune.py                        the whole table, about 20 minutes
    .venv/bin/python benchmarks/tune.py --sizes a --rounds 2 --seconds 3        a smoke run

Random-init Mistral shapes of about 5, 60 and 500 million parameters; short chats (median 120
tokens, tail to 1,000, not quite half of the tokens trained); rank-16 adapters on all linear layers;
bf16 everywhere but where a variant's name says otherwise. Each peer runs beside ours: both
processes are alive, take turns of a few seconds within the same minutes, and a ratio is that of two
turns next to each other; given are the median and the span of those ratios. A start is timed from
the command to the end of the first step, reading and tokenising included, with nothing else
running. Peak memory is the process's resident maximum. `base loss` is the loss of the untouched
base on the same sixteen rows, by each trainer's model and precision: equal data, mask and model.

Peers: TRL's SFTTrainer packed and without padding (bf16 weights, no recomputation), the same as its
documentation starts users, and transformers' Trainer with batches grouped by length, each with
PEFT. Waiting threads sleep (OMP_WAIT_POLICY) in every process, so that CPU seconds mean work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import made_chats

import modiste.bases.tiny


class Shape(NamedTuple):
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int


SHAPES = {
    "a": Shape(256, 704, 8, 4, 2, 4_096),
    "b": Shape(512, 1_408, 12, 8, 2, 32_768),
    "c": Shape(1_280, 3_456, 24, 20, 5, 32_768),
}
PEERS = ("trl-packed", "hf-grouped", "trl-default")
ROWS, LETTERS_PER_TOKEN = 1_500, 3.4
GROUPED = {"a": 16, "b": 16, "c": 4}
"""Samples per batch of hf-grouped: sixteen of the longest need more than 24 GB at 500 M."""


class Ended(Exception):
    """A trainer is gone."""


@dataclass
class Figures:
    """Of one process."""

    variant: str
    first_s: float = 0.0
    turns: list[dict[str, float]] = field(default_factory=list)
    end: dict[str, float] = field(default_factory=dict)

    def rate(self, what: str, per: str) -> float:
        return statistics.median(turn[what] / turn[per] for turn in self.turns)


def main() -> int:
    arguments = _arguments()
    started = time.monotonic()
    found = []
    for size in arguments.sizes.split(","):
        with tempfile.TemporaryDirectory(prefix="modiste-bench-") as name:
            folder = Path(name)
            _make(SHAPES[size], folder)
            (folder / "grouped").write_text(str(GROUPED[size]))
            for peer in arguments.peers.split(","):
                if size == "c" and peer == "trl-default" and not arguments.all:
                    continue  # minutes a step; --all has it
                try:
                    pair = beside(peer, folder, arguments)
                except Ended as ended:  # one peer out of memory must not cost the table
                    print(f"{size} {peer}: left out, {ended}", flush=True)
                    continue
                found.append((size, peer, pair))
                print(_row(size, *pair), flush=True)
    print(f"\n{_heading(arguments)}\n")
    print(_table(found))
    print(f"\n{time.monotonic() - started:.0f} s")
    if arguments.json:
        everything = [[size, *(vars(f) for f in pair)] for size, _, pair in found]
        Path(arguments.json).write_text(json.dumps(everything))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="a,b,c")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--ours", default="ours", choices=("ours", "ours-fp32"))
    parser.add_argument("--rounds", type=int, default=4, help="turns of each process")
    parser.add_argument("--seconds", type=float, default=12.0, help="least of a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="TRL's defaults at 500 M, too")
    parser.add_argument("--json", help="write every figure into this file")
    return parser.parse_args()


def beside(peer: str, folder: Path, arguments: argparse.Namespace) -> tuple[Figures, Figures]:
    """Ours and a peer: started one after the other, then in turns."""
    with (
        _started(arguments.ours, folder, arguments) as mine,
        _started(peer, folder, arguments) as theirs,
    ):
        for _ in range(arguments.rounds):
            for process, figures in (mine, theirs):
                figures.turns.append(_ask(process, f"{arguments.seconds}"))
        for process, figures in (mine, theirs):
            figures.end = _ask(process, "end")
        return mine[1], theirs[1]


@contextmanager
def _started(
    variant: str, folder: Path, arguments: argparse.Namespace
) -> Iterator[tuple[subprocess.Popen[str], Figures]]:
    child = Path(__file__).with_name("tune_child.py")
    environment = os.environ | {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(arguments.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / f"cache-{time.monotonic_ns()}"),
        "MODISTE_HOME": str(folder / "home"),
    }
    log = folder / f"{variant}.log"
    command = [sys.executable, str(child), variant, str(folder), str(arguments.threads)]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, str(time.time())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
    try:
        try:
            first = _read(process)
        except Ended:
            said = log.read_text().strip().splitlines()[-1:] or ["no word"]
            code = process.wait()  # -9: killed, most likely for memory
            raise Ended(f"{variant} ended with {code} before its first step: {said[0]}") from None
        yield process, Figures(variant, first_s=first["first_s"])
    finally:
        process.kill()
        process.wait()


def _ask(process: subprocess.Popen[str], line: str) -> dict[str, float]:
    stream = cast(IO[str], process.stdin)
    stream.write(line + "\n")
    stream.flush()
    return _read(process)


def _read(process: subprocess.Popen[str]) -> dict[str, float]:
    line = cast(IO[str], process.stdout).readline()
    if not line:
        raise Ended("a process ended in its turn")
    values: dict[str, float] = json.loads(line)
    return values


def _make(shape: Shape, folder: Path) -> None:
    """A base with random weights, and the rows in both spellings."""
    script = (
        "import torch, sys, json; from transformers import MistralConfig, MistralForCausalLM;"
        "torch.manual_seed(0); c = json.loads(sys.argv[1]);"
        "MistralForCausalLM(MistralConfig(**c)).bfloat16().save_pretrained(sys.argv[2])"
    )
    config = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 131_072,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 12,
    }
    base = folder / "base"
    command = [sys.executable, "-c", script, json.dumps(config), str(base)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(Path(modiste.bases.tiny.__file__).with_name(name), base)
    rows = [_chat(random.Random(i)) for i in range(ROWS)]  # noqa: S311
    _write(folder / "messages.jsonl", [{"messages": row} for row in rows])
    _write(folder / "checked.jsonl", [{"messages": row} for row in rows[:16]])
    _write(folder / "prompts.jsonl", [{"prompt": row[:1], "completion": row[1:]} for row in rows])


def _chat(chosen: random.Random) -> list[dict[str, str]]:
    n_letters = min(950, max(16, chosen.lognormvariate(4.75, 0.7))) * LETTERS_PER_TOKEN
    texts = made_chats.sentences()
    parts = []
    for role, share in (("user", 0.55), ("assistant", 0.45)):
        text = ""
        while len(text) < n_letters * share:
            text += " " + texts[chosen.randrange(len(texts))]
        parts.append(
            {"role": role, "content": text.strip()[: max(4, int(n_letters * share))].strip()}
        )
    return parts


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _ratios(mine: Figures, theirs: Figures, per: str) -> list[float]:
    return [
        (m["trained"] / m[per]) / (t["trained"] / t[per])
        for m, t in zip(mine.turns, theirs.turns, strict=True)
    ]


def _row(size: str, mine: Figures, theirs: Figures) -> str:
    wall, cpu = (_ratios(mine, theirs, per) for per in ("wall_s", "cpu_s"))
    return (
        f"{size} {theirs.variant:12} ours {mine.rate('trained', 'wall_s'):,.0f} trained tok/s, "
        f"theirs {theirs.rate('trained', 'wall_s'):,.0f}: {_span(wall)} (CPU {_span(cpu)})"
    )


def _span(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f}x [{min(ratios):.2f}-{max(ratios):.2f}]"


def _heading(arguments: argparse.Namespace) -> str:
    import torch
    import transformers
    import trl

    name = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    return (
        f"{name}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}; torch "
        f"{torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}; "
        f"{arguments.rounds} turns of {arguments.seconds:g} s"
    )


COLUMNS = (
    "size", "trainer", "trained tok/s", "real tok/s", "per CPU-s", "peak MB", "first step s",
    "loss", "base loss", "ours is faster", "per CPU-s", "memory", "start",
)  # fmt: skip


def _table(found: Sequence[tuple[str, str, tuple[Figures, Figures]]]) -> str:
    lines = [_cells(COLUMNS), _cells(["---"] * len(COLUMNS))]
    for size, _, (mine, theirs) in found:
        lines.append(_cells([*_own(size, mine), "", "", "", ""]))
        lines.append(
            _cells(
                [
                    *_own(size, theirs),
                    _span(_ratios(mine, theirs, "wall_s")),
                    _span(_ratios(mine, theirs, "cpu_s")),
                    f"{mine.end['peak_mb'] / theirs.end['peak_mb']:.2f}x",
                    f"{mine.first_s / theirs.first_s:.2f}x",
                ]
            )
        )
    return "\n".join(lines)


def _own(size: str, figures: Figures) -> list[str]:
    return [
        size,
        figures.variant,
        f"{figures.rate('trained', 'wall_s'):,.0f}",
        f"{figures.rate('tokens', 'wall_s'):,.0f}",
        f"{figures.rate('tokens', 'cpu_s'):,.0f}",
        f"{figures.end['peak_mb']:,.0f}",
        f"{figures.first_s:.1f}",
        f"{figures.end['loss']:.3f}",
        f"{figures.end['base_loss']:.4f} (n {figures.end['n_checked']:.0f})",
    ]


def _cells(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


if __name__ == "__main__":
    raise SystemExit(main())
