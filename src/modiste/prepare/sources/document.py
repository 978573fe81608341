"""Rows of one JSON document: a list of objects, an object that holds one, or columns.

A list is read row by row, whatever the size of the file: brackets are counted and only one row is
held in memory. Objects back to back, pretty-printed or not, are rows too. Each row knows the line
on which it begins.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson

from modiste.prepare.sources.jsonl import MAX_LINE_BYTES, RawLine, parse_json
from modiste.types import Problem, Severity

MAX_WHOLE_BYTES = 32 * 1024 * 1024
"""A document that is one object is read whole up to here, to see what it is; longer ones must hold
one list of rows, which is streamed."""

_CHUNK_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_SCALAR = re.compile(rb'[^,\]}\s"\[{]*+')
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
    text = _Text(stream)
    try:
        first = text.peek()
        if first == b"[":
            yield from _elements(text, file)
            yield from _trailing(text, file)
        elif first == b"{":
            yield from _objects(text, file)
        elif first:
            yield _stop(text, file, "json_invalid", "expected a list or an object of rows")
    except _Broken as broken:
        yield _problem(file, broken.line, broken.code, broken.message, hint=broken.hint)


class _Broken(Exception):
    """An end of reading, told as a problem by the one caller."""

    def __init__(self, line: int, code: str, message: str, hint: str | None = None) -> None:
        self.line, self.code, self.message, self.hint = line, code, message, hint


class _Text:
    """A window on bytes that counts lines and knows where a JSON value ends."""

    def __init__(self, stream: BinaryIO) -> None:
        # As far as bytes can be had: what breaks later does not take along what came before.
        self._read = getattr(stream, "read1", stream.read)
        self.line = 1
        self._window = self._read(_CHUNK_BYTES).removeprefix(_BOM)
        self._at = 0
        self._ended = not self._window

    def peek(self) -> bytes:
        """The next byte that is not space; nothing at the end."""
        while True:
            found = _SPACE.match(self._window, self._at)
            self._move(found.end() if found else self._at)
            if self._at < len(self._window):
                return self._window[self._at : self._at + 1]
            if not self._more():
                return b""

    def take(self) -> None:
        """Past the byte that `peek` showed."""
        self._move(self._at + 1)

    def value(self, limit: int) -> bytes:
        """The value that begins here.

        Raises:
            _Broken: it does not end, or is longer than `limit` bytes.
        """
        begins = self.line
        opening = self.peek()
        nested = opening in (b"{", b"[", b'"')
        end = self._closing(limit) if nested else self._scalar_end(limit)
        if end is None:
            what = "what begins here is not closed before the file ends"
            raise _Broken(begins, "json_truncated", what, "the file seems to be cut off")
        raw = self._window[self._at : end]
        self._move(end)
        return raw

    def opens_rows(self) -> bool:
        """Whether a list of objects begins here."""
        if self.peek() != b"[":
            return False
        if len(self._window) - self._at < _CHUNK_BYTES:
            self._more()
        return self._window[self._at + 1 : self._at + _CHUNK_BYTES].lstrip().startswith(b"{")

    def _closing(self, limit: int) -> int | None:
        depth, at = 0, self._at
        while True:
            for mark in _MARK.finditer(self._window, at):
                found = mark[0]
                if found == b'"':  # a string that goes on beyond the window
                    at = mark.start()
                    break
                depth += (found in b"{[") - (found in b"}]") if len(found) == 1 else 0
                at = mark.end()
                if depth <= 0:
                    return at
            else:
                at = len(self._window)
            self._check(limit)
            consumed = self._at
            if not self._more():
                return None
            at -= consumed

    def _scalar_end(self, limit: int) -> int | None:
        while True:
            found = _SCALAR.match(self._window, self._at)
            end = found.end() if found else self._at
            if end < len(self._window):
                return max(end, self._at + 1)
            self._check(limit)
            if not self._more():
                return end

    def _check(self, limit: int) -> None:
        if len(self._window) - self._at > limit:
            text = f"the row is longer than {limit:,} bytes; what follows it is not read"
            raise _Broken(self.line, "line_too_long", text, "cut the row into several")

    def _move(self, to: int) -> None:
        self.line += self._window.count(b"\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Widen the window by at least what it holds, so that long values are read in linear
        time; what was passed is let go."""
        kept = self._window[self._at :]
        fresh = b"" if self._ended else self._read(max(_CHUNK_BYTES, len(kept)))
        self._ended = not fresh
        self._window, self._at = kept + fresh, 0
        return bool(fresh)


def _elements(text: _Text, file: str) -> Iterator[Item]:
    """The elements of the list that begins here, through its closing bracket."""
    opened = text.line
    text.take()
    if text.peek() == b"]":
        text.take()
        return
    while text.peek():
        line = text.line
        yield item(line, text.value(MAX_LINE_BYTES), file=file)
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
        raise _Broken(text.line, "json_truncated", what, "the file seems to be cut off")
    what = "expected a comma and a row or the end of the list; what follows is not read"
    raise _Broken(text.line, "json_invalid", what)


def _trailing(text: _Text, file: str) -> Iterator[Item]:
    if text.peek():
        yield _stop(text, file, "json_invalid", "something follows the document; it is not read")


def _objects(text: _Text, file: str) -> Iterator[Item]:
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


def _whole(text: _Text) -> bytes | None:
    try:
        return text.value(MAX_WHOLE_BYTES)
    except _Broken as broken:
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
            yield from _rows_inside(_Text(io.BytesIO(whole)), file, lists[0])
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


def _rows_inside(text: _Text, file: str, wanted: str | None) -> Iterator[Item]:
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


def _key(text: _Text) -> str:
    raw = text.value(MAX_LINE_BYTES)
    if text.peek() != b":":
        raise _Broken(text.line, "json_invalid", "expected a colon after the key")
    text.take()
    text.peek()
    try:
        return str(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return raw[1:-1].decode(errors="replace")


def _stop(text: _Text, file: str, code: str, message: str) -> Item:
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
