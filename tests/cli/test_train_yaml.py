"""What mistral-finetune's validate_data accepts is accepted, and its figures are put right."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.cli import train_yaml
from modiste.cli.train_yaml import H100_TOKENS_PER_S, expected, hours_minutes_seconds, speed
from modiste.errors import InvalidInput

SEVEN_B = """
data:
  instruct_data: "{instruct}"
  data: "{plain}"
  eval_instruct_data: "{evaluated}"
model_id_or_path: "open-mistral-7b"
lora:
  rank: 64
seq_len: 32768
batch_size: 1
max_steps: 300
optim: {{lr: 6.e-5, weight_decay: 0.1, pct_start: 0.05}}
run_dir: ""
wandb: {{project: "", offline: False}}
"""


@pytest.fixture
def written(tmp_path):
    for name in ("a.jsonl", "b.jsonl", "folder/deep/d.jsonl", "folder/c.jsonl", "folder/no.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")

    def write(instruct="a.jsonl", plain="", evaluated="", **replaced):
        text = SEVEN_B.format(instruct=instruct, plain=plain, evaluated=evaluated)
        for name, value in replaced.items():
            lines = [line for line in text.splitlines() if not line.startswith(f"{name}:")]
            text = "\n".join([*lines, *([] if value is None else [f"{name}: {value}"])])
        path = tmp_path / "7B.yaml"
        path.write_text(text)
        return path

    return write


def names(sources):
    return [(s.name, s.weight, [file.name for file in s.files]) for s in sources]


def test_files_folders_and_weights_are_read_in_a_fixed_order(written):
    read = train_yaml.read(written("a.jsonl:5.,folder:0.5", plain="b.jsonl", evaluated="b.jsonl"))

    assert names(read.train) == [
        ("b.jsonl", 1.0, ["b.jsonl"]),
        ("a.jsonl", 5.0, ["a.jsonl"]),
        ("folder", 0.5, ["c.jsonl", "d.jsonl"]),
    ]
    assert names(read.validation) == [("b.jsonl", 1.0, ["b.jsonl"])]


def test_windows_paths_keep_their_colon(written, tmp_path):
    read = train_yaml.read(written(r"folder\\deep\\d.jsonl:2."))
    assert names(read.train) == [(r"folder\deep\d.jsonl", 2.0, ["d.jsonl"])]

    with pytest.raises(InvalidInput, match=r"C:\\data\\train\.jsonl is not there"):
        train_yaml.read(written(r"C:\\data\\train.jsonl"))
    with pytest.raises(InvalidInput, match=r"C:\\data\\train\.jsonl is not there"):
        train_yaml.read(written(r"C:\\data\\train.jsonl:3."))


def test_everything_that_is_wrong_is_told_at_once(written):
    path = written("gone.jsonl,a.jsonl:0,a.jsonl", seq_len="long", model_id_or_path='""')

    with pytest.raises(InvalidInput) as refusal:
        train_yaml.read(path)

    for said in (
        "gone.jsonl is not there",
        "the weight of a.jsonl is 0",
        "a.jsonl is named 2 times",
        "seq_len is 'long'",
        "model_id_or_path is empty",
    ):
        assert said in refusal.value.message


def test_empty_sources_are_refused(written):
    with pytest.raises(InvalidInput, match="name at least one file"):
        train_yaml.read(written(""))


def test_a_default_is_said(written):
    read = train_yaml.read(written(max_steps=None))

    assert read.max_steps == 100
    assert "max_steps is not given: 100" in read.notes


def test_the_figures_have_the_names_of_the_original_and_count_what_is_there(written):
    asked = train_yaml.read(written("a.jsonl:3.,folder:1.", num_microbatches=2))

    told = expected(asked, {"a.jsonl": 1000, "folder": 500}, n_gpus=4, tokens_per_s=5720)

    assert set(told) >= {
        *("eta", "data_tokens", "train_tokens", "epochs", "max_steps"),
        *("data_tokens_per_dataset", "train_tokens_per_dataset", "epochs_per_dataset"),
    }
    per_step = 1 * 2 * 32768 * 4
    assert told["train_tokens"] == 300 * per_step
    assert told["epochs"] == pytest.approx(300 * per_step / 1500, abs=0.01)
    assert told["train_tokens_per_dataset"]["a.jsonl"] == 300 * per_step * 3 // 4
    assert told["eta"] == hours_minutes_seconds(300 * 2 * 32768 / 5720 + 300)


def test_a_folder_without_rows_has_no_epochs(written):
    asked = train_yaml.read(written("a.jsonl"))

    told = expected(asked, {"a.jsonl": 0}, n_gpus=0, tokens_per_s=10)

    assert told["epochs"] is None


def test_the_speed_says_what_it_rests_on():
    here = speed("open-mistral-7b", n_gpus=0, n_parameters=7_248_000_000, width=4096)
    there = speed("/models/nemo", n_gpus=8, n_parameters=12_250_000_000, width=5120)

    assert here.tokens_per_s < 10
    assert "no GPU" in here.rests_on
    assert there.tokens_per_s == H100_TOKENS_PER_S["open-mistral-nemo"]


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 4), ("0,1", 2), ("", 0), ("-1", 0), ("2,-1,3", 1)]
)
def test_gpus_are_those_a_training_would_see(tmp_path, monkeypatch, visible, count):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n3\\n'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert train_yaml.count_gpus() == count


def test_without_a_driver_there_are_no_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert train_yaml.count_gpus() == 0
    assert train_yaml.local_path("no/such/file", Path(tmp_path)) is None
