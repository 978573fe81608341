"""Alpaca rows as chats."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.prepare.formats.alpaca import parse_row
from modiste.types import Message, Role


def said(value: Any) -> list[tuple[str, str | None]]:
    row = parse_row(value, file="f", line=1)
    assert row.problems == ()
    assert row.example is not None
    return [(str(m.role), m.content) for m in row.example.messages]


def codes(value: Any) -> list[tuple[str, str]]:
    row = parse_row(value, file="f", line=1)
    assert row.example is None
    return [(problem.path, problem.code) for problem in row.problems]


def test_instruction_and_input_are_one_question() -> None:
    assert said({"instruction": "Add.", "input": "1, 2", "output": "3"}) == [
        ("user", "Add.\n\n1, 2"),
        ("assistant", "3"),
    ]


@pytest.mark.parametrize("given", ["", None])
def test_an_input_that_is_empty_is_none(given: Any) -> None:
    assert said({"instruction": "Add.", "input": given, "output": "3"})[0] == ("user", "Add.")


def test_system_and_history_come_first() -> None:
    row = {
        "system": "Be brief.",
        "history": [["q1", "a1"], ["q2", "a2"]],
        "instruction": "q3",
        "output": "a3",
    }
    assert [text for _, text in said(row)] == ["Be brief.", "q1", "a1", "q2", "a2", "q3", "a3"]


def test_the_one_instance_of_a_self_instruct_row_is_read() -> None:
    row = {"id": "seed_1", "instruction": "Add.", "instances": [{"input": "1", "output": "2"}]}
    assert said(row) == [("user", "Add.\n\n1"), ("assistant", "2")]
    assert parse_row(row, file="f", line=1).ignored == ("id",)


def test_several_instances_are_refused_not_dropped() -> None:
    row = {"instruction": "Add.", "instances": [{"output": "2"}, {"output": "3"}]}
    assert codes(row) == [("instances", "several_instances")]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], [("", "row_not_object")]),
        ({"instruction": "i"}, [("output", "field_missing")]),
        ({"instruction": "i", "output": ""}, [("output", "field_empty")]),
        ({"instruction": "", "input": "", "output": "o"}, [("instruction", "field_empty")]),
        ({"instruction": 1.5, "output": []}, [("output", "field_type")]),
        ({"instruction": {}, "output": "o"}, [("instruction", "field_type")]),
        ({"instruction": "i", "output": "o", "history": ["q"]}, [("history[0]", "field_type")]),
        ({"instruction": "i", "output": "o", "history": "q"}, [("history", "field_type")]),
        ({"instruction": "i", "instances": {}}, [("instances", "field_type")]),
    ],
)
def test_everything_wrong_is_told(value: Any, told: list[tuple[str, str]]) -> None:
    assert codes(value) == told


def test_the_answer_of_a_row_is_trained() -> None:
    row = parse_row({"instruction": "i", "output": "o"}, file="f", line=1)
    assert row.example is not None
    assert row.example.messages[-1] == Message(Role.ASSISTANT, "o")
