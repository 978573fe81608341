"""Repairs of a chat row that are safe: what was meant is certain, and nothing that trains is lost.

    aliases   interactions, available_tools, functions, text, from/value, function_call
    roles     human, gpt, bot, function, … and other spellings of the four
    ids       nine letters or digits, made from what stands there; results follow their calls
    shapes    arguments as an object become JSON text, weights become 0 or 1, tools get a wrapper
    ends      messages without content, and turns behind the last answer, are left out

Repairing twice changes nothing more. What is not certain (two contents, results of unknown calls,
a row without an answer) stays as it is for the checks to name.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from modiste.prepare.call_ids import with_short_ids
from modiste.prepare.conversation import too_deep

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatbot", "model", "ai", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "ipython"), "tool"),
}
_TOP = {"interactions": "messages", "available_tools": "tools", "functions": "tools"}
_INSIDE = {"from": "role", "value": "content", "text": "content"}


class Change(NamedTuple):
    path: str
    """Where, in the row as it was."""
    code: str
    before: Any
    after: Any
    """None for what was left out."""


class Fixed(NamedTuple):
    value: Any
    """The row repaired; the very same object where nothing was to be done."""
    changes: tuple[Change, ...]


def fix_row(value: Any) -> Fixed:
    """A row of a chat file, repaired; values that are no such row come back as they are."""
    if not isinstance(value, dict) or not ({"messages", "interactions"} & value.keys()):
        return Fixed(value, ())
    changes: list[Change] = []
    row = value
    try:
        # One repair may make room for another, such as an alias for tools that were text.
        while (found := _repaired(row)).changes:
            row, changes = found.value, [*changes, *found.changes]
    except RecursionError:  # nested deeper than any training row
        return Fixed(value, ())
    return Fixed(row, tuple(changes))


def _repaired(value: dict[str, Any]) -> Fixed:
    changes: list[Change] = []
    row = _renamed(value, _TOP, "", changes)
    if "tools" in row:
        row["tools"] = _tools(row["tools"], changes)
    if isinstance(row.get("messages"), list):
        row["messages"] = _messages(row["messages"], changes)
    return Fixed(row, tuple(changes))


_EMPTY: tuple[Any, ...] = (None, "", [])


def _renamed(
    item: Mapping[str, Any], names: Mapping[str, str], path: str, changes: list[Change]
) -> dict[str, Any]:
    """With keys under their own names, in their places. An alias beside its name gives way where
    one of the two is empty or both say the same, and stays where they do not."""
    found: dict[str, Any] = {}
    for key, value in item.items():
        name = names.get(key, key)
        if name == key:
            if found.get(key) in _EMPTY:
                found[key] = value
            continue
        other = found.get(name) if found.get(name) not in _EMPTY else item.get(name)
        if other not in _EMPTY and value not in _EMPTY and other != value:
            found[key] = value
            continue
        if value not in _EMPTY or name not in item:
            found[name] = other if value in _EMPTY and other is not None else value
        changes.append(Change(f"{path}.{key}" if path else key, "alias_renamed", key, name))
    return found


def _tools(tools: Any, changes: list[Change]) -> Any:
    if isinstance(tools, str):
        read = _json(tools)
        if not isinstance(read, list):
            return tools
        changes.append(Change("tools", "tools_unquoted", tools, read))
        tools = read
    if not isinstance(tools, list):
        return tools
    wrapped = []
    for at, tool in enumerate(tools):
        bare = (
            isinstance(tool, dict) and "function" not in tool and isinstance(tool.get("name"), str)
        )
        if bare and tool.get("type", "function") == "function":
            function = {key: value for key, value in tool.items() if key != "type"}
            wrapped.append({"type": "function", "function": function})
            changes.append(Change(f"tools[{at}]", "tool_wrapped", tool, wrapped[-1]))
        else:
            wrapped.append(tool)
    return wrapped


def _messages(messages: list[Any], changes: list[Change]) -> list[Any]:
    fixed = [
        (at, _message(item, f"messages[{at}]", changes) if isinstance(item, dict) else item)
        for at, item in enumerate(messages)
    ]
    kept = [(at, item) for at, item in fixed if not _is_empty(item)]
    end = next((n for n in range(len(kept), 0, -1) if _role(kept[n - 1][1]) == "assistant"), 0)
    if not end:
        # Without an answer there is nothing to keep a row for: it stays whole, to be looked at.
        kept, end = fixed, len(fixed)
    left = {at for at, _ in kept[:end]}
    for at, item in fixed:
        if at not in left:
            code = "empty_message_dropped" if _is_empty(item) else "trailing_turn_dropped"
            changes.append(Change(f"messages[{at}]", code, item, None))
    renumbered, new_ids = with_short_ids([item for _, item in kept[:end]])
    for at, where, before, after in new_ids:
        path = f"messages[{kept[at][0]}].{where}"
        changes.append(Change(path, "call_id_replaced", before, after))
    return renumbered


def _message(item: dict[str, Any], path: str, changes: list[Change]) -> dict[str, Any]:
    aliases = {key: name for key, name in _INSIDE.items() if key != "value" or "from" in item}
    if "role" in item:
        aliases.pop("from", None)
        aliases.pop("value", None)
    found = _renamed(item, aliases, path, changes)
    role = found.get("role")
    known = ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if known and known != role and role != "developer":
        found["role"] = known
        changes.append(Change(f"{path}.role", "role_renamed", role, known))
    if known == "assistant":
        _calls(found, path, changes)
        _weight(found, path, changes)
    elif known == "tool" and found.get("content", "") is None:
        found["content"] = ""
        changes.append(Change(f"{path}.content", "content_filled", None, ""))
    return found


def _calls(message: dict[str, Any], path: str, changes: list[Change]) -> None:
    old = message.get("function_call")
    if isinstance(old, dict) and not message.get("tool_calls"):
        call = {"type": "function", "function": dict(old)}
        at = list(message).index("function_call")
        pairs = [(key, value) for key, value in message.items() if key != "tool_calls"]
        pairs[[key for key, _ in pairs].index("function_call")] = ("tool_calls", [call])
        message.clear()
        message.update(pairs)
        changes.append(
            Change(f"{path}.function_call", "alias_renamed", "function_call", "tool_calls")
        )
        del at
    elif old is None and "function_call" in message:
        del message["function_call"]
        changes.append(Change(f"{path}.function_call", "key_dropped", None, None))
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            _call(call, f"{path}.tool_calls[{at}]", changes) for at, call in enumerate(calls)
        ]


def _call(call: Any, path: str, changes: list[Change]) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    function = call["function"]
    arguments = function.get("arguments", "")
    written = _arguments(arguments)
    if written is None or written == arguments:
        return call
    where = f"{path}.function.arguments"
    changes.append(Change(where, "arguments_written", function.get("arguments"), written))
    return {**call, "function": {**function, "arguments": written}}


def _arguments(arguments: Any) -> str | None:
    """As JSON text; None where it cannot be told what they are."""
    if arguments is None or arguments == "":
        return "{}"
    if isinstance(arguments, dict):
        return None if too_deep(arguments) else json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str) or len(arguments) > 100_000 or _json(arguments) is not None:
        return None
    return _from_python(arguments)


def _from_python(text: str) -> str | None:
    """A dict as Python prints it: `{'city': 'Rome', 'now': True}`."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = ast.literal_eval(text.strip())
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return written if isinstance(value, dict) and json.loads(written) == value else None


def _weight(message: dict[str, Any], path: str, changes: list[Change]) -> None:
    weight = message.get("weight")
    number = {"0": 0, "1": 1}.get(weight) if isinstance(weight, str) else weight
    if number in (0, 1) and (not isinstance(weight, int) or isinstance(weight, bool)):
        message["weight"] = int(number)
        changes.append(Change(f"{path}.weight", "weight_number", weight, message["weight"]))


def _role(item: Any) -> Any:
    return item.get("role") if isinstance(item, dict) else None


def _is_empty(item: Any) -> bool:
    """Whether a message says nothing; results of tools may."""
    if not isinstance(item, dict) or _role(item) not in (
        "system",
        "user",
        "assistant",
        "developer",
    ):
        return False
    if item.get("tool_calls") or item.get("function_call"):
        return False
    return not any(text.strip() for text in _texts(item.get("content")))


def _texts(content: Any) -> Iterator[str]:
    """What stands in a content; anything that is not text counts as said."""
    if content is None or isinstance(content, str):
        yield content or ""
    elif isinstance(content, list):
        for part in content:
            text = (
                part.get("text") if isinstance(part, dict) and part.get("type") == "text" else "?"
            )
            yield text if isinstance(text, str) else "?"
    else:
        yield "?"


def _json(text: str) -> Any:
    """None where it is not JSON (or null)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
