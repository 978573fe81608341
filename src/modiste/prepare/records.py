"""Rows as curation handles them: read once, known by their content, written back as they were.

A record's id is the hash of its value with keys in order, so the same row has the same id in every
file and every version of a dataset. Curation keeps or drops rows; it never rewrites one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from modiste.errors import InvalidInput
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import read
from modiste.prepare.sources.containers import Container
from modiste.types import Example, Message, Problem, Role

SHOWN = 5


class Record(NamedTuple):
    id: str
    """32 hex digits of the content."""
    file: str
    line: int
    raw: bytes
    """JSON text of the row, without a line end."""
    value: Any
    example: Example


def row_id(value: Any) -> str:
    """blake2b-128 of the value as JSON with sorted keys."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def records(
    path: Path,
    *,
    filename: str,
    format: Format | None = None,
    container: Container | None = None,
    columns: Columns | None = None,
) -> Iterator[Record]:
    """The rows of a file, in order.

    Raises:
        InvalidInput: at the end of the file, if any row could not be read; all of them in
            `problems`. Nothing made from such a file is to be relied on.
    """
    problems: list[Problem] = []
    reading = read(path, filename=filename, format=format, container=container, columns=columns)
    for line, raw, value, row in reading.rows:
        if row.example is None:
            problems += row.problems
            continue
        yield Record(row_id(value), filename, line, raw, value, row.example)
    if problems:
        raise unreadable(filename, problems)


def unreadable(filename: str, problems: list[Problem]) -> InvalidInput:
    shown = "; ".join(str(problem) for problem in problems[:SHOWN])
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return InvalidInput(
        f"{filename} has rows that cannot be read: {shown}{more}. `modiste data check {filename}` "
        "tells all of them",
        problems=tuple(problems),
    )


def prompt_text(example: Example) -> str:
    """What is asked: system and user messages; the whole text of rows that are not chats."""
    if not example.messages:
        return example.text or ""
    return _joined(m for m in example.messages if m.role in (Role.SYSTEM, Role.USER))


def answer_text(example: Example) -> str:
    """What is answered: assistant messages, tool calls written out."""
    return _joined(m for m in example.messages if m.role is Role.ASSISTANT)


def _joined(messages: Iterator[Message]) -> str:
    said = []
    for message in messages:
        said += [message.content] if message.content else []
        said += [f"{call.name} {call.arguments}" for call in message.tool_calls]
    return "\n".join(said)
