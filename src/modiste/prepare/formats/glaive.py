"""Glaive's function-calling rows: a system text that ends in functions, and a chat as one string.

{"system": "SYSTEM: You are … Use them if required -\\n{ … }",
 "chat": "USER: …\\n\\n\\nASSISTANT: <functioncall> {…} <|endoftext|>\\n\\n\\nFUNCTION RESPONSE: …"}
"""

from __future__ import annotations

import json
import re
from typing import Any

from modiste.prepare.formats.chat import read_arguments
from modiste.prepare.formats.row import Notes, Row
from modiste.prepare.formats.sharegpt import call_id, tools_of
from modiste.types import Example, Message, Role, SampleType, ToolCall

END = "<|endoftext|>"
CALL = "<functioncall>"
_SPEAKER = re.compile(r"(?:^|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE):")
_QUOTED_ARGUMENTS = re.compile(r'("arguments"\s*:\s*)\'(.*)\'\s*}\s*\Z', re.DOTALL)
_ROLES = {"USER": Role.USER, "ASSISTANT": Role.ASSISTANT, "FUNCTION RESPONSE": Role.TOOL}


def is_glaive(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(k), str) for k in ("system", "chat")
    )


def parse_row(value: dict[str, Any], *, file: str, line: int) -> Row:
    notes = Notes(file, line)
    system, functions = _system(value["system"])
    messages = [notes.place(Message(Role.SYSTEM, system), "system")] if system else []
    messages += _messages(value["chat"], notes)
    tools = tools_of(functions, notes, path="system")
    notes.ignore(value, {"system", "chat"})
    return notes.answer(Example(line, SampleType.INSTRUCT, tuple(messages), tools=tools))


def _system(text: str) -> tuple[str, list[Any]]:
    """The prompt without the functions that follow it, which become tools."""
    text = text.removeprefix("SYSTEM:").strip()
    at = text.find("{")
    if at < 0:
        return text, []
    functions, decoder = [], json.JSONDecoder()
    rest = text[at:]
    while rest:
        try:
            function, end = decoder.raw_decode(rest)
        except (json.JSONDecodeError, RecursionError):
            return text, []  # braces of another kind: the text stays whole
        functions.append(function)
        rest = rest[end:].lstrip(" \n,")
    prompt = text[:at].strip()
    return re.sub(r"\s*Use them if required\s*-?\s*\Z", "", prompt), functions


def _messages(chat: str, notes: Notes) -> list[Message]:
    parts = _SPEAKER.split(chat)
    if len(parts) < 3 or parts[0].strip():
        notes.say("chat", "chat_unreadable", "chat does not begin with USER: or ASSISTANT:")
        return []
    messages: list[Message] = []
    asked: ToolCall | None = None
    for number, at in enumerate(range(1, len(parts), 2)):
        role, text = _ROLES[parts[at]], parts[at + 1].replace(END, "").strip()
        if role is Role.TOOL:
            named = (asked.id, asked.name) if asked else (None, None)
            answer = Message(role, text, tool_call_id=named[0], name=named[1])
            messages.append(notes.place(answer, turn(number)))
            continue
        said, called, call = text.partition(CALL)
        if role is Role.ASSISTANT and called:
            asked = _call(call.strip(), number, notes)
            calls = (asked,) if asked else ()
            message = Message(role, said.strip() or None, tool_calls=calls)
        else:
            message = Message(role, text)
        messages.append(notes.place(message, turn(number)))
    return messages


def turn(number: int) -> str:
    return f"chat (turn {number + 1})"


def _call(text: str, number: int, notes: Notes) -> ToolCall | None:
    """`{"name": "f", "arguments": '{"a": 1}'}`: the inner quotes are single, which JSON has not."""
    path = turn(number)
    if quoted := _QUOTED_ARGUMENTS.search(text):
        inner = quoted[2].replace("\\'", "'")
        text = f"{text[: quoted.start()]}{quoted[1]}{json.dumps(inner)}}}"
    try:
        call = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        said = f"{path} is not the JSON of a call ({error})"
        notes.say(path, "arguments_not_json", said, value=text)
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        notes.say(path, "tool_call_invalid", f"{path} is not a call with a name", value=text)
        return None
    arguments = read_arguments(call.get("arguments", {}), path, notes)
    return ToolCall(call_id(number, 0, call["name"], arguments), call["name"], arguments)
