"""Measured peaks of memory beside those that the plan says: one fresh process for each line.

    python benchmarks/memory.py                    # about 5 minutes
    python benchmarks/memory.py --only qlora,full  # lines whose name holds one of these words

Random bases of three shapes, the real recipe, random tokens. `measured` is the largest resident set
of the process (VmHWM); `said` is what `modiste.tune.memory` says before anything is loaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

SHAPES: dict[str, dict[str, Any]] = {
    "6M": {"vocab_size": 4096, "hidden_size": 256, "intermediate_size": 576},
    "52M": {"vocab_size": 32_768, "hidden_size": 512, "intermediate_size": 1408},
    "94M wide": {"vocab_size": 8192, "hidden_size": 1280, "intermediate_size": 3456},
}
LAYERS = {"6M": 8, "52M": 12, "94M wide": 4}
HEADS = {"6M": (8, 2), "52M": (8, 4), "94M wide": (10, 5)}


class Line(NamedTuple):
    name: str
    shape: str
    length: int
    """Tokens of every row."""
    changes: dict[str, Any]


LINES = [
    Line("lora, short rows", "6M", 128, {}),
    Line("lora, rows of 4,000 tokens", "6M", 4000, {}),
    Line("lora, rank 256", "6M", 128, {"lora": {"rank": 256}}),
    Line("lora, short rows", "52M", 128, {}),
    Line("lora, short rows", "94M wide", 128, {}),
    Line("lora, rows of 4,000 tokens", "94M wide", 4000, {}),
    Line("lora, bfloat16", "94M wide", 128, {"dtype": "bfloat16"}),
    Line("lora, checkpointing", "52M", 128, {"gradient_checkpointing": True}),
    Line("lora, micro-batches of 512", "52M", 128, {"microbatch_tokens": 512}),
    Line("qlora", "94M wide", 128, {"method": "qlora"}),
    Line(
        "qlora, checkpointing", "94M wide", 128, {"method": "qlora", "gradient_checkpointing": True}
    ),
    Line("full", "6M", 128, {"method": "full"}),
    Line("full", "52M", 128, {"method": "full"}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="words of the lines to measure, by commas")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(json.loads(arguments.child))
    words = [word for word in arguments.only.split(",") if word]
    print("| base | run | said MB | measured MB | off by |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="modiste-memory-") as folder:
        for line in LINES:
            if words and not any(word in f"{line.shape} {line.name}" for word in words):
                continue
            print(row(line, Path(folder)), flush=True)
    return None


def row(line: Line, folder: Path) -> str:
    base = folder / line.shape.replace(" ", "-")
    asked = {"base": str(base), "shape": line.shape, "length": line.length, "spec": spec_of(line)}
    if not base.exists():
        run(asked | {"make": True})
    answer = json.loads(run(asked))
    said, measured = answer["said"] / 1e6, answer["measured"] / 1e6
    off = measured / said - 1
    return f"| {line.shape} | {line.name} | {said:,.0f} | {measured:,.0f} | {off:+.0%} |"


def spec_of(line: Line) -> dict[str, Any]:
    wish = {"model": "m", "data": {"train": ["a"]}, "max_steps": 2, "batch_size": 1}
    return wish | {"max_length": 4096, "checkpoint_steps": 1, "eval_steps": 9} | line.changes


def run(asked: dict[str, Any]) -> str:
    command = [sys.executable, __file__, "--child", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "{}"


def child(asked: dict[str, Any]) -> None:
    if asked.get("make"):
        return make(Path(asked["base"]), asked["shape"])
    import numpy as np

    from modiste.nn.base import describe_base
    from modiste.tune.machine import choose
    from modiste.tune.memory import Load, need
    from modiste.tune.mixture import Samples, Source
    from modiste.tune.sft import finetune
    from modiste.tune.spec import parse

    base, length = Path(asked["base"]), asked["length"]
    spec, info = parse(asked["spec"]).spec, describe_base(base)
    machine = choose(info, spec=spec)
    machine.use()
    random = np.random.default_rng(0)
    rows = ((random.integers(0, 4096, length), random.random(length) < 0.5) for _ in range(64))
    with tempfile.TemporaryDirectory() as run_dir:
        finetune(
            spec,
            base,
            sources=[Source("a", 1.0, Samples(rows))],
            validation=Samples(),
            run_dir=Path(run_dir),
            machine=machine,
            on_event=lambda event: None,
        )
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    load = Load(length, 4096)
    said = need(spec, info, load, device=machine.device, host_bytes=1 << 60)
    print(json.dumps({"measured": peak, "said": said.peak_bytes, "parts": dict(said.parts)}))
    return None


def make(folder: Path, shape: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    heads, kv_heads = HEADS[shape]
    config = LlamaConfig(
        **SHAPES[shape],
        num_hidden_layers=LAYERS[shape],
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=shape != "94M wide",
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    main()
