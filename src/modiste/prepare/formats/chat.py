"""Training rows: JSON values to `Example`s, with every problem of a row named at once.

Accepted is JSONL in the chat format that Mistral and OpenAI share, with the names of
mistral-finetune as aliases:

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    {"text": "…"}                                          plain text to continue training on

`interactions` stands for `messages`, `text` for a message's `content`, `available_tools` for
`tools`, `developer` for `system`; `system_prompt` and `only_last` at the top are understood. A key
that is not understood is left out and reported, never dropped in silence. Nothing here knows a
tokenizer: what a chat format can hold is in `conversation.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from modiste.prepare.conversation import MAX_JSON_DEPTH, too_deep
from modiste.prepare.formats.places import AS_IT_IS, WITH_TEXT
from modiste.prepare.formats.row import Notes, Row, shown, type_name
from modiste.prepare.formats.unknown import CHAT_HINT, say_unknown
from modiste.types import Example, Message, Role, SampleType, ToolCall

CHUNK_JOIN = "\n\n"
"""Between the text parts of one message, as mistral-common joins them."""

_ROLES = {str(role): role for role in Role} | {"developer": Role.SYSTEM}
_MESSAGE_KEYS = {"role", "content", "text", "tool_calls", "tool_call_id", "name", "weight"}
_ROW_KEYS = {
    "messages",
    "interactions",
    "tools",
    "available_tools",
    "system_prompt",
    "only_last",
}


def sample_type_of(value: Any) -> SampleType | None:
    """What a row is by its keys alone; None for anything that is no row."""
    if not isinstance(value, dict):
        return None
    if "messages" in value or "interactions" in value:
        return SampleType.INSTRUCT
    return SampleType.PRETRAIN if "text" in value or "content" in value else None


def parse_row(value: Any, *, file: str, line: int) -> Row:
    """One JSON value to an example, or everything that is wrong with it."""
    if plain := _plain(value):
        return Row(Example(line, SampleType.INSTRUCT, plain), ())
    row = Notes(file, line)
    kind = sample_type_of(value)
    if not isinstance(value, dict):
        row.say(
            "", "row_not_object", f"the row is {type_name(value)}, expected an object", CHAT_HINT
        )
    elif kind is SampleType.INSTRUCT:
        return _instruct(value, row)
    elif kind is SampleType.PRETRAIN:
        return _pretrain(value, row)
    else:
        say_unknown(value, row)
    return row.refused()


def _plain(value: Any) -> tuple[Message, ...] | None:
    """The messages of a row that holds nothing but roles and texts, as most rows do."""
    if type(value) is not dict or len(value) != 1:
        return None
    listed = value.get("messages")
    if type(listed) is not list:
        return None
    messages: list[Message] = []
    for item in listed:
        if type(item) is not dict or len(item) != 2:
            return None
        role, content = item.get("role"), item.get("content")
        if type(content) is not str or type(role) is not str or role not in _ROLES:
            return None
        messages.append(_said(_ROLES[role], content))
    return tuple(messages)


def _said(role: Role, content: str) -> Message:
    """`Message(role, content)` in a fifth of the time; rows are made of them by the million.

    A frozen dataclass sets every field in a call of its own. The fields that are not set here are
    the defaults, which are attributes of the class.
    """
    message = object.__new__(Message)
    fields = message.__dict__
    fields["role"] = role
    fields["content"] = content
    return message


def _pretrain(value: dict[str, Any], row: Notes) -> Row:
    if "labels" in value:
        row.say(
            "labels",
            "classification_row",
            "rows with labels train classifiers, this job trains a chat or text model",
            "leave labels out, or put the label into an assistant message",
        )
    if "text" in value and "content" in value:
        row.say("", "keys_conflict", "the row has both text and content, expected one of them")
    key = "text" if "text" in value else "content"
    row.call("text", key)
    text = value[key]
    if not isinstance(text, str):
        row.say(key, "text_type", f"{key} is {type_name(text)}, expected a string", value=text)
        text = ""
    elif not text:
        row.say(key, "text_empty", f"{key} is empty, there is nothing to train on")
    row.ignore(value, {"text", "content"})
    return row.answer(Example(row.line, SampleType.PRETRAIN, text=text))


def _instruct(value: dict[str, Any], row: Notes) -> Row:
    listed, name = _one_of(value, "messages", "interactions", row)
    given, called = _one_of(value, "tools", "available_tools", row)
    tools = read_tools(given, row, path=called)
    row.call("messages", name)
    messages = read_messages(listed, name, row)
    if value.get("only_last"):
        messages = _only_last(messages, row)
    messages = _with_system_prompt(value, messages, name, row)
    row.ignore(value, _ROW_KEYS)
    if "functions" in value:
        row.say("functions", "deprecated_key", "functions is not read", "use tools")
    return row.answer(Example(row.line, SampleType.INSTRUCT, tuple(messages), tools=tools))


def read_messages(listed: Any, path: str, row: Notes) -> list[Message]:
    """Messages as Mistral and OpenAI write them; `path` is where they stand in the row."""
    if isinstance(listed, list):
        messages = [_message(item, f"{path}[{at}]", row) for at, item in enumerate(listed)]
        if path != "messages":
            for at, message in enumerate(messages):
                if row.registry.place(message) is None:
                    row.place(message, f"{path}[{at}]", AS_IT_IS)
        return messages
    row.say(path, "messages_type", f"{path} is {type_name(listed)}, expected a list")
    return []


def _one_of(value: Mapping[str, Any], name: str, alias: str, row: Notes) -> tuple[Any, str]:
    """The value under either name, and the name; both names together are a problem."""
    if value.get(name) is not None and value.get(alias) is not None:
        text = f"the row has both {name} and {alias}, expected one of them"
        row.say("", "keys_conflict", text)
    if value.get(name) is None and alias in value:
        return value[alias], alias
    return value.get(name), name


def _with_system_prompt(
    value: Mapping[str, Any], messages: list[Message], path: str, row: Notes
) -> list[Message]:
    prompt = value.get("system_prompt")
    if prompt is None:
        return messages
    if not isinstance(prompt, str):
        row.say(
            "system_prompt", "content_type", f"system_prompt is {type_name(prompt)}, not a string"
        )
        return messages
    if any(m.role is Role.SYSTEM for m in messages):
        text = "the row has a system_prompt and a system message, expected one of them"
        row.say("system_prompt", "keys_conflict", text)
    for at, message in enumerate(messages):
        if row.registry.place(message) is None:
            row.place(message, f"{path}[{at}]", AS_IT_IS)
    return [row.place(Message(Role.SYSTEM, prompt), "system_prompt"), *messages]


def _only_last(messages: list[Message], row: Notes) -> list[Message]:
    """mistral-finetune's flag: loss on the last answer alone."""
    last = len(messages) - 1
    return [
        row.registry.move(m, replace(m, weight=0)) if m.role is Role.ASSISTANT and at < last else m
        for at, m in enumerate(messages)
    ]


def _message(item: Any, path: str, row: Notes) -> Message:
    nothing = Message(Role.USER)
    if not isinstance(item, dict):
        row.say(path, "message_type", f"{path} is {type_name(item)}, expected an object")
        return nothing
    role = _ROLES.get(item["role"]) if isinstance(item.get("role"), str) else None
    if role is None:
        _wrong_role(item, path, row)
        return nothing
    if "function_call" in item:
        row.say(
            f"{path}.function_call", "deprecated_key", "function_call is not read", "use tool_calls"
        )
    known = set(_MESSAGE_KEYS)
    if role is not Role.ASSISTANT:
        known -= {"weight", "tool_calls"}
    if role is not Role.TOOL:
        known -= {"name", "tool_call_id"}
    row.ignore({k: v for k, v in item.items() if v is not None}, known | {"prefix"}, "messages[].")
    message = Message(
        role,
        content=_content(item, path, row),
        tool_calls=_calls(item, path, row) if role is Role.ASSISTANT else (),
        tool_call_id=_string(item, "tool_call_id", path, row) if role is Role.TOOL else None,
        name=_string(item, "name", path, row) if role is Role.TOOL else None,
        weight=_weight(item, path, row) if role is Role.ASSISTANT else None,
        prefix=bool(item.get("prefix")),
    )
    if item.get("text") is not None:
        row.place(message, path, WITH_TEXT)
    return message


def _wrong_role(item: Mapping[str, Any], path: str, row: Notes) -> None:
    expected = "expected system, user, assistant or tool"
    if "role" not in item:
        hint = "ShareGPT's from and value are role and content here" if "from" in item else None
        row.say(f"{path}.role", "role_missing", f"{path} has no role, {expected}", hint)
        return
    role = item["role"]
    hint = {"function": "use tool", "human": "use user", "gpt": "use assistant"}.get(str(role))
    row.say(
        f"{path}.role",
        "role_unknown",
        f"{path}.role is {shown(role)}, {expected}",
        hint,
        value=role,
    )


def _content(item: Mapping[str, Any], path: str, row: Notes) -> str | None:
    if item.get("content") is not None and item.get("text") is not None:
        row.say(path, "keys_conflict", f"{path} has both content and text, expected one of them")
    key = "content" if item.get("content") is not None else "text"
    content = item.get(key)
    if content is None or isinstance(content, str):
        return content
    found = text_of(content)
    if found.problem:
        row.say(
            f"{path}.{key}{found.at}", "content_type", f"{path}.{key}{found.at} {found.problem}"
        )
    return found.text


class Text(NamedTuple):
    """The text of a message's content, or what in it is not text and where."""

    text: str
    problem: str | None = None
    at: str = ""


def text_of(content: Sequence[Any] | Any) -> Text:
    """Content given as parts, `[{"type": "text", "text": …}, …]`, as one string."""
    if not isinstance(content, list):
        return Text("", f"is {type_name(content)}, expected a string or a list of text parts")
    texts = []
    for at, part in enumerate(content):
        where = f"[{at}]"
        if not isinstance(part, dict) or "type" not in part:
            return Text("", "is not a part with a type", where)
        if part["type"] != "text":
            return Text("", f"is of type {shown(part['type'])}, only text is supported", where)
        if not isinstance(part.get("text"), str):
            return Text("", "is a text part without text", where)
        texts.append(part["text"])
    return Text(CHUNK_JOIN.join(text for text in texts if text))


def _calls(item: Mapping[str, Any], path: str, row: Notes) -> tuple[ToolCall, ...]:
    listed = item.get("tool_calls")
    if listed is None:
        return ()
    if not isinstance(listed, list):
        text = f"{path}.tool_calls is {type_name(listed)}, expected a list"
        row.say(f"{path}.tool_calls", "tool_call_invalid", text)
        return ()
    return tuple(_call(call, f"{path}.tool_calls[{at}]", row) for at, call in enumerate(listed))


def _call(call: Any, path: str, row: Notes) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        text = f"{path} needs a function with a name and arguments"
        row.say(path, "tool_call_invalid", text)
        return ToolCall(None, "", "{}")
    where = f"{path}.function.arguments"
    call_id = _string(call, "id", path, row)
    return ToolCall(
        call_id, function["name"], read_arguments(function.get("arguments"), where, row)
    )


def read_arguments(arguments: Any, path: str, row: Notes) -> str:
    """Arguments as JSON text; an object is written out, as OpenAI's and HF's exports differ."""
    if isinstance(arguments, dict):
        if not too_deep(arguments):
            return json.dumps(arguments, ensure_ascii=False)
        row.say(path, "arguments_too_deep", f"{path} is nested deeper than {MAX_JSON_DEPTH}")
        return "{}"
    if not isinstance(arguments, str):
        row.say(path, "arguments_type", f"{path} is {type_name(arguments)}, expected a JSON string")
        return "{}"
    try:
        value = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError as error:
        text = f"{path} is not JSON ({error.msg})"
        row.say(path, "arguments_not_json", text, value=arguments)
    else:
        if not isinstance(value, dict):
            text = f"{path} holds {type_name(value)}, expected a JSON object"
            row.say(path, "arguments_not_object", text, value=arguments)
    return arguments


def _string(item: Mapping[str, Any], key: str, path: str, row: Notes) -> str | None:
    value = item.get(key)
    if value is None or isinstance(value, str):
        return value
    row.say(f"{path}.{key}", "field_type", f"{path}.{key} is {type_name(value)}, expected a string")
    return None


def _weight(item: Mapping[str, Any], path: str, row: Notes) -> int | None:
    weight = item.get("weight")
    if weight is None:
        return None
    if isinstance(weight, bool) or weight not in (0, 1):
        text = f"{path}.weight is {shown(weight)}, expected 0 or 1"
        row.say(f"{path}.weight", "weight_invalid", text, value=weight)
        return None
    return int(weight)


def read_tools(listed: Any, row: Notes, *, path: str = "tools") -> tuple[Mapping[str, Any], ...]:
    """The functions a chat may call, as the API has them; `path` is where they stand."""
    row.call("tools", path)
    if listed is None:
        return ()
    if not isinstance(listed, list):
        row.say(path, "tools_type", f"{path} is {type_name(listed)}, expected a list")
        return ()
    found = []
    for at, tool in enumerate(listed):
        if not isinstance(tool, dict) or tool.get("type", "function") != "function":
            text = f"{path}[{at}] is not of the form {{'type': 'function', 'function': …}}"
            row.say(f"{path}[{at}]", "tool_invalid", text)
            continue
        found.append({"type": "function", **tool})
    return tuple(found)


def write(example: Example) -> dict[str, Any]:
    """A row that reads as `example` again: a chat, or plain text."""
    if example.sample_type is SampleType.PRETRAIN:
        return {"text": example.text}
    row: dict[str, Any] = {"messages": [write_message(m) for m in example.messages]}
    if example.tools:
        row["tools"] = [dict(tool) for tool in example.tools]
    return row


def write_message(message: Message) -> dict[str, Any]:
    """A message as the API has it; what is not set is left out."""
    written: dict[str, Any] = {"role": str(message.role)}
    if message.content is not None:
        written["content"] = message.content
    if message.tool_calls:
        written["tool_calls"] = [_write_call(call) for call in message.tool_calls]
    for key in ("tool_call_id", "name", "weight"):
        if (value := getattr(message, key)) is not None:
            written[key] = value
    if message.prefix:
        written["prefix"] = True
    return written


def _write_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    named = {} if call.id is None else {"id": call.id}
    return {**named, "type": "function", "function": function}
