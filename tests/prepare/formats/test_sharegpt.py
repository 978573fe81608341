"""ShareGPT conversations, calls and results included."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from modiste.prepare.formats.row import Row
from modiste.prepare.formats.sharegpt import parse_row
from modiste.types import Example, Role

ASK = {"from": "human", "value": "q"}
ANSWER = {"from": "gpt", "value": "a"}
CALL = {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'}
RESULT = {"from": "observation", "value": '{"y": 2}'}


def read(turns: Any, **more: Any) -> Row:
    return parse_row({"conversations": turns, **more}, file="f", line=1)


def parsed(turns: Any, **more: Any) -> Example:
    row = read(turns, **more)
    assert row.problems == ()
    assert row.example is not None
    return row.example


def codes(turns: Any, **more: Any) -> list[tuple[str, str]]:
    row = read(turns, **more)
    assert row.example is None
    return [(problem.path, problem.code) for problem in row.problems]


def test_turns_are_messages() -> None:
    example = parsed([{"from": "system", "value": "s"}, ASK, ANSWER])
    assert [(str(m.role), m.content) for m in example.messages] == [
        ("system", "s"),
        ("user", "q"),
        ("assistant", "a"),
    ]


def test_a_system_prompt_stands_beside_the_turns() -> None:
    assert parsed([ASK, ANSWER], system="s").messages[0].role is Role.SYSTEM
    assert len(parsed([ASK, ANSWER], system="").messages) == 2


@pytest.mark.parametrize("name", ["gpt", "GPT", " assistant ", "chatgpt", "bing", "bard"])
def test_the_assistant_has_many_names(name: str) -> None:
    assert parsed([ASK, {"from": name, "value": "a"}]).messages[1].role is Role.ASSISTANT


def test_turns_may_be_named_as_the_api_names_them() -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert [m.content for m in parsed(turns).messages] == ["q", "a"]


def test_calls_and_results_are_joined_by_ids_of_the_row_alone() -> None:
    example = parsed([ASK, CALL, RESULT, ANSWER])
    [call] = example.messages[1].tool_calls
    result = example.messages[2]
    assert (call.name, json.loads(call.arguments)) == ("f", {"x": 1})
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", call.id or "")
    assert (result.tool_call_id, result.name, result.content) == (call.id, "f", '{"y": 2}')
    assert parsed([ASK, CALL, RESULT, ANSWER]) == example


def test_equal_calls_of_one_conversation_have_ids_of_their_own() -> None:
    example = parsed([ASK, CALL, RESULT, ANSWER, ASK, CALL, RESULT, ANSWER])
    assert example.messages[1].tool_calls[0].id != example.messages[5].tool_calls[0].id


def test_several_calls_at_once_are_answered_in_order() -> None:
    calls = [{"name": n, "arguments": {}} for n in ("f", "g")]
    turn = {"from": "function_call", "value": json.dumps(calls)}
    example = parsed([ASK, turn, RESULT, RESULT, ANSWER])
    asked = [call.id for call in example.messages[1].tool_calls]
    assert [m.tool_call_id for m in example.messages[2:4]] == asked


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_tools_come_as_text_or_as_a_list(as_text: bool, wrapped: bool) -> None:
    function = {"name": "f", "description": "d", "parameters": {}}
    tools: Any = [{"type": "function", "function": function} if wrapped else function]
    example = parsed([ASK, ANSWER], tools=json.dumps(tools) if as_text else tools)
    assert example.tools == ({"type": "function", "function": function},)


@pytest.mark.parametrize("tools", ["[]", "", None, []])
def test_no_tools_are_no_tools(tools: Any) -> None:
    assert parsed([ASK, ANSWER], tools=tools).tools == ()


@pytest.mark.parametrize(("key", "value"), [("weight", 0), ("train", False), ("loss", False)])
def test_a_turn_may_be_left_out_of_training(key: str, value: Any) -> None:
    assert parsed([ASK, {**ANSWER, key: value}]).messages[1].weight == 0


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ("q", [("conversations", "messages_type")]),
        (["q"], [("conversations[0]", "message_type")]),
        ([{"value": "q"}, ANSWER], [("conversations[0].from", "role_missing")]),
        ([{"from": "narrator", "value": "q"}], [("conversations[0].from", "role_unknown")]),
        ([{"from": [], "value": "q"}], [("conversations[0].from", "role_unknown")]),
        ([{"from": "human", "value": 5}], [("conversations[0].value", "content_type")]),
        ([{**CALL, "value": "{"}], [("conversations[0].value", "arguments_not_json")]),
        ([{**CALL, "value": "[1]"}], [("conversations[0].value", "tool_call_invalid")]),
        ([ASK, {**ANSWER, "weight": 2}], [("conversations[1].weight", "weight_invalid")]),
    ],
)
def test_everything_wrong_is_told(turns: Any, told: list[tuple[str, str]]) -> None:
    assert codes(turns) == told


def test_what_stands_beside_the_turns_is_told_too() -> None:
    assert codes([ASK, ANSWER], tools="{") == [("tools", "tools_type")]
    assert codes([ASK, ANSWER], system=1) == [("system", "field_type")]
    system = {"from": "system", "value": "t"}
    assert codes([system, ASK, ANSWER], system="s") == [("system", "keys_conflict")]


def test_a_call_may_be_left_out_of_training_too() -> None:
    assert parsed([ASK, {**CALL, "weight": 0}, RESULT, ANSWER]).messages[1].weight == 0


def test_a_weight_of_a_turn_that_is_never_trained_is_named_as_left_out() -> None:
    assert read([{**ASK, "weight": 0}, ANSWER]).ignored == ("conversations[].weight",)


def test_keys_of_turns_that_are_not_read_are_named() -> None:
    assert read([ASK, {**ANSWER, "score": 1}], id=3).ignored == ("conversations[].score", "id")
