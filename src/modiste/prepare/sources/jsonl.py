"""Bytes to JSON values, line by line: what makes a file JSON lines, and nothing more.

Whatever the bytes are, each line becomes a value or a problem with its number; a file is never held
in memory, and neither is a line that is too long to be a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson

from modiste.prepare.sources.json_text import flaw, hint
from modiste.types import Problem

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is refused without being held in memory; it would be some 4 million tokens."""

_BOM = b"\xef\xbb\xbf"
_NOT_TEXT = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a zip archive",
    b"PAR1": "a parquet file",
}


class RawLine(NamedTuple):
    """One line of a file, without its line end, or why it cannot be one."""

    line: int
    text: bytes
    problem: Problem | None = None


class Json(NamedTuple):
    """A line's value, or why it is not JSON; exactly one of the two counts."""

    value: Any
    problem: Problem | None = None


def read_rows(stream: BinaryIO, *, file: str, first_line: int = 1) -> Iterator[RawLine]:
    """The lines of a file, one at a time, blank ones included; never more than one in memory.

    Args:
        first_line: number of the first one, where the stream is a later part of the file.
    """
    number = first_line - 1
    while chunk := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            if kind := _not_text(chunk):
                yield RawLine(1, b"", _not_text_problem(file, kind))
                return
            chunk = chunk.removeprefix(_BOM)
        if len(chunk) > MAX_LINE_BYTES and not chunk.endswith(b"\n"):
            _skip_line(stream)
            yield RawLine(number, b"", _too_long(file, number))
            continue
        yield RawLine(number, chunk.rstrip(b"\r\n"))


def parse_json(raw: RawLine, *, file: str) -> Json:
    if raw.problem is not None:
        return Json(None, raw.problem)
    try:
        value = orjson.loads(raw.text)
    except orjson.JSONDecodeError as error:
        return Json(None, _json_problem(raw, file, error))
    if found := flaw(raw.text, value):
        path, code, said, advice = found
        return Json(None, Problem(file, raw.line, path, code, said, hint=advice))
    return Json(value)


def _not_text(head: bytes) -> str | None:
    return next((kind for magic, kind in _NOT_TEXT.items() if head.startswith(magic)), None)


def _not_text_problem(file: str, kind: str) -> Problem:
    text = f"the file is {kind}, expected JSON lines in UTF-8"
    return Problem(file, 1, "", "file_not_text", text, hint="unpack it or save it as UTF-8 text")


def _too_long(file: str, line: int) -> Problem:
    text = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
    return Problem(file, line, "", "line_too_long", text, hint="cut the row into several")


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
        pass


def _json_problem(raw: RawLine, file: str, error: orjson.JSONDecodeError) -> Problem:
    try:
        text = raw.text.decode()
    except UnicodeDecodeError as wrong:
        byte = raw.text[wrong.start : wrong.start + 1]
        said = f"byte {wrong.start + 1} of the line is not UTF-8 (0x{byte.hex()})"
        guess = byte.decode("cp1252", "replace")
        advice = f"save the file as UTF-8 (as Windows-1252 the byte would be {guess!r})"
        return Problem(file, raw.line, "", "not_utf8", said, hint=advice)
    return Problem(
        file,
        raw.line,
        "",
        "json_invalid",
        f"not valid JSON: {error.msg} at column {error.colno}",
        value=text[max(0, error.pos - 20) : error.pos + 20],
        hint=hint(text, error.pos),
    )
