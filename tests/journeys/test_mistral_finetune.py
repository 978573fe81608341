"""A user of mistral-finetune keeps base, data and YAML file, and changes the command alone."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mistral_common
import pytest
import torch
from safetensors.torch import save_file

pytestmark = pytest.mark.slow
DATA = Path(os.environ.get("MODISTE_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROWS = DATA / "a_sql_create_context"
TOKENIZER = "mistral_instruct_tokenizer_240323.model.v3"
YAML = """\
# data
data:
  instruct_data: "{folder}/train.jsonl:5.,{folder}/more:1."  # Fill
  data: ""  # Optionally fill with pretraining data
  eval_instruct_data: "{folder}/eval.jsonl"  # Optionally fill

# model
model_id_or_path: "{folder}/7B"  # Change to downloaded path
lora:
  rank: 64

# optim
seq_len: 1024
batch_size: 1
num_microbatches: 2
max_steps: 6
optim:
  lr: 6.e-4
  weight_decay: 0.1
  pct_start: 0.05

# other
seed: 0
log_freq: 1
eval_freq: 3
no_eval: False
ckpt_freq: 3

save_adapters: True  # save only trained LoRA adapters.

run_dir: "{folder}/run"  # Fill

wandb:
  project: "" # your wandb project name
  run_name: "" # your wandb run name
  offline: False
"""


def consolidated_base(folder: Path) -> None:
    """Random weights as Mistral publishes them: params.json, one file, tokenizer.model.v3."""
    params = {
        "dim": 64, "n_layers": 2, "head_dim": 16, "hidden_dim": 128, "n_heads": 4,
        "n_kv_heads": 2, "norm_eps": 1e-5, "vocab_size": 32_768, "rope_theta": 1e6,
    }  # fmt: skip
    shapes = {"tok_embeddings": (32_768, 64), "output": (32_768, 64), "norm": (64,)}
    for i in range(2):
        shapes |= {
            f"layers.{i}.attention.wq": (64, 64),
            f"layers.{i}.attention.wk": (32, 64),
            f"layers.{i}.attention.wv": (32, 64),
            f"layers.{i}.attention.wo": (64, 64),
            f"layers.{i}.feed_forward.w1": (128, 64),
            f"layers.{i}.feed_forward.w2": (64, 128),
            f"layers.{i}.feed_forward.w3": (128, 64),
            f"layers.{i}.attention_norm": (64,),
            f"layers.{i}.ffn_norm": (64,),
        }
    random = torch.Generator().manual_seed(0)
    tensors = {
        f"{name}.weight": (
            torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=random) * 0.05
        ).to(torch.bfloat16)
        for name, shape in shapes.items()
    }
    folder.mkdir()
    (folder / "params.json").write_text(json.dumps(params))
    save_file(tensors, folder / "consolidated.safetensors")
    shipped = Path(mistral_common.__file__).parent / "data" / TOKENIZER
    shutil.copyfile(shipped, folder / "tokenizer.model.v3")


def chats(n: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for file in sorted(ROWS.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                question = f"{row['context']}\n\n{row['question']}"
                rows.append(
                    {
                        "messages": [
                            {"role": "user", "content": question},
                            {"role": "assistant", "content": row["answer"]},
                        ]
                    }
                )
                if len(rows) == n:
                    return rows
    raise AssertionError(f"{ROWS} holds only {len(rows)} rows")


@pytest.mark.skipif(not ROWS.is_dir(), reason=f"no development data in {DATA} (MODISTE_DATA)")
def test_the_yaml_runs_unchanged_to_an_adapter_that_peft_loads_and_the_endpoint_serves(
    tmp_path: Path,
) -> None:
    rows = chats(260)
    (tmp_path / "more").mkdir()
    for name, part in (
        ("train.jsonl", rows[:200]),
        ("more/a.jsonl", rows[200:240]),
        ("eval.jsonl", rows[240:]),
    ):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    consolidated_base(tmp_path / "7B")
    (tmp_path / "7B.yaml").write_text(YAML.format(folder=tmp_path))
    environment = os.environ | {"MODISTE_HOME": str(tmp_path / "home")}
    environment.pop("MODISTE_URL", None)

    def modiste(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "modiste", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    said = modiste("tune", "7B.yaml")
    (name,) = set(re.findall(r"The model (ft:7B:\S+) is ready", said))
    assert "Served as trained" in said

    run = tmp_path / "run"
    steps = [json.loads(line) for line in (run / "metrics.train.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1]["loss"] < steps[0]["loss"]
    saved = run / "checkpoints" / "checkpoint_000006" / "consolidated"
    left = {file.name for file in saved.iterdir()}
    assert {"lora.safetensors", "params.json", "tokenizer.model.v3"} <= left

    from peft import PeftModel

    from modiste.nn.loading import load_base

    base = load_base(tmp_path / "7B", dtype=torch.float32).model
    ids = torch.arange(100, 140)[None]
    with torch.no_grad():
        before = base(ids).logits
        after = PeftModel.from_pretrained(base, run / "peft")(ids).logits
    assert float((after - before).abs().max()) > 1e-3

    # Random weights have nothing to say: that there is an answer at all is the exit code's.
    modiste("chat", name, "-m", "How many heads are there?", "--max-tokens", "4")
    assert name in modiste("models", "list")
