"""Classifier rows: a text or a chat, and the labels it has.

    {"text": "…", "labels": {"intent": "refund", "topics": ["money", "card"]}}
    {"messages": […], "labels": {"safe": "yes"}}
    {"text": "…", "label": "refund"}

A bare `label` is a label of that name. A number or a truth value is the label's name, written out.
"""

from __future__ import annotations

from typing import Any

from modiste.prepare.formats.chat import read_messages, write_message
from modiste.prepare.formats.row import (
    Notes,
    Row,
    as_object,
    first_of,
    text_field,
    type_name,
)
from modiste.types import Example, Message, SampleType

HINT = 'write it as {"text": "…", "labels": {"name": "value"}}'
TEXTS = ("text", "content", "sentence", "input")
CHATS = ("messages", "interactions")
LABELS = ("labels", "label")


def parse_row(value: Any, *, file: str, line: int) -> Row:
    notes = Notes(file, line)
    row = as_object(value, notes, HINT)
    if row is None:
        return notes.refused()
    chat, text = first_of(row, CHATS), first_of(row, TEXTS)
    messages: list[Message] = []
    content: str | None = None
    if chat is not None:
        messages = read_messages(row[chat], chat, notes)
    elif text is not None:
        content = text_field(row, text, notes, empty=False)
        notes.call("text", text)
    else:
        notes.say("text", "field_missing", "the row has neither text nor messages", HINT)
    key = first_of(row, LABELS)
    labels = _labels(row[key], key, notes) if key else {}
    if key is None:
        notes.say("labels", "label_missing", "the row has no labels", HINT)
    used = {chat or text, key}
    notes.ignore((name for name, inside in row.items() if inside is not None), used)
    return notes.answer(
        Example(line, SampleType.CLASSIFIER, tuple(messages), text=content, labels=labels)
    )


def _labels(found: Any, key: str, notes: Notes) -> dict[str, tuple[str, ...]]:
    named = found if isinstance(found, dict) else {key: found}
    notes.call("labels", key)
    for name in named:
        notes.call(f"labels.{name}", f"{key}.{name}" if named is found else key)
    if not named:
        notes.say(key, "label_missing", f"{key} is empty", HINT)
    return {
        name: _values(inside, f"{key}.{name}" if isinstance(found, dict) else key, notes)
        for name, inside in named.items()
    }


def _values(found: Any, path: str, notes: Notes) -> tuple[str, ...]:
    if isinstance(found, list):
        return tuple(v for at, one in enumerate(found) for v in _one(one, f"{path}[{at}]", notes))
    return _one(found, path, notes)


def _one(found: Any, path: str, notes: Notes) -> tuple[str, ...]:
    if isinstance(found, bool):
        return (str(found).lower(),)
    if isinstance(found, str | int):
        if found == "":
            notes.say(path, "label_missing", f"{path} is empty")
        return (str(found),)
    text = f"{path} is {type_name(found)}, expected a string or a list of strings"
    notes.say(path, "label_type", text, HINT, value=found)
    return ()


def write(example: Example) -> dict[str, Any]:
    """A row that reads as `example` again; a label with one value is written as that value."""
    row: dict[str, Any] = (
        {"messages": [write_message(message) for message in example.messages]}
        if example.messages
        else {"text": example.text}
    )
    labels = {
        name: values[0] if len(values) == 1 else list(values)
        for name, values in example.labels.items()
    }
    return {**row, "labels": labels}
