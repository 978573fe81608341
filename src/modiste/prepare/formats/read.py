"""A file's rows, whatever their format: the one way from bytes to examples.

Every consumer (checks, curation, training) reads through here, so a row means the same to all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from modiste.prepare.formats.chat import Row, parse_row
from modiste.prepare.formats.kinds import Format
from modiste.prepare.sources.jsonl import parse_json, read_rows


class Read(NamedTuple):
    """One row: where it stood, what it was, what became of it."""

    line: int
    """1-based; the first line of a row that spans several."""
    raw: bytes
    """The row as JSON text; in JSON lines, as it stands in the file."""
    value: Any
    row: Row


class Reading(NamedTuple):
    format: Format | None
    """None while no row has shown one."""
    why: str
    """How the format was told, for people."""
    rows: Iterator[Read]
    """Blank lines are left out."""


def read(path: Path, *, filename: str, format: Format | None = None) -> Reading:
    """Open a file and tell its format."""
    return Reading(format, "", _rows(path, filename))


def _rows(path: Path, filename: str) -> Iterator[Read]:
    with path.open("rb") as stream:
        for raw in read_rows(stream, file=filename):
            if raw.problem is None and not raw.text.strip():
                continue
            parsed = parse_json(raw, file=filename)
            if parsed.problem:
                yield Read(raw.line, raw.text, None, Row(None, (parsed.problem,)))
            else:
                row = parse_row(parsed.value, file=filename, line=raw.line)
                yield Read(raw.line, raw.text, parsed.value, row)
