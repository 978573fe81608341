"""Rows of a prompt and what is to follow it, under the names people give the two.

    {"prompt": "…", "completion": "…"}
    {"prompt": [{"role": "user", "content": "…"}], "completion": [{"role": "assistant", …}]}
    {"context": "…", "question": "…", "answer": "…", "system": "…"}

An instruction beside a question is the system's. A context comes before its question with an empty
line between them. Texts stay as they are, spaces at their ends included.
"""

from __future__ import annotations

from typing import Any

from modiste.prepare.formats.chat import read_messages, read_tools, write_message
from modiste.prepare.formats.places import Place, together
from modiste.prepare.formats.row import Notes, Row, as_object, first_of, text_field, type_name
from modiste.types import Example, Message, Role, SampleType

HINT = 'write it as {"prompt": "…", "completion": "…"}'
PROMPTS = ("prompt", "question", "query", "input", "instruction")
COMPLETIONS = ("completion", "response", "answer", "output")
CONTEXTS = ("context",)
SYSTEMS = ("system", "system_prompt")


def parse_row(value: Any, *, file: str, line: int) -> Row:
    notes = Notes(file, line)
    row = as_object(value, notes, HINT)
    if row is None:
        return notes.refused()
    keys = {
        name: first_of(row, names)
        for name, names in (
            ("system", SYSTEMS),
            ("context", CONTEXTS),
            ("prompt", PROMPTS),
            ("completion", COMPLETIONS),
        )
    }
    if keys["system"] is None and keys["prompt"] != "instruction":
        keys["system"] = first_of(row, ("instruction",))
    _refuse_ratings(row, notes)
    for name in ("prompt", "completion"):
        if keys[name] is None:
            notes.say(name, "field_missing", f"the row has no {name}", HINT)
    messages = _system(row, keys["system"], notes)
    if keys["prompt"] and keys["completion"]:
        messages += _asked(row, keys["prompt"], keys["context"], notes)
        messages += _side(row, keys["completion"], Role.ASSISTANT, notes)
    tools = read_tools(row.get("tools"), notes)
    used = {key for key in keys.values() if key} | {"tools"}
    notes.ignore((key for key, inside in row.items() if inside is not None), used)
    return notes.answer(Example(line, SampleType.INSTRUCT, tuple(messages), tools=tools))


def _refuse_ratings(row: dict[str, Any], notes: Notes) -> None:
    """KTO's rows hold good and bad completions: to train on all of them would teach the bad."""
    for key in ("label", "kto_tag"):
        if isinstance(row.get(key), bool):
            text = f"{key} rates the completion (KTO): such rows hold good and bad ones"
            hint = f"keep the rows whose {key} is true and leave {key} out"
            notes.say(key, "rated_completion", text, hint, value=row[key])


def _system(row: dict[str, Any], key: str | None, notes: Notes) -> list[Message]:
    text = text_field(row, key, notes) if key else ""
    return [notes.place(Message(Role.SYSTEM, text), key or "system")] if text else []


def _asked(row: dict[str, Any], key: str, context: str | None, notes: Notes) -> list[Message]:
    asked = _side(row, key, Role.USER, notes)
    before = text_field(row, context, notes) if context else ""
    if not before or context is None:
        return asked
    first = asked[0].content if asked else ""
    message = Message(Role.USER, f"{before}\n\n{first}" if first else before)
    there = (notes.registry.place(asked[0]) if asked else None) or Place(key)
    where = together(context, there.of("content")) if first else context
    return [notes.place(message, where), *asked[1:]]


def _side(row: dict[str, Any], key: str, role: Role, notes: Notes) -> list[Message]:
    """One text, or messages as TRL writes them."""
    found = row[key]
    if isinstance(found, list):
        return read_messages(found, key, notes)
    if isinstance(found, dict):
        text = f"{key} is {type_name(found)}, expected a string or a list of messages"
        notes.say(key, "field_type", text)
        return []
    message = Message(role, text_field(row, key, notes, empty=role is Role.USER))
    return [notes.place(message, key)]


def write(example: Example) -> dict[str, Any]:
    """Two texts where the chat is one question and its answer, lists of messages elsewhere."""
    messages = list(example.messages)
    system = messages.pop(0) if messages and messages[0].role is Role.SYSTEM else None
    plain = [message.role for message in messages] == [Role.USER, Role.ASSISTANT] and not any(
        message.tool_calls or message.weight is not None for message in messages
    )
    row: dict[str, Any]
    if plain and not example.tools:
        row = {"prompt": messages[0].content or "", "completion": messages[1].content or ""}
        return {"system": system.content, **row} if system else row
    last = len(example.messages) - 1
    row = {
        "prompt": [write_message(m) for m in example.messages[:last]],
        "completion": [write_message(m) for m in example.messages[last:]],
    }
    return {**row, "tools": [dict(tool) for tool in example.tools]} if example.tools else row
