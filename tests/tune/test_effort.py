"""One word for how much a tuning may take; it never overrules what is given."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.tune.effort import choices
from modiste.tune.spec import CANONICAL, validate

LEAST = {"model": "m", "data.train": "a.jsonl"}
EFFORTS = ("quick", "balanced", "thorough")


def chosen(effort: str, **given: Any) -> dict[str, Any]:
    return {
        c.field: c.value
        for c in choices(effort, {n.replace("__", "."): v for n, v in given.items()})
    }


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_choice_is_a_field_with_a_reason_and_makes_a_valid_spec(effort: str) -> None:
    found = choices(effort, {"data.validation": "v"})
    assert all(choice.field in CANONICAL and choice.why for choice in found)
    assert validate(LEAST | {c.field: c.value for c in found}).spec is not None


def test_more_effort_is_more_of_everything_but_the_rate() -> None:
    every = [chosen(effort) for effort in EFFORTS]
    for field in ("epochs", "lora.rank"):
        assert [each[field] for each in every] == sorted(each[field] for each in every)
    rates = [each["learning_rate"] for each in every]
    assert rates == sorted(rates, reverse=True)


def test_what_is_given_stays() -> None:
    assert chosen("quick", lora__rank=4, learning_rate=1.0, epochs=2.0) == {}
    assert "epochs" not in chosen("quick", max_steps=10), "steps say how long, too"


def test_the_best_is_kept_only_where_there_is_something_to_tell_it_by() -> None:
    assert "keep" not in chosen("thorough")
    assert chosen("thorough", data__validation="v")["early_stopping_patience"] == 3
    assert chosen("balanced", data__holdout=0.1)["keep"] == "best"


def test_rates_follow_what_learns() -> None:
    assert chosen("balanced", method="full")["learning_rate"] == 1e-5
    assert chosen("balanced", objective="dpo")["learning_rate"] == 5e-6
    assert "lora.rank" not in chosen("balanced", method="full")
    assert "lora.rank" not in chosen("balanced", continue_from="ft:x"), "the adapter has its rank"
    assert "lora.rank" not in chosen("balanced", model="ft:x")
