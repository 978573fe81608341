"""What Mistral's encoders are given: one message for each run of a role."""

from __future__ import annotations

import pytest
from mistral_common.tokens.tokenizers.base import TokenizerVersion

from modiste.prepare.mistral_messages import normalise
from modiste.types import Message, Role, ToolCall

SYSTEM, USER, ASSISTANT, TOOL = Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL
V3, V7, V11 = TokenizerVersion.v3, TokenizerVersion.v7, TokenizerVersion.v11


def said(messages, version=V3, *, weighed=True):
    found = normalise(messages, version=version, weighed=weighed)
    return [(str(m.role), m.content) for m in found.messages]


def test_messages_of_one_role_in_a_row_are_joined():
    messages = [Message(USER, "a"), Message(USER, "b"), Message(ASSISTANT, "c")]

    assert said(messages) == [("user", "a\n\nb"), ("assistant", "c")]


def test_answers_of_different_weight_stay_apart_where_weights_count():
    messages = [Message(USER, "a"), Message(ASSISTANT, "b", weight=0), Message(ASSISTANT, "c")]

    assert said(messages)[1:] == [("assistant", "b"), ("assistant", "c")]
    assert said(messages, weighed=False)[1:] == [("assistant", "b\n\nc")]


def test_system_prompts_stand_apart_up_to_v3_and_stay_where_they_are_from_v7():
    messages = [Message(SYSTEM, "s"), Message(USER, "a"), Message(SYSTEM, "t"), Message(USER, "b")]

    old = normalise(messages, version=V3, weighed=True)
    assert old.system_prompt == "s\n\nt"
    assert (old.first_user, old.last_user) == (0, 1)
    assert [content for _, content in said(messages, V7)] == ["s", "a", "t", "b"]


def test_a_conversation_that_opens_with_an_answer_is_given_an_empty_question_up_to_v3():
    messages = [Message(ASSISTANT, "hello")]

    assert said(messages) == [("user", ""), ("assistant", "hello")]
    assert said(messages, V7) == [("assistant", "hello")]


def test_results_come_in_the_order_of_their_calls_from_v11():
    calls = (ToolCall("one", "f", '{"a":  1}'), ToolCall("two", "f", ""))
    messages = [
        Message(ASSISTANT, tool_calls=calls),
        Message(TOOL, "2", tool_call_id="two"),
        Message(TOOL, "1", tool_call_id="one"),
    ]

    found = normalise(messages, version=V11, weighed=True).messages
    assert [m.tool_call_id for m in found[1:]] == ["one", "two"]
    assert [call.arguments for call in found[0].tool_calls] == ['{"a": 1}', "{}"]


def test_arguments_that_no_parser_follows_are_refused():
    call = ToolCall("one", "f", "[" * 100_000)

    with pytest.raises(ValueError, match="nested too deeply"):
        normalise([Message(ASSISTANT, tool_calls=(call,))], version=V7, weighed=True)
