"""The names of other tools, read as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.tune.aliases import ALIASES, DECIDED_HERE, ONLY_VALUE
from modiste.tune.spec import CANONICAL, parse, read_yaml

LEAST = {"model": "modiste-tiny", "data": {"train": ["a.jsonl"]}}


def test_a_mistral_finetune_file_is_read_and_every_translation_is_said(tmp_path: Path) -> None:
    """The fields of its example/7B.yaml."""
    (tmp_path / "7B.yaml").write_text("""
data:
  instruct_data: "chats.jsonl:5.,more/tools.jsonl:1."
  data: ""
  eval_instruct_data: "eval.jsonl"
model_id_or_path: "/models/7B"
lora:
  rank: 64
seq_len: 32768
batch_size: 1
num_microbatches: 8
max_steps: 300
optim:
  lr: 6.e-5
  weight_decay: 0.1
  pct_start: 0.05
seed: 0
log_freq: 1
eval_freq: 100
no_eval: False
ckpt_freq: 100
save_adapters: True
run_dir: "runs/one"
""")
    spec, notes = read_yaml(tmp_path / "7B.yaml")
    assert spec.model == "/models/7B"
    assert [(f.path, f.weight) for f in spec.data.train] == [
        (str(tmp_path / "chats.jsonl"), 5.0),
        (str(tmp_path / "more/tools.jsonl"), 1.0),
    ]
    assert spec.data.validation[0].path == str(tmp_path / "eval.jsonl")
    assert (spec.max_length, spec.batch_size, spec.max_steps) == (32768, 8, 300)
    assert (spec.learning_rate, spec.eval_steps, spec.checkpoint_steps) == (6e-5, 100, 100)
    assert "optim.lr read as learning_rate" in notes
    assert spec.output_dir == "runs/one"
    assert "run_dir read as output_dir" in notes
    assert "batch_size is 8: 1 times 8 accumulated" in notes


@pytest.mark.parametrize(
    ("name", "value", "reads"),
    [
        ("base_model", "m", lambda s: s.model == "m"),
        ("lora_r", 8, lambda s: s.lora.rank == 8),
        ("lora_target", "all", lambda s: s.lora.targets == "all-linear"),
        ("lora_target_modules", "q_proj, v_proj", lambda s: s.lora.targets == ("q_proj", "v_proj")),
        ("sequence_len", 512, lambda s: s.max_length == 512),
        ("num_train_epochs", 2, lambda s: s.epochs == 2.0),
        ("gradient_accumulation_steps", 4, lambda s: s.batch_size == 4),
        ("lora.scaling", 4.0, lambda s: s.lora.alpha == 64.0),
        ("training_steps", 7, lambda s: s.max_steps == 7),
    ],
)
def test_names_of_other_tools_mean_the_same(name: str, value: object, reads: object) -> None:
    values = {k: v for k, v in LEAST.items() if not (name == "base_model" and k == "model")}
    parsed = parse(values | {name: value})
    assert reads(parsed.spec)
    assert any(name.rpartition(".")[2] in note or "accumulated" in note for note in parsed.notes)


def test_a_windows_path_is_not_split_at_its_colon() -> None:
    spec = parse(LEAST | {"data": {"train": r"C:\data\a.jsonl,D:\b.jsonl:2"}}).spec
    assert [(f.path, f.weight) for f in spec.data.train] == [
        (r"C:\data\a.jsonl", 1.0),
        (r"D:\b.jsonl", 2.0),
    ]


def test_every_alias_leads_to_a_name_of_ours_and_none_hides_one() -> None:
    assert set(ALIASES.values()) <= set(CANONICAL)
    assert not (set(ALIASES) | set(DECIDED_HERE) | set(ONLY_VALUE)) & set(CANONICAL)
    assert not set(ALIASES) & (set(DECIDED_HERE) | set(ONLY_VALUE))
