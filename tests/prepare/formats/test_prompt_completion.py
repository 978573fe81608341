"""Prompts and completions, questions and answers, as chats."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.prepare.formats.prompt_completion import parse_row


def said(value: Any) -> list[tuple[str, str | None]]:
    row = parse_row(value, file="f", line=1)
    assert row.problems == ()
    assert row.example is not None
    return [(str(m.role), m.content) for m in row.example.messages]


def codes(value: Any) -> list[tuple[str, str]]:
    row = parse_row(value, file="f", line=1)
    assert row.example is None
    return [(problem.path, problem.code) for problem in row.problems]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q ", "completion": " a"},
        {"question": "q ", "answer": " a"},
        {"input": "q ", "output": " a"},
        {"query": "q ", "response": " a"},
        {"prompt": [{"role": "user", "content": "q "}], "completion": " a"},
        {"prompt": "q ", "completion": [{"role": "assistant", "content": " a"}]},
    ],
)
def test_every_pair_of_names_is_a_question_and_its_answer_byte_for_byte(row: Any) -> None:
    assert said(row) == [("user", "q "), ("assistant", " a")]


def test_a_context_comes_before_its_question() -> None:
    row = {"context": "CREATE TABLE t", "question": "How many?", "answer": "SELECT"}
    assert said(row)[0] == ("user", "CREATE TABLE t\n\nHow many?")


def test_an_instruction_beside_a_question_is_the_systems() -> None:
    row = {"instruction": "Be brief.", "question": "q", "answer": "a"}
    assert said(row)[0] == ("system", "Be brief.")


def test_tools_of_a_conversational_row_are_kept() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    row = {"prompt": [{"role": "user", "content": "q"}], "completion": "a", "tools": [tool]}
    parsed = parse_row(row, file="f", line=1)
    assert parsed.example is not None
    assert parsed.example.tools == (tool,)


def test_a_number_as_an_answer_is_text() -> None:
    assert said({"question": "6 times 7?", "answer": 42})[-1] == ("assistant", "42")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"prompt": "q"}, [("completion", "field_missing")]),
        ({"completion": "a"}, [("prompt", "field_missing")]),
        ({"prompt": "q", "completion": ""}, [("completion", "field_empty")]),
        ({"prompt": {}, "completion": "a"}, [("prompt", "field_type")]),
        ({"prompt": [1], "completion": "a"}, [("prompt[0]", "message_type")]),
        ("text", [("", "row_not_object")]),
    ],
)
def test_everything_wrong_is_told(value: Any, told: list[tuple[str, str]]) -> None:
    assert codes(value) == told


@pytest.mark.parametrize("key", ["label", "kto_tag"])
def test_completions_that_are_rated_are_not_all_trained(key: str) -> None:
    row = {"prompt": "q", "completion": "a", key: False}
    assert codes(row) == [(key, "rated_completion")]


def test_other_columns_are_named() -> None:
    row = parse_row({"question": "q", "answer": "a", "source": "s"}, file="f", line=1)
    assert row.ignored == ("source",)
