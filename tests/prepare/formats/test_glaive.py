"""Glaive's function-calling rows, whose chat is one string."""

from __future__ import annotations

import json

from modiste.prepare.formats.glaive import is_glaive, parse_row
from modiste.types import Role

FUNCTION = {
    "name": "convert_currency",
    "description": "Convert",
    "parameters": {"type": "object", "properties": {"amount": {"type": "number"}}},
}
SYSTEM = (
    "SYSTEM: You are a helpful assistant with access to the following functions. "
    "Use them if required -\n" + json.dumps(FUNCTION, indent=4) + "\n"
)
CHAT = (
    "USER: Convert 500 dollars, it's urgent.\n\n\n"
    'ASSISTANT: <functioncall> {"name": "convert_currency", "arguments": '
    "'{\n  \"amount\": 500\n}'} <|endoftext|>\n\n\n"
    'FUNCTION RESPONSE: {"amount": 450}\n\n\n'
    "ASSISTANT: 450 euros. <|endoftext|>\n\n\n"
)
"""In the shape of glaive-function-calling-v2, quotes around the arguments included."""


def test_functions_become_tools_and_the_chat_messages() -> None:
    row = parse_row({"system": SYSTEM, "chat": CHAT}, file="f", line=1)
    assert row.problems == ()
    assert row.example is not None
    system, ask, call, result, answer = row.example.messages
    assert row.example.tools == ({"type": "function", "function": FUNCTION},)
    assert system.content == ("You are a helpful assistant with access to the following functions.")
    assert ask.content == "Convert 500 dollars, it's urgent."
    assert json.loads(call.tool_calls[0].arguments) == {"amount": 500}
    assert (result.role, result.content) == (Role.TOOL, '{"amount": 450}')
    assert result.tool_call_id == call.tool_calls[0].id
    assert answer.content == "450 euros."


def test_braces_that_are_no_function_stay_text() -> None:
    row = parse_row({"system": "SYSTEM: Use {braces}.", "chat": CHAT}, file="f", line=1)
    assert row.example is not None
    assert row.example.messages[0].content == "Use {braces}."
    assert row.example.tools == ()


def test_a_call_that_is_no_json_is_told() -> None:
    chat = "USER: q\n\n\nASSISTANT: <functioncall> {broken <|endoftext|>"
    row = parse_row({"system": "", "chat": chat}, file="f", line=1)
    assert [problem.code for problem in row.problems] == ["arguments_not_json"]


def test_a_chat_that_nobody_begins_is_told() -> None:
    row = parse_row({"system": "", "chat": "Hello"}, file="f", line=1)
    assert [problem.code for problem in row.problems] == ["chat_unreadable"]


def test_only_rows_of_two_texts_are_glaive() -> None:
    assert is_glaive({"system": "", "chat": ""})
    assert not is_glaive({"system": "", "conversations": []})
    assert not is_glaive([])
