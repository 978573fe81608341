"""Alpaca rows: an instruction, perhaps an input, and the output that is to be learned.

    {"instruction": "…", "input": "…", "output": "…", "system": "…", "history": [["q", "a"], …]}

Instruction and input become one user message with an empty line between them, turns of `history`
come before it. Self-Instruct rows, whose input and output stand in `instances`, are read where
they hold one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modiste.prepare.formats.places import together
from modiste.prepare.formats.row import (
    Notes,
    Row,
    as_object,
    first_of,
    text_field,
    type_name,
)
from modiste.types import Example, Message, Role, SampleType

HINT = 'write it as {"instruction": "…", "input": "…", "output": "…"}'
OUTPUTS = ("output", "response", "completion", "answer")
SYSTEMS = ("system", "system_prompt")
_INPUTS = ("input", "context")


def parse_row(value: Any, *, file: str, line: int) -> Row:
    notes = Notes(file, line)
    row = as_object(value, notes, HINT)
    if row is None:
        return notes.refused()
    inside = _single_instance(row, notes)
    row = row | inside if inside else row
    if inside:
        del row["instances"]
    at = {key: f"instances[0].{key}" for key in inside}
    messages = [*_system(row, notes), *_history(row, notes)]
    messages.append(_question(row, at, notes))
    output = first_of(row, OUTPUTS)
    if output is None:
        notes.say("output", "field_missing", "output is missing", HINT)
    else:
        path = at.get(output, output)
        text = text_field(row, output, notes, path=path, empty=False)
        messages.append(notes.place(Message(Role.ASSISTANT, text), path))
    used = {"instruction", "history", *_INPUTS[:1], output}
    used |= {first_of(row, SYSTEMS), first_of(row, _INPUTS)}
    notes.ignore((key for key, inside in row.items() if inside is not None), used)
    return notes.answer(Example(line, SampleType.INSTRUCT, tuple(messages)))


def write(example: Example) -> dict[str, Any]:
    """What of a chat an Alpaca row can hold; the caller compares what comes back."""
    told = [m for m in example.messages if m.role in (Role.USER, Role.ASSISTANT)]
    row: dict[str, Any] = {
        "instruction": (told[-2].content or "") if len(told) > 1 else "",
        "input": "",
        "output": (told[-1].content or "") if told else "",
    }
    if system := [m.content or "" for m in example.messages if m.role is Role.SYSTEM]:
        row["system"] = "\n\n".join(system)
    if len(told) > 2:
        texts = [message.content or "" for message in told[:-2]]
        row["history"] = [texts[at : at + 2] for at in range(0, len(texts), 2)]
    return row


def _single_instance(row: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """What stands in the one instance of a Self-Instruct row."""
    instances = row.get("instances")
    if instances is None:
        return {}
    if not isinstance(instances, list) or not all(isinstance(one, dict) for one in instances):
        notes.say("instances", "field_type", "instances is not a list of objects", HINT)
    elif len(instances) != 1:
        text = f"the row holds {len(instances)} instances, an example holds one"
        notes.say("instances", "several_instances", text, "write a row for each")
    else:
        return dict(instances[0])
    return {"output": row.get("output", "-")}


def _system(row: dict[str, Any], notes: Notes) -> list[Message]:
    key = first_of(row, SYSTEMS)
    text = text_field(row, key, notes) if key else ""
    return [notes.place(Message(Role.SYSTEM, text), key or "system")] if text else []


def _history(row: dict[str, Any], notes: Notes) -> list[Message]:
    history = row.get("history")
    if history is None or history == "":
        return []
    if not isinstance(history, list):
        text = f"history is {type_name(history)}, expected a list of pairs"
        notes.say("history", "field_type", text, 'write it as [["question", "answer"], …]')
        return []
    messages = []
    for at, pair in enumerate(history):
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(text, str) for text in pair)
        ):
            text = f"history[{at}] is not a question and its answer"
            notes.say(f"history[{at}]", "field_type", text, value=pair)
            continue
        pairs = zip((Role.USER, Role.ASSISTANT), pair, strict=True)
        messages += [
            notes.place(Message(role, text), f"history[{at}][{side}]")
            for side, (role, text) in enumerate(pairs)
        ]
    return messages


def _question(row: dict[str, Any], at: Mapping[str, str], notes: Notes) -> Message:
    instruction = text_field(row, "instruction", notes)
    key = first_of(row, _INPUTS) or "input"
    path = at.get(key, key)
    more = text_field(row, key, notes, path=path) if row.get(key) is not None else ""
    if not instruction and not more and not notes.problems:
        notes.say("instruction", "field_empty", "instruction and input are both empty")
    parts = {"instruction": instruction, path: more}
    asked = {name: part for name, part in parts.items() if part}
    return notes.place(Message(Role.USER, "\n\n".join(asked.values())), together(*asked))
