"""A file's rows, whatever their format: the one way from bytes to examples.

Every consumer (checks, curation, training) reads through here, so a row means the same to all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from modiste.prepare.formats import chat
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.row import Row
from modiste.prepare.sources.containers import Container
from modiste.prepare.sources.jsonl import parse_json, read_rows


class Read(NamedTuple):
    """One row: where it stood, what it was, what became of it."""

    line: int
    """1-based; the first line of a row that spans several, the row's number where no lines are."""
    raw: bytes
    """The row as JSON text; in JSON lines, as it stands in the file."""
    value: Any
    row: Row


class Told(NamedTuple):
    """What a file is, told from its first bytes and rows, or as it was forced."""

    container: Container
    gzipped: bool
    format: Format | None
    """None while no row has shown one."""
    why: str
    """How the format was told, for people."""
    columns: Columns | None = None


class Reading(NamedTuple):
    format: Format | None
    """None while no row has shown one."""
    why: str
    """How the format was told, for people."""
    rows: Iterator[Read]
    """Blank lines are left out."""
    container: Container = Container.JSONL


def parse_row(
    value: Any,
    *,
    file: str,
    line: int,
    format: Format | None = None,
    columns: Columns | None = None,
) -> Row:
    """One JSON value to an example, or everything that is wrong with it.

    Args:
        format: of the file, as `tell` told it; None asks the row alone.
        columns: for `Format.COLUMNS`.
    """
    return chat.parse_row(value, file=file, line=line)


def tell(
    path: Path,
    *,
    filename: str,
    format: Format | None = None,
    container: Container | None = None,
    columns: Columns | None = None,
) -> Told:
    """What a file is; reads its beginning only."""
    return Told(container or Container.JSONL, False, format, "", columns)


def read(
    path: Path,
    *,
    filename: str,
    format: Format | None = None,
    container: Container | None = None,
    columns: Columns | None = None,
) -> Reading:
    """Open a file and tell what it is; what is given is not asked."""
    told = tell(path, filename=filename, format=format, container=container, columns=columns)
    return Reading(told.format, told.why, _rows(path, filename, told), told.container)


def _rows(path: Path, filename: str, told: Told) -> Iterator[Read]:
    with path.open("rb") as stream:
        for raw in read_rows(stream, file=filename):
            if raw.problem is None and not raw.text.strip():
                continue
            parsed = parse_json(raw, file=filename)
            if parsed.problem:
                yield Read(raw.line, raw.text, None, Row(None, (parsed.problem,)))
            else:
                row = parse_row(
                    parsed.value,
                    file=filename,
                    line=raw.line,
                    format=told.format,
                    columns=told.columns,
                )
                yield Read(raw.line, raw.text, parsed.value, row)
