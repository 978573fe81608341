"""Targets of a job: read from the rows, held against every row, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.actions import job_checks
from modiste.actions.job_checks import DataFile, Found
from modiste.tune.spec import parse
from modiste.types import ClassifierTarget, LossFunction

TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
CHAT = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}


def rows(n: int, **labels: Any) -> list[dict[str, Any]]:
    return [{"text": f"text {at} {labels}", "labels": labels} for at in range(n)]


@pytest.fixture
def look(tmp_path: Path):  # type: ignore[no-untyped-def]
    """What the rows come to, as a classifier job reads them."""

    def read(train: list[Any], validation: list[Any] = [], **values: Any) -> Found:  # noqa: B006
        files = []
        for name, content in (("t.jsonl", train), ("v.jsonl", validation)):
            path = tmp_path / name
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
            files.append(DataFile(name, path, name))
        spec = {"model": "m", "data": {"train": [{"file_id": "t"}]}, "objective": "classify"}
        return job_checks.read(
            parse(spec | values).spec,
            TINY,
            train=files[:1],
            validation=files[1:] * bool(validation),
        )

    return read


def test_targets_are_those_of_the_training_rows_and_the_plan_has_them(look) -> None:  # type: ignore[no-untyped-def]
    found = look(
        [*rows(3, mood="bad", of=[]), *rows(9, mood="good", of=["food"])],
        rows(2, mood="bad", of=[]),
    )
    expected = (
        ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
        ClassifierTarget("of", ("food",), LossFunction.MULTI_CLASS),
    )
    assert found.targets.targets == expected
    spec = parse({"model": "m", "data": {"train": ["t"]}, "objective": "classify"}).spec
    made = job_checks.planned(spec, found, tokens_per_s=1000.0, price_micro_per_million_tokens=0)
    assert made.spec.classifier_targets == expected
    assert job_checks.refusal(found, made, skip_fraction=0.0) is None
    assert "A classifier on the mean state, for mood (2 labels, single_class)" in made.details
    assert found.n_tokens > 12 * 4


def test_rare_labels_are_said_with_what_is_done_about_them(look) -> None:  # type: ignore[no-untyped-def]
    train = [*rows(2, mood="bad"), *rows(10, mood="good")]
    note = job_checks.note(look(train), skip_fraction=0.0)
    assert "mood: 2 labels, one label a row (good 10, bad 2). bad is 5 times as rare" in note
    assert "count more, by the square root" in note
    even = job_checks.note(look(train, classifier={"balance": "none"}), skip_fraction=0.0)
    assert "every row counts the same" in even


def test_rows_that_do_not_fit_are_bad_rows_with_their_lines(look) -> None:  # type: ignore[no-untyped-def]
    found = look([*rows(4, mood="bad"), *rows(4, mood="good")], rows(1, mood="odd"))
    made = job_checks.planned(
        parse({"model": "m", "data": {"train": ["t"]}, "objective": "classify"}).spec,
        found, tokens_per_s=1000.0, price_micro_per_million_tokens=0,
    )  # fmt: skip
    error = job_checks.refusal(found, made, skip_fraction=0.0)
    assert error is not None
    assert error.code == "label_unknown"
    assert "v.jsonl line 1: labels.mood is 'odd', expected one of 'bad', 'good'" in error.message


def test_labels_that_are_not_asked_for_are_left_aside_and_named(look) -> None:  # type: ignore[no-untyped-def]
    target = {"name": "mood", "labels": ["bad", "good"]}
    train = [*rows(4, mood="bad", of="food"), *rows(4, mood="good", of="room")]
    found = look(train, classifier_targets=[target])
    assert [each.name for each in found.targets.targets] == ["mood"]
    assert "left aside: ['of']" in job_checks.note(found, skip_fraction=0.0)


def test_one_label_alone_and_rows_of_chats_make_no_classifier(look) -> None:  # type: ignore[no-untyped-def]
    alone = look(rows(5, mood="good"))
    assert "target 'mood' has 1 labels" in alone.targets.problems[0].message
    chats = look([CHAT] * 3)
    assert chats.purpose.problems[0].code == "kind_not_trained"
    assert "a classifier learns from rows with labels" in chats.purpose.problems[0].message
