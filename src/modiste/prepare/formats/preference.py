"""Preference pairs: a prompt, the answer that is preferred and the one that is not.

    {"input": {"messages": […], "tools": […]},
     "preferred_output": [{…}], "non_preferred_output": [{…}]}           OpenAI
    {"prompt": "…", "chosen": "…", "rejected": "…"}                      TRL; lists of messages too
    {"chosen": […], "rejected": […]}                                     TRL, the prompt in both
    {"conversations": […], "chosen": {"from": …}, "rejected": {…}}       ShareGPT
    {"chosen": "\\n\\nHuman: …\\n\\nAssistant: …", "rejected": "…"}          Anthropic's HH

Where both answers begin with the same messages, these are the prompt.
"""

from __future__ import annotations

import re
from typing import Any

from modiste.prepare.formats.chat import read_messages, read_tools, write_message
from modiste.prepare.formats.places import together
from modiste.prepare.formats.row import Notes, Row, as_object, first_of, text_field, type_name
from modiste.prepare.formats.sharegpt import TURNS, read_turn, read_turns, system_message, tools_of
from modiste.types import Example, Message, Role, SampleType

HINT = 'write it as {"prompt": […], "chosen": […], "rejected": […]}, each a list of messages'
GOOD = ("chosen", "preferred_output")
BAD = ("rejected", "non_preferred_output")
PROMPTS = ("prompt", "question", "instruction")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


def parse_row(value: Any, *, file: str, line: int) -> Row:
    notes = Notes(file, line)
    row = as_object(value, notes, HINT)
    if row is None:
        return notes.refused()
    good, bad = first_of(row, GOOD), first_of(row, BAD)
    for name, key in (("chosen", good), ("rejected", bad)):
        if key is None:
            notes.say(name, "field_missing", f"the row has no {name} answer", HINT)
    if good is None or bad is None:
        return notes.refused()
    messages, tools, used = _prompt(row, notes)
    chosen, rejected = _answer(row[good], good, notes), _answer(row[bad], bad, notes)
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    # The last of a side is its answer, even where both sides give the same one.
    same = max(0, min(same, len(chosen) - 1, len(rejected) - 1))
    messages = _joined(messages, chosen[:same])
    for name, side in ((good, chosen[same:]), (bad, rejected[same:])):
        if not notes.problems and (not side or side[-1].role is not Role.ASSISTANT):
            notes.say(name, "answer_missing", f"{name} does not end with an assistant message")
    if not messages and not notes.problems:
        notes.say("prompt", "prompt_missing", "the two answers have no prompt in common", HINT)
    notes.ignore((k for k, inside in row.items() if inside is not None), {good, bad, *used})
    example = Example(
        line,
        SampleType.PREFERENCE,
        tuple(messages),
        tools=tools,
        chosen=tuple(chosen[same:]),
        rejected=tuple(rejected[same:]),
    )
    return notes.answer(example)


def write(example: Example) -> dict[str, Any]:
    """OpenAI's shape, whose messages hold everything ours do."""
    given: dict[str, Any] = {"messages": [write_message(m) for m in example.messages]}
    if example.tools:
        given["tools"] = [dict(tool) for tool in example.tools]
    return {
        "input": given,
        "preferred_output": [write_message(m) for m in example.chosen],
        "non_preferred_output": [write_message(m) for m in example.rejected],
    }


def _prompt(row: dict[str, Any], notes: Notes) -> tuple[list[Message], tuple[Any, ...], set[str]]:
    """What both answers answer, the tools at hand, and the keys these came from."""
    given = row.get("input")
    if isinstance(given, dict):
        messages = read_messages(given.get("messages"), "input.messages", notes)
        known = {"messages", "tools", "parallel_tool_calls"}
        notes.ignore((k for k, v in given.items() if v is not None), known, "input.")
        return messages, read_tools(given.get("tools"), notes, path="input.tools"), {"input"}
    tools = tools_of(row.get("tools"), notes)
    system = system_message(row, notes)
    turns = first_of(row, TURNS)
    if turns is not None:
        return [*system, *read_turns(row[turns], turns, notes)], tools, {turns, "system", "tools"}
    key = first_of(row, PROMPTS)
    used = {key, "system", "tools"} if key else {"system", "tools"}
    if key is None:
        return system, tools, used
    if isinstance(row[key], list):
        return [*system, *read_messages(row[key], key, notes)], tools, used
    text = text_field(row, key, notes)
    if spoken := _spoken(text, key, notes, asks=True):
        return [*system, *spoken], tools, used
    parts = {key: text}
    if key == "instruction" and row.get("input") is not None:
        parts["input"] = text_field(row, "input", notes)
        used.add("input")
    asked = {name: part for name, part in parts.items() if part} or parts
    message = Message(Role.USER, "\n\n".join(part for part in asked.values() if part))
    return [*system, notes.place(message, together(*asked))], tools, used


def _answer(found: Any, path: str, notes: Notes) -> list[Message]:
    if isinstance(found, str):
        spoken = _spoken(found, path, notes)
        return spoken or [notes.place(Message(Role.ASSISTANT, found), path)]
    if isinstance(found, dict):
        turn = read_turn(found, path, notes)
        return [turn] if turn else []
    if isinstance(found, list):
        if any(isinstance(item, dict) and "from" in item for item in found):
            return read_turns(found, path, notes)
        return read_messages(found, path, notes)
    text = f"{path} is {type_name(found)}, expected a string or messages"
    notes.say(path, "field_type", text, HINT)
    return []


def _spoken(text: str, path: str, notes: Notes, *, asks: bool = False) -> list[Message]:
    """Messages out of a transcript of Human and Assistant; none where it is not one.

    Args:
        asks: the transcript is a prompt, whose closing "Assistant:" asks for what follows.
    """
    if not text.startswith(("\n\nHuman:", "\n\nAssistant:")):
        return []
    parts = _SPEAKER.split(text)[1:]
    messages = []
    for at in range(0, len(parts), 2):
        role = Role.USER if parts[at] == "Human" else Role.ASSISTANT
        message = Message(role, parts[at + 1].strip())
        messages.append(notes.place(message, f"{path} (turn {at // 2 + 1})"))
    if asks and messages[-1] == Message(Role.ASSISTANT, ""):
        messages.pop()
    return messages


def _joined(prompt: list[Message], shared: list[Message]) -> list[Message]:
    """A prompt that the answers repeat is said once."""
    systems = [message for message in prompt[:1] if message.role is Role.SYSTEM]
    asked = prompt[len(systems) :]
    if asked and shared[: len(asked)] == asked:
        return [*systems, *shared]
    return shared if shared[: len(prompt)] == prompt else [*prompt, *shared]
