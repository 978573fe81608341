from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.formats.chat import parse_row, sample_type_of, text_of
from modiste.types import Message, Role, SampleType, ToolCall

ASK = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def parsed(value):
    row = parse_row(value, file="train.jsonl", line=41)
    assert row.problems == ()
    return row.example


def codes(value):
    row = parse_row(value, file="train.jsonl", line=41)
    assert row.example is None
    return [(problem.path, problem.code) for problem in row.problems]


def test_a_chat_row_becomes_an_example():
    example = parsed(
        {"messages": [{"role": "system", "content": "s"}, ASK, ANSWER | {"weight": 0}]}
    )

    assert (example.line, example.sample_type) == (41, SampleType.INSTRUCT)
    assert example.messages == (
        Message(Role.SYSTEM, "s"),
        Message(Role.USER, "q"),
        Message(Role.ASSISTANT, "a", weight=0),
    )


def test_the_names_of_mistral_finetune_are_understood():
    example = parsed(
        {
            "interactions": [{"role": "user", "text": "q"}, {"role": "assistant", "text": "a"}],
            "system_prompt": "s",
            "available_tools": [{"function": {"name": "f"}}],
        }
    )

    assert [m.content for m in example.messages] == ["s", "q", "a"]
    assert example.tools == ({"type": "function", "function": {"name": "f"}},)


def test_only_last_masks_every_earlier_answer():
    example = parsed({"messages": [ASK, ANSWER, ASK, ANSWER], "only_last": True})

    assert [m.weight for m in example.messages] == [None, 0, None, None]


def test_tool_calls_and_results_are_read():
    example = parsed(
        {
            "messages": [
                ASK,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "content": "r", "tool_call_id": "abcdefghi", "name": "f"},
                ANSWER,
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        }
    )

    assert example.messages[1].tool_calls == (ToolCall("abcdefghi", "f", "{}"),)
    assert example.messages[2] == Message(Role.TOOL, "r", tool_call_id="abcdefghi", name="f")


def test_arguments_given_as_an_object_are_written_as_json():
    call = {"function": {"name": "f", "arguments": {"é": [1, 2.5]}}}
    example = parsed({"messages": [ASK, {"role": "assistant", "tool_calls": [call]}]})

    assert json.loads(example.messages[1].tool_calls[0].arguments) == {"é": [1, 2.5]}


def test_text_parts_are_joined_as_mistral_common_joins_them():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert parsed({"messages": [{"role": "user", "content": parts}, ANSWER]}).messages[
        0
    ].content == ("a\n\nb")


def test_the_developer_role_of_openai_is_the_system():
    example = parsed({"messages": [{"role": "developer", "content": "s"}, ASK, ANSWER]})

    assert example.messages[0].role is Role.SYSTEM


@pytest.mark.parametrize("key", ["text", "content"])
def test_plain_text_is_a_row_of_its_own_kind(key):
    example = parsed({key: "words"})

    assert (example.sample_type, example.text) == (SampleType.PRETRAIN, "words")


def test_keys_that_are_not_read_are_named():
    row = parse_row(
        {
            "prompt_id": 7,
            "messages": [ASK | {"weight": 1, "name": "Ann"}, ANSWER | {"reasoning_content": "hm"}],
        },
        file="f",
        line=1,
    )

    assert row.ignored == (
        "messages[].weight",
        "messages[].name",
        "messages[].reasoning_content",
        "prompt_id",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1], [("", "row_not_object")]),
        ("text", [("", "row_not_object")]),
        (None, [("", "row_not_object")]),
        ({}, [("", "format_unknown")]),
        ({"conversations": []}, [("", "format_unknown")]),
        ({"text": 3}, [("text", "text_type")]),
        ({"text": ""}, [("text", "text_empty")]),
        ({"text": "a", "content": "b"}, [("", "keys_conflict")]),
        ({"text": "a", "labels": {"x": "y"}}, [("labels", "classification_row")]),
        ({"messages": None}, [("messages", "messages_type")]),
        ({"messages": "hi"}, [("messages", "messages_type")]),
        ({"messages": [ASK], "interactions": [ASK]}, [("", "keys_conflict")]),
        ({"messages": [ASK], "tools": {}}, [("tools", "tools_type")]),
        ({"messages": [ASK], "tools": [{"type": "web"}]}, [("tools[0]", "tool_invalid")]),
        ({"messages": [ASK], "functions": []}, [("functions", "deprecated_key")]),
        ({"messages": ["hi"]}, [("messages[0]", "message_type")]),
        ({"messages": [{"content": "x"}]}, [("messages[0].role", "role_missing")]),
        ({"messages": [{"role": "bot"}]}, [("messages[0].role", "role_unknown")]),
        ({"messages": [{"role": ["user"]}]}, [("messages[0].role", "role_unknown")]),
        ({"messages": [ASK | {"text": "x"}]}, [("messages[0]", "keys_conflict")]),
        ({"messages": [ASK | {"content": 3}]}, [("messages[0].content", "content_type")]),
        (
            {"messages": [ASK | {"content": [{"type": "image_url"}]}]},
            [("messages[0].content[0]", "content_type")],
        ),
        ({"messages": [ANSWER | {"weight": 0.5}]}, [("messages[0].weight", "weight_invalid")]),
        ({"messages": [ANSWER | {"weight": True}]}, [("messages[0].weight", "weight_invalid")]),
        (
            {"messages": [{"role": "assistant", "tool_calls": {}}]},
            [("messages[0].tool_calls", "tool_call_invalid")],
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]},
            [("messages[0].tool_calls[0]", "tool_call_invalid")],
        ),
        (
            {"messages": [{"role": "assistant", "function_call": {}}]},
            [("messages[0].function_call", "deprecated_key")],
        ),
        (
            {"messages": [ASK], "system_prompt": 3},
            [("system_prompt", "content_type")],
        ),
        (
            {"messages": [{"role": "system", "content": "s"}], "system_prompt": "s"},
            [("system_prompt", "keys_conflict")],
        ),
    ],
)
def test_a_row_that_cannot_be_read_says_where(value, expected):
    assert codes(value) == expected


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("not json", "arguments_not_json"),
        ("[1]", "arguments_not_object"),
        (7, "arguments_type"),
        (None, "arguments_type"),
    ],
)
def test_arguments_must_be_a_json_object(arguments, code):
    call = {"function": {"name": "f", "arguments": arguments}}

    found = codes({"messages": [{"role": "assistant", "tool_calls": [call]}]})

    assert found == [("messages[0].tool_calls[0].function.arguments", code)]


def test_all_problems_of_a_row_are_told_at_once():
    row = parse_row(
        {"messages": [{"role": "bot"}, {"role": "user", "content": 3}, {"content": "x"}]},
        file="train.jsonl",
        line=41,
    )

    assert str(row.problems[0]) == (
        "train.jsonl line 41: messages[0].role is 'bot', expected system, user, assistant or tool"
    )
    assert len(row.problems) == 3


def test_other_formats_are_recognised_in_the_hint():
    row = parse_row({"conversations": [{"from": "human"}]}, file="f", line=1)

    assert "ShareGPT" in row.problems[0].hint


KEYS = ["messages", "text", "tools", "system_prompt", "labels", "role", "content"]
KEYS += ["tool_calls", "tool_call_id", "function", "name", "arguments", "weight", "type", "id"]
ROLES = ["user", "assistant", "tool", "system", "function"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner | st.sampled_from(ROLES), max_size=5)
    ),
    max_leaves=30,
)


@given(JSON)
def test_any_json_is_an_example_or_problems_and_never_both_or_neither(value):
    row = parse_row(value, file="f", line=1)

    assert (row.example is None) == bool(row.problems)


def test_the_kind_of_a_row_shows_in_its_keys():
    assert sample_type_of({"messages": []}) is SampleType.INSTRUCT
    assert sample_type_of({"interactions": []}) is SampleType.INSTRUCT
    assert sample_type_of({"text": 1}) is SampleType.PRETRAIN
    assert sample_type_of([]) is sample_type_of({}) is None


def test_parts_without_text_say_what_they_are():
    assert text_of([{"type": "text"}]).problem == "is a text part without text"
    assert text_of({"type": "text"}).problem == (
        "is an object, expected a string or a list of text parts"
    )
