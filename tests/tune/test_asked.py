"""Every field of a tuning travels as hyperparameters of a job, and comes back the same."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from modiste.tune.asked import PLACES, from_hyperparameters, to_hyperparameters, to_integration
from modiste.tune.spec import Tracker, parse
from modiste.types import Hyperparameters, TrainingFile

LEAST = {"model": "modiste-tiny", "data": {"train": [{"file_id": "one"}]}}
UNUSUAL: dict[str, Any] = {
    "method": "qlora",
    "objective": "dpo",
    "effort": "quick",
    "lora.rank": 3,
    "lora.alpha": 5.0,
    "lora.targets": ("q_proj", "v_proj"),
    "lora.dropout": 0.125,
    "lora.rslora": True,
    "lora.dora": True,
    "dpo.beta": 0.5,
    "dpo.label_smoothing": 0.25,
    "dpo.sft_weight": 0.75,
    "classifier.pooling": "last",
    "classifier.balance": "full",
    "classifier.phrases": False,
    "continue_from": "ft:modiste-tiny:0:1:2",
    "fim_ratio": 0.5,
    "max_steps": 7,
    "epochs": 2.5,
    "batch_size": 3,
    "max_length": 200,
    "over_length": "split",
    "learning_rate": 3e-4,
    "weight_decay": 0.01,
    "lr_schedule": "linear",
    "warmup_ratio": 0.2,
    "max_grad_norm": 0.5,
    "seed": 11,
    "checkpoint_steps": 4,
    "eval_steps": 2,
    "keep": "best",
    "early_stopping_patience": 3,
    "early_stopping_min_delta": 0.5,
    "dtype": "float32",
    "gradient_checkpointing": True,
    "microbatch_tokens": 512,
    "force": True,
}


def back(asked: Hyperparameters, **others: Any):
    return from_hyperparameters(
        asked, model="modiste-tiny", training_files=[TrainingFile("one")], **others
    )


def test_hyperparameters_and_the_schema_have_the_same_fields() -> None:
    assert set(PLACES) == set(UNUSUAL), (
        "give a new field an unusual value, so that its way is tried"
    )
    assert set(PLACES.values()) == {field.name for field in fields(Hyperparameters)}


def test_every_field_comes_back_as_it_went() -> None:
    spec = parse(LEAST | UNUSUAL).spec
    asked = to_hyperparameters(spec)
    assert set(asked) == set(PLACES.values())
    assert back(Hyperparameters(**asked)) == spec


def test_what_was_left_open_stays_open() -> None:
    spec = parse(LEAST).spec
    assert back(Hyperparameters(**to_hyperparameters(spec))) == spec
    assert back(Hyperparameters()) == spec, "both sides have the same defaults"


def test_a_job_made_through_the_api_becomes_a_spec() -> None:
    spec = from_hyperparameters(
        Hyperparameters(training_steps=10, seq_len=256, warmup_fraction=None, lora_rank=8),
        model="modiste-tiny",
        training_files=[TrainingFile("one", 2.0), TrainingFile("two")],
        validation_files=["three"],
        suffix="mine",
    )
    assert (spec.max_steps, spec.max_length, spec.warmup_ratio, spec.lora.rank) == (
        10,
        256,
        0.05,
        8,
    )
    assert [(f.file_id, f.weight) for f in spec.data.train] == [("one", 2.0), ("two", 1.0)]
    assert spec.data.validation[0].file_id == "three"
    assert spec.suffix == "mine"


def test_trackers_travel_as_integrations() -> None:
    asked = [
        Tracker(type="wandb", run_name="r", offline=True),
        Tracker(type="mlflow", project="p", url="http://localhost:5000"),
    ]
    kept = [to_integration(tracker) for tracker in asked]
    assert kept[0]["project"] == "modiste", "W&B's clients insist on one"
    read = back(Hyperparameters(), integrations=kept).trackers
    assert read == (asked[0].model_copy(update={"project": "modiste"}), asked[1])


def test_mistrals_name_of_a_run_is_read() -> None:
    kept = {"type": "wandb", "project": "p", "name": "shown"}
    assert back(Hyperparameters(), integrations=[kept]).trackers[0].run_name == "shown"
