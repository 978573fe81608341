"""Texts and chats with labels."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.prepare.formats.classifier import parse_row
from modiste.types import Example, SampleType


def parsed(value: Any) -> Example:
    row = parse_row(value, file="f", line=1)
    assert row.problems == ()
    assert row.example is not None
    assert row.example.sample_type is SampleType.CLASSIFIER
    return row.example


def codes(value: Any) -> list[tuple[str, str]]:
    row = parse_row(value, file="f", line=1)
    assert row.example is None
    return [(problem.path, problem.code) for problem in row.problems]


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"labels": {"intent": "refund"}}, {"intent": ("refund",)}),
        ({"labels": {"topics": ["a", "b"]}}, {"topics": ("a", "b")}),
        ({"labels": {"topics": []}}, {"topics": ()}),
        ({"labels": ["a", "b"]}, {"labels": ("a", "b")}),
        ({"label": "refund"}, {"label": ("refund",)}),
        ({"label": 3}, {"label": ("3",)}),
        ({"label": False}, {"label": ("false",)}),
    ],
)
def test_labels_are_names_with_values(row: Any, labels: Any) -> None:
    example = parsed({"text": "t", **row})
    assert (example.text, example.labels) == ("t", labels)


def test_a_chat_may_be_labelled() -> None:
    example = parsed({"messages": [{"role": "user", "content": "q"}], "labels": {"safe": "yes"}})
    assert example.text is None
    assert [m.content for m in example.messages] == ["q"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"text": "t"}, [("labels", "label_missing")]),
        ({"text": "t", "labels": {}}, [("labels", "label_missing")]),
        ({"text": "t", "label": ""}, [("label", "label_missing")]),
        ({"text": "t", "labels": {"a": {}}}, [("labels.a", "label_type")]),
        ({"text": "t", "labels": {"a": [None]}}, [("labels.a[0]", "label_type")]),
        ({"text": "t", "label": 0.5}, [("label", "label_type")]),
        ({"text": "", "label": "a"}, [("text", "field_empty")]),
        ({"label": "a"}, [("text", "field_missing")]),
        ({"messages": "q", "label": "a"}, [("messages", "messages_type")]),
        (None, [("", "row_not_object")]),
    ],
)
def test_everything_wrong_is_told(value: Any, told: list[tuple[str, str]]) -> None:
    assert codes(value) == told


def test_other_columns_are_named() -> None:
    row = parse_row({"text": "t", "label": "l", "votes": [1]}, file="f", line=1)
    assert row.ignored == ("votes",)
