"""Rows of any columns, by templates."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.formats.columns import Columns, parse_row
from modiste.types import Example, SampleType


def parsed(value: Any, *templates: str) -> Example:
    row = parse_row(value, file="f", line=1, columns=Columns.parse(templates))
    assert row.problems == ()
    assert row.example is not None
    return row.example


def codes(value: Any, *templates: str) -> list[tuple[str, str]]:
    row = parse_row(value, file="f", line=1, columns=Columns.parse(templates))
    assert row.example is None
    return [(problem.path, problem.code) for problem in row.problems]


def test_templates_become_messages_in_their_order() -> None:
    example = parsed(
        {"context": "C", "question": "Q", "answer": "A"},
        "system=Be brief.",
        "user={context}\\n\\n{question}",
        "assistant={answer}",
        "user=Sure?",
        "assistant=Yes.",
    )
    assert [(str(m.role), m.content) for m in example.messages] == [
        ("system", "Be brief."),
        ("user", "C\n\nQ"),
        ("assistant", "A"),
        ("user", "Sure?"),
        ("assistant", "Yes."),
    ]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{a}", "x"),
        ("{a b}", "y"),
        ("{c.d}", "z"),
        ("{e[1]}", "2"),
        ("{e!j} {c!j} {a!j}", '[1, 2] {"d": "z"} "x"'),
        ("{n}", "1.5"),
        ("{{a}} is {a}", "{a} is x"),
        ("a\\tb\\\\n", "a\tb\\n"),
    ],
)
def test_templates_reach_what_a_row_holds(template: str, text: str) -> None:
    row = {"a": "x", "a b": "y", "c": {"d": "z"}, "e": [1, 2], "n": 1.5}
    example = parsed(row, "user=q", f"assistant={template}")
    assert example.messages[1].content == text


def test_an_empty_system_column_leaves_no_message() -> None:
    example = parsed({"s": None, "q": "q"}, "system={s}", "user={q}", "assistant=a")
    assert [str(m.role) for m in example.messages] == ["user", "assistant"]


def test_text_and_labels_make_their_kinds_of_rows() -> None:
    assert parsed({"body": "t"}, "text={body}").sample_type is SampleType.PRETRAIN
    labelled = parsed({"body": "t", "kind": 3}, "text={body}", "label={kind}")
    assert (labelled.text, labelled.labels) == ("t", {"label": ("3",)})
    chat = parsed({"body": "t", "kind": "k"}, "user={body}", "label={kind}")
    assert chat.sample_type is SampleType.CLASSIFIER
    assert chat.messages[0].content == "t"


def test_a_column_that_is_missing_names_the_nearest() -> None:
    row = parse_row(
        {"question": "q"},
        file="f",
        line=1,
        columns=Columns.parse(["user={qestion}", "assistant=a"]),
    )
    assert [p.code for p in row.problems] == ["column_missing"]
    assert row.problems[0].hint == "did you mean question?"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], [("", "row_not_object")]),
        ({"q": "q", "a": ""}, [("a", "field_empty")]),
        ({"q": "q", "a": None}, [("a", "field_empty")]),
        ({}, [("q", "column_missing"), ("a", "column_missing")]),
    ],
)
def test_everything_wrong_is_told(value: Any, told: list[tuple[str, str]]) -> None:
    assert codes(value, "user={q}", "assistant={a}") == told


@pytest.mark.parametrize(
    ("template", "code", "message", "hint"),
    [
        ("{e}", "column_not_text", "e is a list, expected a text", "{e[0]} for its first value"),
        ("{c}", "column_not_text", "c is an object, expected a text", "{c.name} for one of its"),
        ("{c.more}", "column_not_text", "c.more is a list, expected a text", "{c.more!j} for all"),
        ("{e[3]}", "column_missing", "e has no [3]: it is a list of 1 value", "counted from 0"),
        ("{e.x}", "column_missing", "e has no [x]: it is a list of 1 value", "write {e[0]}"),
        ("{c.nam}", "column_missing", "c has no nam", "did you mean name?"),
        ("{c.xyz}", "column_missing", "c has no xyz", "c has 'name', 'more'"),
        ("{a[0]}", "column_missing", "a is a string: there is no 0 in it", "write {a}"),
        ("{none.x}", "column_missing", "none is null: there is no x in it", "write {none}"),
    ],
)
def test_what_is_no_text_names_line_column_and_what_to_write(
    template: str, code: str, message: str, hint: str
) -> None:
    value = {"a": "x", "e": ["brave"], "c": {"name": "n", "more": []}, "none": None}
    columns = Columns.parse([f"user={template}", "assistant={a}"])
    (problem,) = parse_row(value, file="f", line=7, columns=columns).problems

    assert (problem.line, problem.path) == (7, template.strip("{}"))
    assert (problem.code, problem.message) == (code, message)
    assert hint in (problem.hint or "")


def test_columns_that_no_template_reads_are_named() -> None:
    columns = Columns.parse(["user={q}", "assistant={a.b[0]}"])
    row = parse_row({"q": "q", "a": {"b": ["x"]}, "id": 1}, file="f", line=1, columns=columns)
    assert row.ignored == ("id",)


@pytest.mark.parametrize(
    ("templates", "why"),
    [
        ([], "no template"),
        (["{q}"], "does not begin with one of"),
        (["bot={q}"], "does not begin with one of"),
        (["user={q"], "write {{ for a brace"),
        (["user={}", "assistant={a}"], "the name of a column"),
        (["user={q!r}", "assistant={a:>9}"], "the name of a column"),
        (["user={q!j:>9}", "assistant=a"], "with !j for JSON"),
        (["user={q}"], "no assistant"),
        (["text={q}", "text={q}"], "given twice"),
        (["text={q}", "assistant={a}"], "exclude each other"),
        (["label={q}"], "that it labels"),
    ],
)
def test_templates_that_make_no_row_are_refused(templates: list[str], why: str) -> None:
    with pytest.raises(InvalidInput) as told:
        Columns.parse(templates)
    assert why in told.value.message
