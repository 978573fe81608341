"""Suites: what they may say, and what is said of one that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from standin_models import SUITE, suite

from modiste.errors import InvalidInput
from modiste.evaluate.suite import Subject, Suite
from modiste.prepare.checked import checked
from modiste.types import Role


def refused(**changes: Any) -> str:
    with pytest.raises(InvalidInput) as error:
        checked(Suite, {**SUITE, **changes}, file="suite.yaml")
    return error.value.message


def test_a_suite_says_little_and_means_much() -> None:
    read = suite(dataset="rows.jsonl")
    assert read.dataset.path == "rows.jsonl"
    assert (read.attempts, read.sampling.temperature, read.sampling.max_tokens) == (1, 0.0, 256)
    [(role, template)] = read.turns
    assert (role, template.source) == (Role.USER, "Capital of {{country}}?")
    assert read.scorers[0].name == "exact"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"promt": "x"}, "promt: is not known here; did you mean 'prompt'?"),
        ({"dataset": {"pth": "x", "file_id": "f"}}, "dataset.pth: .*did you mean 'path'?"),
        ({"models": {"a": {"model": "m", "sytem": "x"}}}, "did you mean 'system'?"),
        ({"models": {"a": {"model": "m", "sampling": {"temprature": 1}}}}, "temprature"),
        ({"models": {}}, "models: .*at least 1"),
        ({"models": {"a": {}}}, "models.a.model: Field required"),
        ({"sampling": {"temperature": -1}}, "sampling.temperature: .*got -1"),
        ({"sampling": {"max_token": 5}}, "did you mean 'max_tokens'?"),
        ({"attempts": 0}, "attempts: .*got 0"),
        ({"name": "../etc/passwd"}, "name: "),
        ({"name": "a/b"}, "name: "),
        ({"scorers": []}, "scorers: "),
        ({"scorers": ["exakt"]}, "exakt"),
        ({"scorers": ["exact", {"kind": "exact"}]}, "two scorers are called 'exact'"),
        ({"primary": "gone.mean"}, "primary is 'gone.mean'; the scorers are exact"),
        (
            {"messages": [{"role": "user", "content": "x"}]},
            "exactly one of prompt, messages and conversation",
        ),
        ({"prompt": None}, "exactly one of prompt, messages and conversation"),
        ({"dataset": {}}, "exactly one of path and file_id"),
        ({"dataset": {"path": "a", "file_id": "b"}}, "exactly one of path and file_id"),
        ({"dataset": {"file_id": "f", "limit": 0}}, "dataset.limit"),
    ],
)
def test_a_wrong_suite_is_refused_with_the_field_and_the_nearest_name(
    change: dict[str, Any], said: str
) -> None:
    import re

    assert re.search(said.replace("?", r"\?"), refused(**change))


def test_everything_wrong_is_said_at_once() -> None:
    said = refused(promt="x", attempts=1000, sampling={"top_p": 2}, models={"a": {}})
    for part in ("promt", "attempts", "sampling.top_p", "models.a.model"):
        assert part in said


def test_a_subject_changes_the_sampling_it_names_and_keeps_the_rest() -> None:
    read = suite(
        sampling={"temperature": 0.5, "seed": 3},
        models={"a": {"model": "m", "sampling": {"temperature": 1.0}}},
    )
    over = read.models["a"].sampling_over(read.sampling)
    assert (over.temperature, over.seed, over.max_tokens) == (1.0, 3, 256)


def test_the_schema_describes_every_field_for_editors() -> None:
    schema = Suite.model_json_schema()
    assert schema["properties"]["primary"]["description"].startswith("Metric that decides")
    assert set(SUITE) <= set(schema["properties"])


def test_a_subject_tells_what_it_says_that_others_do_not() -> None:
    shots = {"path": "x.jsonl", "n": 3}
    assert Subject.model_validate({"model": "m"}).said_before == ()
    helped = Subject.model_validate({"model": "m", "system": "Be brief.", "shots": shots})
    assert helped.said_before == ("system prompt", "3 examples")
