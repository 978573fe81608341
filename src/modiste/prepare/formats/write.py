"""Examples written in any format, each with what that costs.

What is lost is not listed by hand: the written row is read again and compared with the example it
came from. A row that would come back with other words, roles or calls is refused, except on the way
to a chat, where what cannot be kept (a rejected answer) is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

import orjson

from modiste.prepare.formats import (
    alpaca,
    chat,
    chat_table,
    classifier,
    preference,
    prompt_completion,
    sharegpt,
)
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import parse_row
from modiste.types import Example, Message, Role, SampleType, ToolCall


class Written(NamedTuple):
    rows: tuple[dict[str, Any], ...]
    """One row, or the rows of a table; none where the example is refused."""
    lost: tuple[str, ...] = ()
    refused: str | None = None
    """Why the example cannot be written so."""


NATIVE = {
    SampleType.INSTRUCT: Format.CHAT,
    SampleType.PRETRAIN: Format.TEXT,
    SampleType.CLASSIFIER: Format.CLASSIFIER,
    SampleType.PREFERENCE: Format.PREFERENCE,
}
"""The formats that hold all of an example."""
_OF_CHATS = {
    Format.ALPACA: alpaca.write,
    Format.PROMPT_COMPLETION: prompt_completion.write,
    Format.SHAREGPT: sharegpt.write,
}


def write(example: Example, to: Format | None = None, *, number: int = 1) -> Written:
    """An example in another format.

    Args:
        to: None for the format that loses nothing.
        number: of the example among those written, where rows are numbered (`chat-table`).
    """
    native = NATIVE[example.sample_type]
    to = to or native
    if to is Format.CHAT and native is Format.TEXT:
        to = native  # plain text stands in chat files as it is
    if to is native:
        return _checked(example, [_native(example)], to)
    if to is Format.CHAT:
        return _as_chat(example)
    if native is not Format.CHAT:
        return Written((), refused=f"{native} rows cannot be written as {to}")
    if to is Format.CHAT_TABLE:
        return _checked(example, chat_table.write(example, chat_id=number), to)
    if to in _OF_CHATS:
        return _checked(example, [_OF_CHATS[to](example)], to)
    return Written((), refused=f"a chat cannot be written as {to}")


def _native(example: Example) -> dict[str, Any]:
    if example.sample_type is SampleType.CLASSIFIER:
        return classifier.write(example)
    if example.sample_type is SampleType.PREFERENCE:
        return preference.write(example)
    return chat.write(example)


def _as_chat(example: Example) -> Written:
    """A pair as the chat with the answer that is preferred, a labelled text as question and
    answer."""
    if example.sample_type is SampleType.PREFERENCE:
        whole = replace(
            example,
            sample_type=SampleType.INSTRUCT,
            messages=example.messages + example.chosen,
            chosen=(),
            rejected=(),
        )
        return Written((chat.write(whole),), lost=("the rejected answer",))
    messages = example.messages or (Message(Role.USER, example.text),)
    values = [one for many in example.labels.values() for one in many]
    lost: tuple[str, ...] = ()
    if len(values) == 1:
        (name,) = (name for name, many in example.labels.items() if many)
        answer, lost = values[0], (f"the name of the label ({name})",)
    else:
        named = {n: v[0] if len(v) == 1 else list(v) for n, v in example.labels.items()}
        answer = orjson.dumps(named).decode()
    whole = Example(example.line, SampleType.INSTRUCT, (*messages, Message(Role.ASSISTANT, answer)))
    return Written((chat.write(whole),), lost=lost)


def _checked(example: Example, rows: Sequence[dict[str, Any]], to: Format) -> Written:
    if not rows:
        return Written((), refused="the chat has no messages")
    again = _read_again(rows, to, example.line)
    if again is None:
        return Written((), refused=f"{to} has no place for {_unusual(example)}")
    differ = [*_differences(example, again)]
    if to is Format.ALPACA and _speakers(example) != _speakers(again):
        return Written((), refused=f"{to} has no place for {_unusual(example)}")
    if serious := [what for what, is_serious in differ if is_serious]:
        shown = ", ".join(serious[:4]) + (", …" if len(serious) > 4 else "")
        return Written((), refused=f"{to} has no place for {shown}")
    return Written(tuple(rows), lost=tuple(dict.fromkeys(what for what, _ in differ)))


def _read_again(rows: Sequence[dict[str, Any]], to: Format, line: int) -> Example | None:
    if to is Format.CHAT_TABLE:
        tools = rows[0].get("tools") if rows else None
        value: dict[str, Any] = {"messages": [chat_table.message_of(row) for row in rows]}
        return parse_row(
            {**value, "tools": tools} if tools else value, file="", line=line, format=Format.CHAT
        ).example
    return parse_row(rows[0], file="", line=line, format=to).example


def _speakers(example: Example) -> list[Role]:
    return [message.role for message in example.messages]


def _unusual(example: Example) -> str:
    """What of a chat a format of questions and answers cannot hold."""
    if example.tools or any(m.tool_calls or m.role is Role.TOOL for m in example.messages):
        return "tools, calls and their results"
    return "turns in this order"


def _differences(example: Example, again: Example) -> Iterator[tuple[str, bool]]:
    """What a row that was read again has otherwise, and whether it matters."""
    if example == again:
        return
    for name in ("messages", "chosen", "rejected"):
        pairs = zip_longest(getattr(example, name), getattr(again, name))
        for at, (before, after) in enumerate(pairs):
            if before != after:
                yield from _of_message(f"{name}[{at}]", before, after)
    for name in ("text", "labels", "sample_type"):
        if getattr(example, name) != getattr(again, name):
            yield name, True
    if example.tools != again.tools:
        yield "tools", True


def _of_message(
    path: str, before: Message | None, after: Message | None
) -> Iterator[tuple[str, bool]]:
    if before is None or after is None or before.role is not after.role:
        yield path, True
        return
    if (before.content or "") != (after.content or ""):
        yield f"{path}.content", True
    if [_meaning(c) for c in before.tool_calls] != [_meaning(c) for c in after.tool_calls]:
        yield f"{path}.tool_calls", True
    if (before.weight != 0) != (after.weight != 0):
        yield f"{path}.weight", True
    if [c.id for c in before.tool_calls] != [c.id for c in after.tool_calls]:
        yield "ids of tool calls", False
    if before.tool_call_id != after.tool_call_id:
        yield "ids of tool calls", False
    if before.name is not None and before.name != after.name:
        yield "names of tool results", False


def _meaning(call: ToolCall) -> tuple[str, Any]:
    try:
        return call.name, orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return call.name, call.arguments
