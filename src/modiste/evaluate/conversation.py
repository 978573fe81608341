"""Rows that bring their messages with them, in the shape of a chat request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modiste.errors import InvalidInput
from modiste.types import Message, Role, ToolCall

ROLES = tuple(role.value for role in Role)


def messages_of(row: Mapping[str, Any], field: str) -> tuple[Message, ...]:
    """
    Raises:
        InvalidInput: the field is missing or no list of messages.
    """
    said = row.get(field)
    if not isinstance(said, Sequence) or isinstance(said, str) or not said:
        raise InvalidInput(
            f"the row's {field} is {said!r:.60}, expected a list of messages", param="conversation"
        )
    return tuple(_message(each, f"{field}[{at}]") for at, each in enumerate(said))


def _message(said: Any, where: str) -> Message:
    role = said.get("role") if isinstance(said, Mapping) else None
    if role not in ROLES:
        raise InvalidInput(
            f"{where}.role is {role!r:.60}, expected {', '.join(ROLES)}", param="conversation"
        )
    content = said.get("content")
    if content is not None and not isinstance(content, str):
        raise InvalidInput(
            f"{where}.content is {content!r:.60}, expected a text", param="conversation"
        )
    return Message(
        Role(role),
        content,
        tool_calls=tuple(_call(each, where) for each in said.get("tool_calls") or ()),
        tool_call_id=said.get("tool_call_id"),
        name=said.get("name"),
        prefix=bool(said.get("prefix", False)),
    )


def _call(said: Any, where: str) -> ToolCall:
    function = said.get("function") if isinstance(said, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidInput(f"{where}.tool_calls names no function", param="conversation")
    arguments = function.get("arguments", "{}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(said.get("id"), function["name"], text)
