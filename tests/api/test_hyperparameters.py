"""Hyperparameters in the vendor's words, in ours, or as a tuning file writes them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from modiste.api.door import checked
from modiste.api.hyperparameters import HyperparametersIn
from modiste.tune.asked import to_hyperparameters
from modiste.tune.spec import parse
from modiste.types import Hyperparameters

FILE = {"model": "m", "data": {"train": [{"file_id": "f"}]}}


def read(given: dict[str, Any], *, evaluates: bool = False) -> Hyperparameters:
    return checked(HyperparametersIn, given).noun(evaluates=evaluates)


def test_every_hyperparameter_can_be_sent_and_has_the_same_default() -> None:
    assert set(HyperparametersIn.model_fields) == {field.name for field in fields(Hyperparameters)}
    assert read({}) == Hyperparameters()


@pytest.mark.parametrize(
    ("as_in_a_file", "flat"),
    [
        ({"max_steps": 10, "max_length": 128}, {"training_steps": 10, "seq_len": 128}),
        ({"lora": {"rank": 4, "dropout": 0.5}}, {"lora_rank": 4, "lora_dropout": 0.5}),
        ({"lora.targets": "all-linear"}, {}),
        ({"dpo": {"beta": 0.25}, "warmup_ratio": 0}, {"dpo_beta": 0.25, "warmup_fraction": 0}),
    ],
)
def test_what_a_tuning_file_says_may_be_sent_as_it_is(
    as_in_a_file: dict[str, Any], flat: dict[str, Any]
) -> None:
    assert read(as_in_a_file) == read(flat)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"lora": {"rnk": 4}}, "lora.rnk"),
        ({"method": "lorra"}, "method"),
        ({"keep": "first"}, "keep"),
        ({"lora": {"dropout": 1.0}}, "lora_dropout"),
        ({"gradient_checkpointing": "yes"}, "gradient_checkpointing"),
    ],
)
def test_a_wrong_name_or_value_is_refused_where_it_stands(
    given: dict[str, Any], place: str
) -> None:
    with pytest.raises(RequestValidationError) as refused:
        read(given)
    assert {error["loc"][1] for error in refused.value.errors()} == {place}


def test_one_field_under_two_names_is_refused() -> None:
    with pytest.raises(RequestValidationError, match="training_steps is given twice"):
        read({"max_steps": 1, "training_steps": 2})


def test_an_effort_fills_in_what_the_request_leaves_open() -> None:
    asked = read({"effort": "thorough", "lora_rank": 4}, evaluates=True)
    assert (asked.effort, asked.lora_rank, asked.learning_rate) == ("thorough", 4, 5e-5)
    assert (asked.keep, asked.early_stopping_patience) == ("best", 3)
    again = to_hyperparameters(parse(FILE | {"effort": "thorough", "lora_rank": 4}).spec)
    assert read(again, evaluates=True).early_stopping_patience is None, "null is an answer, too"
