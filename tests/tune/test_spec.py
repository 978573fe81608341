"""One schema for a tuning run, in our words and in those of other tools."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modiste.errors import InvalidInput
from modiste.tune.spec import parse

LEAST = {"model": "modiste-tiny", "data": {"train": ["a.jsonl"]}}


def test_the_least_spec_has_the_documented_defaults() -> None:
    parsed = parse(LEAST)
    spec = parsed.spec
    assert parsed.notes == ()
    assert (spec.lora.rank, spec.lora.scaling, spec.lora.targets) == (16, 2.0, "all-linear")
    assert (spec.learning_rate, spec.weight_decay, spec.warmup_ratio) == (1e-4, 0.1, 0.05)
    assert (spec.max_grad_norm, spec.seed, spec.auto_start) == (1.0, 0, True)
    assert (spec.max_steps, spec.epochs, spec.batch_size, spec.max_length) == (None,) * 4
    assert [(f.path, f.weight) for f in spec.data.train] == [("a.jsonl", 1.0)]


def test_all_problems_are_said_in_one_answer_with_the_nearest_known_name() -> None:
    with pytest.raises(InvalidInput) as raised:
        parse({"modle": "x", "learning_rate": 7, "lora": {"rnk": 3}, "epochs": -1})
    message = raised.value.message
    assert "modle: unknown; did you mean model?" in message
    assert "lora.rnk: unknown; did you mean lora.rank?" in message
    assert "learning_rate: Input should be less than or equal to 1, got 7" in message
    assert "epochs: Input should be greater than 0, got -1" in message
    assert "model: Field required" in message
    assert "data.train: Field required" in message


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"neftune_noise_alpha": 5}, "that is not there"),
        ({"lr_scheduler": "one_cycle"}, "known are cosine, linear, constant"),
        ({"wandb": {"key": "secret"}}, "set WANDB_API_KEY"),
        ({"seq_len": 512, "max_length": 512}, "max_length is given twice"),
        ({"lora": {"scaling": 2, "alpha": 32}}, "lora.alpha is given too"),
        ({"num_microbatches": 0}, "expected a whole number above 0, got 0"),
        ({"max_steps": -5}, "max_steps"),
        ({"lora": {"rank": 0}}, "lora.rank"),
        ({"data": {"train": [{"path": "a", "file_id": "b"}]}}, "exactly one of path and file_id"),
        ({"data": {"train": [{"path": "a", "weight": 0}]}}, "weight"),
        ({"data": {"train": []}}, "data.train"),
        ({"learning_rate": float("nan")}, "learning_rate"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(values: dict, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse(LEAST | values)
    assert says in raised.value.message


@pytest.mark.parametrize(
    "tracker",
    [
        {"type": "wandb", "api_key": "s3cret"},
        {"type": "mlflow", "url": "https://me:s3cret@mlflow.example"},
        {"type": "mlflow", "url": "https://s3cret@mlflow.example/x"},
    ],
)
def test_keys_in_a_tracker_are_refused_and_not_repeated(tracker: dict) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse(LEAST | {"trackers": [tracker]})
    assert "trackers.0" in raised.value.message
    assert "s3cret" not in raised.value.message


def test_a_spec_survives_json() -> None:
    spec = parse(LEAST | {"lora": {"targets": ["q_proj"]}}).spec
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec


def test_spec_and_plan_need_no_torch() -> None:
    code = "import sys, modiste.tune.plan, modiste.tune.spec, modiste.tune.events; "
    code += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
