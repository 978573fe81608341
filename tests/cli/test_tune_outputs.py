"""`output_dir` holds what users of mistral-finetune look for, and only what was written by us."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from modiste.cli import tune_outputs
from modiste.cli.tune_outputs import refuse_impossible, write_metrics, write_spec
from modiste.errors import InvalidInput
from modiste.tune.config import read_yaml
from modiste.tune.spec import TuneSpec, parse

STEPS = [
    {"step": 1, "loss": 2.0, "learning_rate": 1e-4, "tokens_per_s": 1e2,
     "created_at": 1_800_000_000},
    {"step": 2, "loss": 1.0, "learning_rate": 5e-5, "valid_loss": 0.831, "created_at": None},
]  # fmt: skip


def spec_of(folder: Path, **changes: object) -> TuneSpec:
    least = {"model": "m", "data": {"train": str(folder / "a.jsonl")}}
    return parse(least | {"output_dir": str(folder / "out")} | changes).spec


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_have_the_names_of_mistral_finetune_and_e_to_the_loss(tmp_path: Path) -> None:
    write_metrics(tmp_path, STEPS)
    train = lines(tmp_path / "metrics.train.jsonl")
    assert [(row["step"], row["loss"], row["lr"]) for row in train] == [
        (1, 2.0, 1e-4),
        (2, 1.0, 5e-5),
    ]
    assert (train[0]["percent_done"], train[0]["wps"]) == (50.0, 100.0)
    assert train[0]["at"] == "2027-01-15T08:00:00+00:00"
    (row,) = lines(tmp_path / "metrics.eval.jsonl")
    # The tutorial's own log: 0.831 there is shown as 2^0.831 = 1.779.
    assert row["perplexity"] == pytest.approx(math.e**0.831)
    assert row["perplexity"] == pytest.approx(2.296, abs=1e-3)


def test_of_pairs_their_measures_are_written_and_no_perplexity(tmp_path: Path) -> None:
    told = {"measures": {"reward_margin": 0.5}, "valid_measures": {"preference_accuracy": 0.75}}
    write_metrics(tmp_path, [{"step": 1, "loss": 0.6, "valid_loss": 0.7, **told}])
    (trained,) = lines(tmp_path / "metrics.train.jsonl")
    (evaluated,) = lines(tmp_path / "metrics.eval.jsonl")
    assert (trained["reward_margin"], evaluated["preference_accuracy"]) == (0.5, 0.75)
    assert "perplexity" not in evaluated


def test_the_spec_is_read_again_with_what_the_plan_decided(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, lora={"targets": ["q_proj"]}, trackers=[{"type": "tensorboard"}])
    planned = {"training_steps": 7, "seq_len": 512, "batch_size": 2}
    job = {"id": "j", "fine_tuned_model": "ft:m", "hyperparameters": planned}
    write_spec(tmp_path / "spec.yaml", spec, job)
    filled = {"max_steps": 7, "max_length": 512, "batch_size": 2}
    assert read_yaml(tmp_path / "spec.yaml").spec == spec.model_copy(update=filled)


def test_a_folder_that_is_not_ours_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    refuse_impossible(spec_of(tmp_path))
    assert (tmp_path / "out").is_dir()
    (tmp_path / "out" / "merged").mkdir()
    with pytest.raises(InvalidInput, match="not from a tuning of Modiste"):
        refuse_impossible(spec_of(tmp_path))
    (tmp_path / "out" / "job.json").write_text("{}")
    refuse_impossible(spec_of(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is a file"):
        refuse_impossible(spec_of(tmp_path, output_dir=str(tmp_path / "file")))


def test_whole_models_are_written_whole(tmp_path: Path) -> None:
    assert tune_outputs._forms(spec_of(tmp_path, method="full", export=["peft", "mistral"])) == [
        "merged",
        "merged-mistral",
    ]


@pytest.mark.slow
def test_a_file_of_mistral_finetune_leaves_its_layout(
    modiste, training_file: Path, tmp_path: Path
) -> None:
    """The whole walk; about half a minute on one core, most of it verifying the files."""
    config = tmp_path / "7B.yaml"
    config.write_text(f"""
data:
  instruct_data: "{training_file}"
model_id_or_path: modiste-tiny
lora:
  rank: 4
seq_len: 128
max_steps: 2
run_dir: "{tmp_path}/run"
""")
    made = modiste("tune", config)
    assert made.code == 0, made.err
    run = tmp_path / "run"
    consolidated = run / "checkpoints" / "checkpoint_000002" / "consolidated"
    assert (consolidated / "lora.safetensors").is_file()
    assert json.loads((consolidated / "params.json").read_text())["lora"]["rank"] == 4
    assert (run / "peft" / "adapter_model.safetensors").is_file()
    assert len(lines(run / "metrics.train.jsonl")) == 2
    assert "verified with" in made.err
    again = modiste("tune", config)
    assert "holds the files of this job already" in again.err
