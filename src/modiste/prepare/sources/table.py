"""Rows of CSV and TSV files: one object of strings per record, by the names of the first line.

Read strictly: a quote that is never closed or a record with a cell too many is a problem with its
line, because the lenient reading would shift or swallow rows. Cells of columns that hold JSON in
every other container (`messages`, `tools`, …) are read as JSON.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from modiste.prepare.sources.document import Item
from modiste.prepare.sources.jsonl import MAX_LINE_BYTES
from modiste.types import Problem

DELIMITERS = ",;\t|"
_JSON_COLUMNS = {
    "messages",
    "interactions",
    "conversations",
    "conversation",
    "chat_json",
    "tools",
    "available_tools",
    "tool_calls",
    "function_call",
    "history",
    "chosen",
    "rejected",
    "prompt",
    "completion",
    "input",
    "preferred_output",
    "non_preferred_output",
    "labels",
    "instances",
}
_NOT_UTF8 = "\udc80", "\udcff"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_table(stream: BinaryIO, *, file: str, delimiter: str | None = None) -> Iterator[Item]:
    """The records below the header; without a delimiter the header tells it."""
    # The limit is the process's, there is no other way to set it; ours is the limit of every row.
    csv.field_size_limit(MAX_LINE_BYTES)
    buffered = io.BufferedReader(_AsItComes(stream))
    if buffered.peek(2)[:2] in _UTF16:
        yield _wrong(file, 1, "file_not_text", "the file is UTF-16 text", "save it as UTF-8")
        return
    text = io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _lines(text)
    try:
        first = next(lines, None)
    except csv.Error as error:
        yield Item(1, b"", None, _csv_problem(file, 1, error))
        return
    if first is None:
        return
    rows = csv.reader(_again(first, lines), delimiter=delimiter or _told(first), strict=True)
    names = next(_records(rows, file), None)
    if names is None or isinstance(names[1], Problem):
        yield Item(1, b"", None, names[1] if names and isinstance(names[1], Problem) else None)
        return
    if wrong := _wrong_names(names[1], file):
        yield wrong
        return
    for line, cells in _records(rows, file):
        if isinstance(cells, Problem):
            yield Item(line, b"", None, cells)
        elif cells:
            yield _row(line, names[1], cells, file)


class _AsItComes(io.RawIOBase):
    """Bytes as far as they can be had: what breaks later does not take along what came before."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self._read(len(into))
        into[: len(data)] = data
        return len(data)


def _told(first: str) -> str:
    """The delimiter that cuts the first line into most names."""
    return max(DELIMITERS, key=first.count) if any(d in first for d in DELIMITERS) else ","


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines; at one that is longer than a row may be, reading ends as at a cell that is."""
    while line := text.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES and not line.endswith(("\n", "\r")):
            raise csv.Error("field larger than a row")
        yield line


def _again(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _records(rows: Any, file: str) -> Iterator[tuple[int, list[str] | Problem]]:
    """Records with the line each begins on."""
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _csv_problem(file, line, error)
            if "field larger than" in str(error):
                return
            continue
        yield line, cells


def _csv_problem(file: str, line: int, error: csv.Error) -> Problem:
    said = str(error)
    if "unexpected end of data" in said:
        text = "a quote that opens in this record is not closed before the file ends"
        return Problem(
            file, line, "", "csv_quote_open", text, hint='close it; write " in text as ""'
        )
    if "field larger than" in said:
        text = f"a cell is longer than {MAX_LINE_BYTES:,} bytes; what follows is not read"
        return Problem(file, line, "", "line_too_long", text, hint="a quote may be left open")
    return Problem(
        file, line, "", "csv_invalid", f"not valid CSV: {said}", hint='write " in text as ""'
    )


def _wrong_names(names: list[str], file: str) -> Item | None:
    empty = [at for at, name in enumerate(names, 1) if not name.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if empty and empty != [1]:  # pandas writes its index as a first column without a name
        text = f"column {empty[0]} of the first line has no name"
        return _wrong(file, 1, "csv_header", text, "the first line holds the names of the columns")
    if twice:
        return _wrong(file, 1, "csv_header", f"the column {twice[0]!r} stands twice", "rename one")
    return None


def _row(line: int, names: list[str], cells: list[str], file: str) -> Item:
    if len(cells) != len(names):
        text = f"the record has {len(cells)} cells, the first line names {len(names)} columns"
        hint = "quote cells that hold the delimiter or a line end"
        return _wrong(file, line, "csv_cells", text, hint)
    bad = [n for n, cell in zip(names, cells, strict=True) if not _is_text(cell)]
    if bad:
        text = f"the column {bad[0]!r} holds bytes that are not UTF-8"
        return _wrong(file, line, "not_utf8", text, "save the file as UTF-8")
    value = {
        name: _cell(name, cell) for name, cell in zip(names, cells, strict=True) if name.strip()
    }
    try:
        return Item(line, orjson.dumps(value), value)
    except orjson.JSONEncodeError:
        text = "a cell holds JSON that is nested too deeply"
        return _wrong(file, line, "json_too_deep", text, "write it flatter")


def _is_text(cell: str) -> bool:
    return cell.isascii() or not any(_NOT_UTF8[0] <= char <= _NOT_UTF8[1] for char in cell)


def _cell(name: str, cell: str) -> Any:
    if name in _JSON_COLUMNS and cell[:1] in ("[", "{"):
        try:
            return orjson.loads(cell)
        except orjson.JSONDecodeError:
            return cell
    return cell


def _wrong(file: str, line: int, code: str, message: str, hint: str) -> Item:
    return Item(line, b"", None, Problem(file, line, "", code, message, hint=hint))
