from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.checks import tools as module
from modiste.prepare.checks.tools import breaches, findings
from modiste.types import Example, Message, Role, SampleType, Severity, ToolCall

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "pattern": "^[A-Z]"},
        "days": {"type": "integer", "maximum": 10},
        "unit": {"enum": ["C", "F"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str = "weather", parameters: Any = WEATHER) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def row(*messages: Message, tools: tuple[Any, ...] = (tool(),)) -> Example:
    return Example(1, SampleType.INSTRUCT, (Message(Role.USER, "q"), *messages), tools=tools)


def calls(arguments: Any, name: str = "weather", id: str | None = "a") -> Message:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Message(Role.ASSISTANT, tool_calls=(ToolCall(id, name, text),))


def told(example: Example):
    return [(f.path.removeprefix("messages"), f.code) for f in findings(example)]


def test_a_call_that_its_tool_would_take_is_fine():
    assert told(row(calls({"city": "Bonn", "days": 3, "unit": "C"}))) == []
    assert told(row(Message(Role.ASSISTANT, "no call"))) == []


@pytest.mark.parametrize(
    ("arguments", "at", "said"),
    [
        ({}, "", "required but absent: 'city'"),
        ({"city": 7}, ".city", "7 is a number, expected 'string'"),
        ({"city": "Bonn", "days": "3"}, ".days", "'3' is a string, expected 'integer'"),
        ({"city": "Bonn", "days": 11}, ".days", "11 breaks maximum: 10"),
        ({"city": "Bonn", "unit": "K"}, ".unit", "'K' is not one of ['C', 'F']"),
        ({"city": "Bonn", "when": 1}, "", "not a parameter of the tool: 'when'"),
        ({"city": "bonn"}, ".city", "'bonn' breaks pattern: '^[A-Z]'"),
    ],
)
def test_arguments_that_break_the_schema_are_told_with_their_place(arguments, at, said):
    (found,) = findings(row(calls(arguments)))

    assert found.code == "arguments_break_schema"
    assert found.path == f"messages[1].tool_calls[0].function.arguments{at}"
    assert found.message == f"{found.path}: {said}"


def test_every_breach_of_a_call_is_told():
    (found, other) = findings(row(calls({"city": 1, "days": "x"})))

    assert {found.path.rpartition(".")[2], other.path.rpartition(".")[2]} == {"city", "days"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("{'city': 1}", "arguments_not_json"), ("[1]", "arguments_not_object")],
)
def test_arguments_are_a_json_object(arguments, code):
    assert told(row(calls(arguments))) == [("[1].tool_calls[0].function.arguments", code)]


def test_a_tool_the_row_does_not_list_is_unknown():
    (found,) = findings(row(calls({}, name="wether")))

    assert (found.code, found.value) == ("tool_unknown", "wether")
    assert "the row's tools are 'weather'" in found.message


def test_a_row_that_lists_no_tools_may_call_any():
    assert told(row(calls({}), tools=())) == []


def test_a_tool_listed_twice_is_a_warning():
    (found,) = findings(row(Message(Role.ASSISTANT, "x"), tools=(tool(), tool())))

    assert (found.path, found.code) == ("tools[1].function.name", "tool_repeated")
    assert found.severity is Severity.WARNING


def test_a_result_must_answer_a_call():
    good = Message(Role.TOOL, "sun", tool_call_id="a")
    lost = Message(Role.TOOL, "sun", tool_call_id="b")

    assert told(row(calls({"city": "Bonn"}), good)) == []
    assert told(row(calls({"city": "Bonn"}), lost)) == [("[2].tool_call_id", "tool_result_unknown")]
    # Formats without ids leave nothing to hold against each other.
    assert told(row(calls({"city": "Bonn"}, id=None), lost)) == []


def test_calls_of_messages_in_a_row_may_be_answered_together():
    first, second = calls({"city": "Bonn"}, id="a"), calls({"city": "Rome"}, id="b")
    results = [Message(Role.TOOL, "x", tool_call_id=i) for i in "ab"]

    assert told(row(first, second, *results)) == []


def test_a_reference_out_of_the_schema_is_not_followed():
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}

    assert breaches({"a": 1}, schema) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["z"]}] * 9},
        {"properties": {"a": {"pattern": "^(a+)+$"}, "b": {"pattern": "a*a*a*a*a*a*b"}}},
    ],
)
def test_no_schema_takes_for_ever(schema):
    value: Any = {"a": "a" * 40 + "!", "b": "a" * 900}
    for _ in range(40):
        value = {"a": value, "b": "a" * 900}
    started = time.monotonic()

    breaches(value, schema)

    assert time.monotonic() - started < 20


KEYS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "$ref",
        "pattern",
        "anyOf",
        "not",
        "a",
        "$id",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab$#", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(value=st.dictionaries(KEYS, JSON), schema=st.dictionaries(KEYS, JSON))
@settings(deadline=None, max_examples=150)
def test_no_schema_makes_the_check_raise(value, schema):
    assert len(breaches(value, schema)) <= module.SHOWN_BREACHES


def test_two_calls_with_one_id_cannot_be_told_apart():
    call = calls({"city": "Bonn"}).tool_calls[0]

    assert told(row(Message(Role.ASSISTANT, tool_calls=(call, call)))) == [
        ("[1].tool_calls", "tool_call_duplicate")
    ]


def test_an_id_of_null_is_none():
    result = Message(Role.TOOL, "sun", tool_call_id="b")

    assert told(row(calls({"city": "Bonn"}, id="null"), result)) == []
