"""Targets: given or read from rows, and what rows must hold to fit them."""

from __future__ import annotations

import pytest

from modiste.prepare.targets import Counts, Numbers, settled, wrong
from modiste.types import ClassifierTarget, Example, LossFunction, SampleType

SINGLE, MULTI = LossFunction.SINGLE_CLASS, LossFunction.MULTI_CLASS
MOOD = ClassifierTarget("mood", ("bad", "good"), SINGLE)
TOPICS = ClassifierTarget("topics", ("food", "room"), MULTI, 0.5)


def row(**labels: tuple[str, ...]) -> Example:
    return Example(7, SampleType.CLASSIFIER, text="x", labels=labels)


def counted(*rows: Example) -> Counts:
    counts = Counts()
    for each in rows:
        counts.add(each)
    return counts


def test_targets_are_read_from_rows_in_alphabetical_order() -> None:
    counts = counted(
        row(topics=("room",), mood=("good",)), row(mood=("bad",), topics=("food", "room"))
    )
    assert counts.targets() == (MOOD, ClassifierTarget("topics", ("food", "room"), MULTI))
    assert counts.labels["topics"] == {"room": 2, "food": 1}


def test_a_row_without_any_label_makes_its_target_multi_class() -> None:
    assert counted(row(mood=("good",)), row(mood=())).targets()[0].loss_function is MULTI


def test_targets_asked_for_stay_and_get_the_loss_function_that_rows_show() -> None:
    counts = counted(row(mood=("good",), topics=("food", "room")))
    asked = (ClassifierTarget("topics", ("food", "room", "bar"), None, 0.5),)
    assert settled(asked, counts) == (
        ClassifierTarget("topics", ("food", "room", "bar"), MULTI, 0.5),
    )
    assert settled((), counts) == counts.targets()
    said = (ClassifierTarget("mood", ("good", "bad"), MULTI),)
    assert settled(said, counts) == said


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ((MOOD, MOOD), "'mood' is there twice"),
        ((ClassifierTarget("a", ("one",), SINGLE),), "1 labels, expected 2"),
        ((ClassifierTarget("a", ("b", "b")),), "a label twice"),
        ((ClassifierTarget("a", ("b", "c"), SINGLE, -1.0),), "weight of target 'a' is -1"),
        ((ClassifierTarget("a", ("b", "c"), SINGLE, 0.0),), "nothing would be learned"),
        ((ClassifierTarget("", ("b", "c")),), "no name"),
    ],
)
def test_what_cannot_be_trained_is_said(targets: tuple[ClassifierTarget, ...], said: str) -> None:
    assert said in "; ".join(wrong(targets))


def test_targets_that_can_be_trained_are_not_complained_about() -> None:
    assert wrong((MOOD, TOPICS, ClassifierTarget("spam", ("yes",), MULTI))) == []


def test_labels_are_counted_through_all_targets() -> None:
    numbers = Numbers((MOOD, TOPICS))
    assert numbers.held(row(mood=("good",), topics=("room", "food"))) == [1, 2, 3]
    assert numbers.held(row(mood=("bad",), topics=(), other=("x",))) == [0]


def test_everything_about_a_row_is_said_at_once() -> None:
    found = Numbers((MOOD, TOPICS)).unfit(row(mood=("good", "bad"), topics=("bar",)))
    assert [(each.path, each.code) for each in found] == [
        ("labels.mood", "label_count"),
        ("labels.topics", "label_unknown"),
    ]
    (missing,) = Numbers((MOOD,)).unfit(row(topics=("food",)))
    assert (missing.code, missing.message) == ("label_missing", "labels.mood is missing")
    assert Numbers((MOOD, TOPICS)).unfit(row(mood=("bad",), topics=())) == []
