"""Rows of one JSON document: a list of objects, an object that holds one, or columns.

A list is read row by row, whatever the size of the file: brackets are counted and only one row is
held in memory. Objects back to back, pretty-printed or not, are rows too. Each row knows the line
on which it begins.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO, NamedTuple

import orjson

from modiste.prepare.sources.json_window import Broken, Window
from modiste.prepare.sources.jsonl import MAX_LINE_BYTES, RawLine, parse_json
from modiste.types import Problem, Severity

MAX_WHOLE_BYTES = 32 * 1024 * 1024
"""A document that is one object is read whole up to here, to see what it is; longer ones must hold
one list of rows, which is streamed."""

_OF_A_ROW = {
    "messages",
    "interactions",
    "conversations",
    "conversation",
    "chat",
    "tools",
    "available_tools",
    "functions",
    "instances",
    "history",
    "chosen",
    "rejected",
    "prompt",
    "completion",
    "preferred_output",
    "non_preferred_output",
    "turns",
    "slots",
    "labels",
}
"""Lists of objects that are part of a row, not rows."""
_TEXT_OF_A_ROW = ("text", "content", "instruction", "prompt", "question", "input", "query")


class Item(NamedTuple):
    """One row of a container, or why there is none."""

    line: int
    raw: bytes
    """The row as JSON text on one line."""
    value: Any
    problem: Problem | None = None


def item(line: int, raw: bytes, *, file: str) -> Item:
    """The row in `raw`, which may run over several lines."""
    if b"\n" in raw or b"\r" in raw:
        # Inside JSON strings there are none, so only space between tokens goes.
        raw = b" ".join(part.strip() for part in raw.splitlines())
    parsed = parse_json(RawLine(line, raw), file=file)
    return Item(line, raw, parsed.value, parsed.problem)


def read_document(stream: BinaryIO, *, file: str) -> Iterator[Item]:
    text = Window(stream)
    try:
        first = text.peek()
        if first == b"[":
            yield from _elements(text, file)
            yield from _trailing(text, file)
        elif first == b"{":
            yield from _objects(text, file)
        elif first:
            yield _stop(text, file, "json_invalid", "expected a list or an object of rows")
    except Broken as broken:
        yield _problem(file, broken.line, broken.code, broken.message, hint=broken.hint)


def _elements(text: Window, file: str) -> Iterator[Item]:
    """The rows of the list that begins here: by their lines, or by their numbers where the list is
    written on one line and lines would not tell them apart."""
    found = _raw_elements(text)
    known: list[tuple[int, bytes]] = []
    by_number, last = False, 0
    try:
        known += islice(found, 2)
        by_number = len({line for line, _ in known}) < len(known)
        for number, (line, raw) in enumerate(chain(known, found), 1):
            known = []
            last = number if by_number else line
            yield item(last, raw, file=file)
    except Broken as broken:
        for last, raw in known:
            yield item(last, raw, file=file)
        if by_number:
            broken.line = last + 1
        raise


def _raw_elements(text: Window) -> Iterator[tuple[int, bytes]]:
    """Line and text of each element, through the closing bracket."""
    opened = text.line
    text.take()
    if text.peek() == b"]":
        text.take()
        return
    while text.peek():
        line = text.line
        yield line, text.value(MAX_LINE_BYTES)
        follows = text.peek()
        if follows not in (b",", b"]"):
            break
        text.take()
        if follows == b"]":
            return
        if text.peek() in (b"]", b""):
            break
    if not text.peek():
        what = f"the list that begins on line {opened} is not closed before the file ends"
        raise Broken(text.line, "json_truncated", what, "the file seems to be cut off")
    what = "expected a comma and a row or the end of the list; what follows is not read"
    raise Broken(text.line, "json_invalid", what)


def _trailing(text: Window, file: str) -> Iterator[Item]:
    if text.peek():
        yield _stop(text, file, "json_invalid", "something follows the document; it is not read")


def _objects(text: Window, file: str) -> Iterator[Item]:
    """One object, which may be a row or hold rows; or several, which are rows."""
    line = text.line
    whole = _whole(text)
    if whole is None:
        yield from _rows_inside(text, file, None)
        yield from _trailing(text, file)
        return
    if not text.peek():
        yield from _alone(item(line, whole, file=file), whole, file)
        return
    yield item(line, whole, file=file)
    while text.peek():
        line = text.line
        if text.peek() != b"{":
            yield _stop(text, file, "json_invalid", "expected another object; the rest is not read")
            return
        yield item(line, text.value(MAX_LINE_BYTES), file=file)


def _whole(text: Window) -> bytes | None:
    try:
        return text.value(MAX_WHOLE_BYTES)
    except Broken as broken:
        if broken.code != "line_too_long":
            raise
        return None


def _alone(only: Item, whole: bytes, file: str) -> Iterator[Item]:
    """What the one object of a document is: it holds rows, or columns, or is a row."""
    value = only.value
    if not isinstance(value, dict):
        yield only
    elif lists := _lists_of_rows(value):
        if len(lists) > 1:
            named = ", ".join(lists)
            text = f"the object holds several lists of rows: {named}"
            hint = "put each into a file of its own"
            yield _problem(file, only.line, "several_lists", text, hint=hint)
        else:
            yield from _rows_inside(Window(io.BytesIO(whole)), file, lists[0])
    elif columns := _columns(value):
        yield from _from_columns(columns)
    else:
        yield only


def _lists_of_rows(value: dict[str, Any]) -> list[str]:
    if any(isinstance(value.get(key), str) for key in _TEXT_OF_A_ROW):
        return []
    return [key for key, inside in value.items() if _holds_rows(key, inside)]


def _holds_rows(key: str, inside: Any) -> bool:
    rows = isinstance(inside, list) and inside and all(isinstance(row, dict) for row in inside)
    return bool(rows) and key not in _OF_A_ROW


def _columns(value: dict[str, Any]) -> dict[str, list[Any]] | None:
    """`{"prompt": ["a", "b"], "completion": [1, 2]}`, or the same with row numbers as keys."""
    if value and all(isinstance(column, dict) for column in value.values()):
        numbered = [list(column) for column in value.values()]
        if not all(keys == numbered[0] and all(k.isdigit() for k in keys) for keys in numbered):
            return None
        value = {name: list(column.values()) for name, column in value.items()}
    if not value or not all(isinstance(column, list) and column for column in value.values()):
        return None
    if len({len(column) for column in value.values()}) != 1:
        return None
    single = any(
        key in _OF_A_ROW and all(isinstance(cell, dict) for cell in column)
        for key, column in value.items()
    )
    return None if single else value


def _from_columns(columns: dict[str, list[Any]]) -> Iterator[Item]:
    for number, cells in enumerate(zip(*columns.values(), strict=True), 1):
        row = dict(zip(columns, cells, strict=True))
        yield Item(number, orjson.dumps(row), row)


def _rows_inside(text: Window, file: str, wanted: str | None) -> Iterator[Item]:
    """The rows of the list `wanted`, or of the first list of objects, in the object here."""
    text.peek()
    text.take()
    found, beside = False, []
    while text.peek() == b'"':
        key = _key(text)
        is_it = key == wanted if wanted else key not in _OF_A_ROW and text.opens_rows()
        if not found and is_it:
            found = True
            yield from _elements(text, file)
        else:
            text.value(MAX_LINE_BYTES)
            beside.append(key)
        if text.peek() == b",":
            text.take()
    if text.peek() != b"}":
        yield _stop(text, file, "json_invalid", "expected a key or the end of the object")
        return
    text.take()
    if beside:
        said = f"beside the list of rows stand keys that are not read: {', '.join(beside[:8])}"
        yield _problem(file, text.line, "key_ignored", said, severity=Severity.WARNING)


def _key(text: Window) -> str:
    raw = text.value(MAX_LINE_BYTES)
    if text.peek() != b":":
        raise Broken(text.line, "json_invalid", "expected a colon after the key")
    text.take()
    text.peek()
    try:
        return str(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return raw[1:-1].decode(errors="replace")


def _stop(text: Window, file: str, code: str, message: str) -> Item:
    return _problem(file, text.line, code, message)


def _problem(
    file: str,
    line: int,
    code: str,
    message: str,
    *,
    hint: str | None = None,
    severity: Severity = Severity.ERROR,
) -> Item:
    return Item(
        line, b"", None, Problem(file, line, "", code, message, hint=hint, severity=severity)
    )
