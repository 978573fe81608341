"""The rules of a conversation, held against mistral-common's own validators."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion

from modiste.prepare.conversation import (
    CallIds,
    Rules,
    Use,
    _all_violations,
    is_plain,
    normalised_json,
    schema_problem,
    violations,
)
from modiste.prepare.render_mistral import _rules
from modiste.types import Message, Role, ToolCall

IDS = st.sampled_from(["abcdefghi", "123456789", "call_1", "null", "", None])
CALL = st.builds(ToolCall, IDS, st.sampled_from(["f", "bad name", ""]), st.just("{}"))
CALLS = st.lists(CALL, min_size=1, max_size=2).map(tuple)
ASKED = st.builds(Message, st.sampled_from([Role.SYSTEM, Role.USER]), st.sampled_from(["x", ""]))
RESULT = st.builds(
    Message,
    st.just(Role.TOOL),
    st.just("r"),
    tool_call_id=IDS,
    name=st.sampled_from([None, None, "f", "bad name"]),
)


def _answers(use: Use) -> st.SearchStrategy[Message]:
    """Weights mean nothing in serving; an answer of nothing is refused on purpose."""
    weights = st.sampled_from([None, None, 0, 1, 2] if use is Use.TRAINING else [None])
    prefix = st.sampled_from([False, False, False, True])
    role = st.just(Role.ASSISTANT)
    text = st.builds(Message, role, st.just("x"), weight=weights, prefix=prefix)
    calls = st.builds(
        Message,
        role,
        st.sampled_from(["x", "", None]),
        tool_calls=CALLS,
        weight=weights,
        prefix=prefix,
    )
    return text | calls


def _messages(use: Use) -> st.SearchStrategy[list[Message]]:
    rest = st.lists(ASKED | _answers(use) | RESULT, max_size=5)
    return st.just([]) | st.tuples(ASKED, rest).map(lambda parts: [parts[0], *parts[1]])


@pytest.mark.parametrize("use", list(Use))
@pytest.mark.parametrize("version", ["v3", "v7", "v11", "v13", "v15"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_conversation_is_accepted_exactly_when_mistral_common_accepts_it(
    version, use, data, to_request
):
    messages = data.draw(_messages(use))
    mode = ValidationMode.finetuning if use is Use.TRAINING else ValidationMode.serving
    validator = get_validator(TokenizerVersion(version), mode)
    try:
        validator.validate_request(to_request(messages, model="m"))
        accepted = True
    except MistralCommonException:
        accepted = False

    found = violations(messages, rules=_rules(TokenizerVersion(version)), use=use)

    assert (found == []) == accepted, found


def test_every_violation_is_found_and_names_its_field():
    messages = [
        Message(Role.USER, None),
        Message(Role.TOOL, "r", tool_call_id="x"),
        Message(Role.ASSISTANT, tool_calls=(ToolCall("y", "no good", "{}"),), weight=3),
    ]

    found = violations(messages, rules=Rules(call_ids=CallIds.SHORT), use=Use.TRAINING)

    assert [(v.path, v.code) for v in found] == [
        ("messages[1].role", "role_order"),
        ("messages[0].tool_calls", "tool_results_missing"),
        ("messages[0].content", "content_missing"),
        ("messages[1].tool_call_id", "tool_call_id"),
        ("messages[2].weight", "weight_invalid"),
        ("messages[2].tool_calls[0].id", "tool_call_id"),
        ("messages[2].tool_calls[0].function.name", "function_name"),
    ]


def test_a_format_without_tools_refuses_definitions_calls_and_results():
    messages = [
        Message(Role.USER, "q"),
        Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "f", "{}"),)),
        Message(Role.TOOL, "r", tool_call_id="a"),
        Message(Role.ASSISTANT, "done"),
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]

    found = violations(messages, tools=tools, rules=Rules(tools=False), use=Use.TRAINING)

    assert {v.code for v in found} == {"tools_unsupported"}
    assert [v.path for v in found] == ["messages[1].tool_calls", "messages[2].role", "tools"]


def test_mistral_v2_takes_one_result_per_call():
    messages = [
        Message(Role.USER, "q"),
        Message(Role.ASSISTANT, tool_calls=(ToolCall(None, "f", "{}"), ToolCall(None, "f", "{}"))),
        Message(Role.TOOL, "r"),
        Message(Role.TOOL, "r"),
        Message(Role.ASSISTANT, "done"),
    ]

    found = violations(messages, rules=_rules(TokenizerVersion.v2), use=Use.TRAINING)

    assert [v.code for v in found] == ["tool_results_extra"]


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ({}, "tool_invalid"),
        ({"name": 3}, "tool_invalid"),
        ({"name": "with space"}, "function_name"),
        ({"name": "f", "parameters": "nonsense"}, "tool_schema_invalid"),
        ({"name": "f", "parameters": {"type": "no such type"}}, "tool_schema_invalid"),
    ],
)
def test_a_tool_definition_is_checked(function, code):
    messages = [Message(Role.USER, "q")]
    tools = [{"type": "function", "function": function}]

    assert [v.code for v in violations(messages, tools=tools, rules=Rules(), use=Use.SERVING)] == [
        code
    ]


def test_a_schema_may_be_absent_but_not_endless():
    endless: dict[str, object] = {}
    for _ in range(5_000):
        endless = {"properties": endless}

    assert schema_problem(None) is None
    assert schema_problem({"type": "object", "properties": {}}) is None
    assert "nested deeper" in (schema_problem(endless) or "")


def test_json_is_written_one_way_and_other_text_stays():
    assert normalised_json('{"a":1,  "é":[1.50]}') == '{"a": 1, "é": [1.5]}'
    assert normalised_json("on its way") == "on its way"
    assert normalised_json("") == normalised_json(None) == "{}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5_000, "integer string conversion"),
        ('"\\ud800"', "surrogate"),
    ],
)
def test_json_that_no_parser_finishes_is_a_violation_not_a_crash(text, said):
    with pytest.raises(ValueError, match=said):
        normalised_json(text)
    messages = [
        Message(Role.USER, "q"),
        Message(Role.ASSISTANT, tool_calls=(ToolCall(None, "f", text),)),
    ]

    found = violations(messages, rules=Rules(), use=Use.TRAINING)

    assert [v.code for v in found] == ["arguments_unreadable"]


TEXTS = st.sampled_from(["x", "é", "", None, "\ud800"])
ANY = st.lists(
    st.builds(
        Message,
        st.sampled_from(Role),
        TEXTS,
        tool_calls=st.sampled_from([(), (), (ToolCall("a", "f", "{}"),)]),
        tool_call_id=st.sampled_from([None, None, "a"]),
        name=st.sampled_from([None, None, "f"]),
        weight=st.sampled_from([None, 0, 1, 2]),
        prefix=st.sampled_from([False, False, True]),
    ),
    max_size=6,
)


@given(ANY | st.lists(st.builds(Message, st.sampled_from(Role), st.just("x")), max_size=6))
def test_what_is_soon_seen_to_be_fine_breaks_no_rule(messages):
    for use in Use:
        if is_plain(messages, use):
            for rules in (Rules(), Rules(tools=False, results_name_their_call=True)):
                assert _all_violations(messages, tools=(), rules=rules, use=use) == []


def test_odd_patterns_of_a_schema_are_not_remarked_on_by_python(recwarn):
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "[[odd]"}}}

    assert schema_problem(schema) is None
    assert not recwarn.list
