"""What is said about one row: all of it at once, nothing left out without a word."""

from __future__ import annotations

import pytest

from modiste.prepare.formats.row import Notes, Row, as_object, json_text, text_field, type_name
from modiste.types import Example, SampleType

EXAMPLE = Example(1, SampleType.PRETRAIN, text="t")


def notes() -> Notes:
    return Notes("train.jsonl", 7)


def test_a_row_without_problems_is_its_example_with_what_was_left_out() -> None:
    said = notes()
    said.ignore(["id", "text", "id"], {"text"})
    said.lose("the second answer")
    assert said.answer(EXAMPLE) == Row(EXAMPLE, (), ("id",), ("the second answer",))


def test_a_row_with_a_problem_has_no_example() -> None:
    said = notes()
    said.say("text", "field_empty", "text is empty", "fill it", value="")
    row = said.answer(EXAMPLE)
    assert row.example is None
    [problem] = row.problems
    assert (problem.file, problem.line, problem.path) == ("train.jsonl", 7, "text")
    assert (problem.value, problem.hint) == ("''", "fill it")


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "field_missing"), ([], "field_type"), (True, "field_type"), ("", "field_empty")],
)
def test_a_field_that_is_no_text_is_told(value: object, code: str) -> None:
    said = notes()
    assert text_field({"q": value}, "q", said, empty=False) == ""
    assert [problem.code for problem in said.problems] == [code]


def test_numbers_of_tables_are_text() -> None:
    assert text_field({"answer": 42}, "answer", notes()) == "42"


def test_what_is_no_object_is_told_by_its_kind() -> None:
    said = notes()
    assert as_object([1], said, "hint") is None
    assert said.problems[0].message == "the row is a list, expected an object"
    assert [type_name(v) for v in (None, True, 1.5, "s", {})] == [
        "null",
        "a boolean",
        "a number",
        "a string",
        "an object",
    ]


def test_json_nested_too_deeply_is_told_not_written() -> None:
    deep: list = []
    for _ in range(500):
        deep = [deep]
    said = notes()
    assert json_text(deep, "value", said) == "{}"
    assert said.problems[0].code == "arguments_too_deep"
