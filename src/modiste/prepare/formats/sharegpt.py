"""ShareGPT conversations: turns with `from` and `value`, tools as JSON text.

    {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}],
     "system": "…", "tools": "[{\\"name\\": …}]"}

`function_call` turns hold the call as JSON, `observation` turns its result. Calls have no ids here:
they get nine letters and digits that depend on the row alone, and results the id of the call they
answer. Turns named `role` and `content` are read as well, and so are Glaive's rows (`glaive.py`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson

from modiste.prepare.formats.chat import read_arguments, read_tools
from modiste.prepare.formats.places import turn_fields
from modiste.prepare.formats.row import (
    Notes,
    Row,
    as_object,
    first_of,
    json_text,
    shown,
    type_name,
)
from modiste.types import Example, Message, Role, SampleType, ToolCall

HINT = 'write it as {"conversations": [{"from": "human", "value": …}, …]}'
TURNS = ("conversations", "conversation", "messages")
CALL = "function_call"
ROLES = {
    "system": Role.SYSTEM,
    "human": Role.USER,
    "user": Role.USER,
    "gpt": Role.ASSISTANT,
    "assistant": Role.ASSISTANT,
    "chatgpt": Role.ASSISTANT,
    "bing": Role.ASSISTANT,
    "bard": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "observation": Role.TOOL,
    "tool": Role.TOOL,
    "tool_response": Role.TOOL,
    "function_response": Role.TOOL,
    "function_call": Role.ASSISTANT,
    "tool_call": Role.ASSISTANT,
}
_CALLS = {"function_call", "tool_call"}
WEIGHTS = ("weight", "train", "loss")
"""Whether a turn is trained, as different tools write it."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def parse_row(value: Any, *, file: str, line: int) -> Row:
    notes = Notes(file, line)
    row = as_object(value, notes, HINT)
    if row is None:
        return notes.refused()
    key = first_of(row, TURNS)
    if key is None:
        notes.say("conversations", "field_missing", "the row has no conversations", HINT)
        return notes.refused()
    messages = [*system_message(row, notes), *read_turns(row[key], key, notes)]
    if sum(m.role is Role.SYSTEM for m in messages[:2]) == 2:
        text = "the row has a system prompt and a system turn, expected one of them"
        notes.say("system", "keys_conflict", text)
    notes.call("messages", key)
    tools = tools_of(row.get("tools"), notes)
    notes.ignore((k for k, inside in row.items() if inside is not None), {key, "system", "tools"})
    return notes.answer(Example(line, SampleType.INSTRUCT, tuple(messages), tools=tools))


def system_message(row: dict[str, Any], notes: Notes) -> list[Message]:
    system = row.get("system")
    if system is None or system == "":
        return []
    if not isinstance(system, str):
        notes.say("system", "field_type", f"system is {type_name(system)}, expected a string")
        return []
    return [notes.place(Message(Role.SYSTEM, system), "system")]


def read_turns(turns: Any, path: str, notes: Notes) -> list[Message]:
    """Turns as messages; results carry the id of the call they answer."""
    if not isinstance(turns, list):
        notes.say(path, "messages_type", f"{path} is {type_name(turns)}, expected a list", HINT)
        return []
    messages: list[Message] = []
    waiting: list[ToolCall] = []
    for at, turn in enumerate(turns):
        message = read_turn(turn, f"{path}[{at}]", notes, number=at)
        if message is None:
            continue
        if message.role is Role.TOOL and waiting:
            call = waiting.pop(0)
            answer = Message(Role.TOOL, message.content, tool_call_id=call.id, name=call.name)
            message = notes.registry.move(message, answer)
        elif message.role is Role.ASSISTANT and message.tool_calls:
            waiting = list(message.tool_calls)
        messages.append(message)
    return messages


def read_turn(turn: Any, path: str, notes: Notes, *, number: int = 0) -> Message | None:
    if not isinstance(turn, dict):
        notes.say(path, "message_type", f"{path} is {type_name(turn)}, expected an object", HINT)
        return None
    who = first_of(turn, ("from", "role"))
    said = first_of(turn, ("value", "content", "text"))
    name = turn[who] if who else None
    role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    known = (who, said, *(WEIGHTS if role is Role.ASSISTANT else ()))
    given = (key for key, inside in turn.items() if inside is not None)
    notes.ignore(given, known, f"{path.partition('[')[0]}[].")
    if role is None:
        expected = "expected human, gpt, system, function_call or observation"
        code = "role_unknown" if who else "role_missing"
        text = f"{path}.from is {shown(name)}" if who else f"{path} has no from"
        notes.say(f"{path}.{who or 'from'}", code, f"{text}, {expected}", value=name)
        return None
    text = turn[said] if said else ""
    if isinstance(name, str) and name.strip().lower() in _CALLS:
        calls = _calls(text, f"{path}.{said or 'value'}", number, notes)
        message = Message(role, tool_calls=calls, weight=_weight(turn, path, role, notes))
        return _placed(message, turn, path, notes)
    if not isinstance(text, str):
        if role is Role.TOOL and isinstance(text, dict | list):
            text = json_text(text, path, notes)
        else:
            where = f"{path}.{said}"
            notes.say(where, "content_type", f"{where} is {type_name(text)}, expected a string")
            text = ""
    message = Message(role, text, weight=_weight(turn, path, role, notes))
    return _placed(message, turn, path, notes)


def _placed(message: Message, turn: dict[str, Any], path: str, notes: Notes) -> Message:
    who = first_of(turn, ("from", "role")) or "from"
    said = first_of(turn, ("value", "content", "text")) or "value"
    several = len(message.tool_calls) > 1
    fields = turn_fields(who, said, first_of(turn, WEIGHTS), several_calls=several)
    return notes.place(message, path, fields)


def _weight(turn: dict[str, Any], path: str, role: Role, notes: Notes) -> int | None:
    key = first_of(turn, WEIGHTS)
    if key is None or role is not Role.ASSISTANT:
        return None
    if turn[key] not in (0, 1):
        text = f"{path}.{key} is {shown(turn[key])}, expected 0 or 1"
        notes.say(f"{path}.{key}", "weight_invalid", text, value=turn[key])
        return None
    return int(turn[key])


def _calls(text: Any, path: str, number: int, notes: Notes) -> tuple[ToolCall, ...]:
    """One call or a list of them, as JSON text or as the object itself."""
    value = text
    if isinstance(text, str):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            said = f"{path} is not the JSON of a call ({error.msg})"
            notes.say(path, "arguments_not_json", said, value=text)
            return ()
    calls = []
    listed = value if isinstance(value, list) else [value]
    for at, call in enumerate(listed):
        where = f"{path}[{at}]" if len(listed) > 1 else path
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            said = f"{where} is not a call with name and arguments"
            notes.say(where, "tool_call_invalid", said, value=call)
            continue
        given = call.get("arguments", call.get("parameters", {}))
        arguments = read_arguments(given, f"{where}.arguments", notes)
        calls.append(
            ToolCall(call_id(number, at, call["name"], arguments), call["name"], arguments)
        )
    return tuple(calls)


def call_id(number: int, at: int, name: str, arguments: str) -> str:
    """Nine letters and digits, the same for the same row."""
    text = f"{number} {at} {name} {arguments}".encode(errors="surrogatepass")
    rest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    letters = ""
    for _ in range(9):
        rest, letter = divmod(rest, len(_LETTERS))
        letters += _LETTERS[letter]
    return letters


def tools_of(found: Any, notes: Notes, *, path: str = "tools") -> tuple[Any, ...]:
    """Tools as JSON text or as a list, with or without the `function` around each."""
    if found is None or found == "":
        return ()
    if isinstance(found, str):
        try:
            found = orjson.loads(found)
        except orjson.JSONDecodeError as error:
            notes.say(path, "tools_type", f"{path} is not JSON ({error.msg})", value=found)
            return ()
    listed = [found] if isinstance(found, dict) else found
    if isinstance(listed, list):
        notes.bare_tools = any(map(_is_bare, listed))
        listed = [
            {"type": "function", "function": tool} if _is_bare(tool) else tool for tool in listed
        ]
    return read_tools(listed, notes, path=path)


def _is_bare(tool: Any) -> bool:
    return isinstance(tool, dict) and "name" in tool and "function" not in tool


_NAMES = {
    Role.SYSTEM: "system",
    Role.USER: "human",
    Role.ASSISTANT: "gpt",
    Role.TOOL: "observation",
}


def write(example: Example) -> dict[str, Any]:
    """What of a chat a ShareGPT row can hold; the caller compares what comes back."""
    turns: list[dict[str, Any]] = []
    for message in example.messages:
        if message.content is not None or not message.tool_calls:
            turn = {"from": _NAMES[message.role], "value": message.content or ""}
            turns.append({**turn, **_weighted(message)})
        if message.tool_calls:
            calls = [{"name": c.name, "arguments": _loaded(c)} for c in message.tool_calls]
            value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            turns.append({"from": CALL, "value": value, **_weighted(message)})
    row: dict[str, Any] = {"conversations": turns}
    if example.tools:
        functions = [tool.get("function", tool) for tool in example.tools]
        row["tools"] = json.dumps(functions, ensure_ascii=False)
    return row


def _weighted(message: Message) -> dict[str, int]:
    return {} if message.weight is None else {"weight": message.weight}


def _loaded(call: ToolCall) -> Any:
    try:
        return orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return call.arguments
