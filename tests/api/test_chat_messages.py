"""Messages in either vendor's shape become our own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from modiste.api.chat_messages import AnyMessage, message_of
from modiste.types import Message, Role, ToolCall

READ: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)
CALL = {"id": "abcdefghi", "function": {"name": "f", "arguments": {"a": 1}}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"role": "developer", "content": "be brief"}, Message(Role.SYSTEM, "be brief")),
        ({"role": "user", "content": None}, Message(Role.USER, "")),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            Message(Role.USER, "ab"),
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            Message(Role.ASSISTANT, tool_calls=(ToolCall("abcdefghi", "f", '{"a":1}'),)),
        ),
        (
            {"role": "tool", "content": "42", "tool_call_id": "abcdefghi", "name": "f"},
            Message(Role.TOOL, "42", tool_call_id="abcdefghi", name="f"),
        ),
        (
            {"role": "assistant", "content": "It", "reasoning_content": "so"},
            Message(Role.ASSISTANT, "It", thought="so"),
        ),
        (
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "so"}]},
                    {"type": "text", "text": "It"},
                ],
            },
            Message(Role.ASSISTANT, "It", thought="so"),
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "so", "closed": True}],
                "tool_calls": [CALL],
            },
            Message(
                Role.ASSISTANT, tool_calls=(ToolCall("abcdefghi", "f", '{"a":1}'),), thought="so"
            ),
        ),
        (
            {"role": "assistant", "content": "It", "prefix": True},
            Message(Role.ASSISTANT, "It", prefix=True),
        ),
    ],
)
def test_every_kind_of_message_is_read(given: dict[str, Any], message: Message) -> None:
    assert message_of(READ.validate_python(given)) == message


@pytest.mark.parametrize(
    "given",
    [
        {"role": "tool"},
        {"role": "robot", "content": "x"},
        {"role": "user", "content": [{"type": "image_url", "image_url": "x"}]},
        {"role": "assistant", "audio": {"id": "x"}},
        {"role": "assistant", "tool_calls": [{"id": "x"}]},
    ],
)
def test_what_is_not_read_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(given)
