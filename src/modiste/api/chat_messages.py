"""The messages of a chat request, in either vendor's shape, as our own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from modiste.api.door import Body
from modiste.types import Message, Role, ToolCall


class TextChunk(Body):
    type: Literal["text"]
    text: str


Content = str | list[TextChunk]


class ThinkChunk(Body):
    """What the assistant thought, as Mistral's clients send it back."""

    type: Literal["thinking"]
    thinking: Content
    closed: bool | None = None
    signature: str | None = None


AnyChunk = Annotated[TextChunk | ThinkChunk, Field(discriminator="type")]


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: Content
    name: str | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: Content | None = None
    name: str | None = None


class CalledFunction(Body):
    name: str
    arguments: str | dict[str, Any]


class Call(Body):
    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class AssistantMessage(Body):
    """As it was answered, so that an answer can be sent back: what is always null may be there."""

    role: Literal["assistant"]
    content: str | list[AnyChunk] | None = None
    reasoning_content: str | None = None
    """What it thought, as OpenAI-like clients send it back."""
    tool_calls: list[Call] | None = None
    prefix: bool = False
    name: str | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: list[Any] | None = None


class ToolMessage(Body):
    role: Literal["tool"]
    content: Content
    tool_call_id: str | None = None
    name: str | None = None


AnyMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


def message_of(message: AnyMessage) -> Message:
    match message:
        case AssistantMessage():
            chunks = message.content if isinstance(message.content, list) else []
            thoughts = [_text(c.thinking) for c in chunks if isinstance(c, ThinkChunk)]
            texts = [chunk for chunk in chunks if isinstance(chunk, TextChunk)]
            return Message(
                role=Role.ASSISTANT,
                content=message.content if isinstance(message.content, str) else _said(texts),
                thought=message.reasoning_content or "".join(thoughts) or None,
                tool_calls=tuple(_tool_call(call) for call in message.tool_calls or ()),
                prefix=message.prefix,
            )
        case ToolMessage():
            return Message(
                role=Role.TOOL,
                content=_text(message.content),
                tool_call_id=message.tool_call_id,
                name=message.name,
            )
        case SystemMessage():
            return Message(role=Role.SYSTEM, content=_text(message.content))
        case UserMessage():
            return Message(role=Role.USER, content=_text(message.content or ""))


def _said(chunks: list[TextChunk]) -> str | None:
    return _text(chunks) if chunks else None


def _text(content: Content) -> str:
    return content if isinstance(content, str) else "".join(chunk.text for chunk in content)


def _tool_call(call: Call) -> ToolCall:
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return ToolCall(id=call.id, name=call.function.name, arguments=text)
