"""A file's rows, whatever their format: the one way from bytes to examples.

Every consumer (checks, curation, training) reads through here, so a row means the same to all.
`tell` says what a file is, `parse_row` reads one row of it, `read` does both for a whole file. Rows
of all formats but `chat-table` stand for themselves: they may be read one by one, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import InvalidInput
from modiste.prepare.formats import (
    alpaca,
    chat,
    chat_table,
    classifier,
    glaive,
    preference,
    prompt_completion,
    sharegpt,
)
from modiste.prepare.formats import columns as templates
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.infer import Inferred, format_of, infer
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.row import Row
from modiste.prepare.sources.containers import Container, Packing, packing_of
from modiste.prepare.sources.document import Item
from modiste.prepare.sources.items import items

SAMPLE_ROWS = 200
SAMPLE_BYTES = 4 * 1024 * 1024
"""What is looked at to tell a format: so many rows, or so many bytes of them."""


class Read(NamedTuple):
    """One row: where it stood, what it was, what became of it."""

    line: int
    """1-based; the first line of a row that spans several, the row's number where no lines are."""
    raw: bytes
    """The row as JSON text on one line; in JSON lines, as it stands in the file."""
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

    @property
    def row_by_row(self) -> bool:
        """Whether each line of the file is a row that `parse_row` may read for itself."""
        plain = self.container is Container.JSONL and not self.gzipped
        return plain and self.format is not Format.CHAT_TABLE


class Reading(NamedTuple):
    format: Format | None
    """None while no row has shown one."""
    why: str
    """How the format was told, for people."""
    rows: Iterator[Read]
    """Blank lines are left out."""
    container: Container = Container.JSONL


_PARSERS: Mapping[Format, Callable[..., Row]] = {
    Format.CHAT: chat.parse_row,
    Format.TEXT: chat.parse_row,
    Format.CLASSIFIER: classifier.parse_row,
    Format.PREFERENCE: preference.parse_row,
    Format.SHAREGPT: sharegpt.parse_row,
    Format.ALPACA: alpaca.parse_row,
    Format.PROMPT_COMPLETION: prompt_completion.parse_row,
    Format.CHAT_TABLE: chat.parse_row,  # of the chats that `chat_table` puts together
}


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
    if format is Format.COLUMNS and columns is not None:
        return templates.parse_row(value, file=file, line=line, columns=columns)
    if format is Format.COLUMNS:
        raise InvalidInput(f"format columns needs templates: {templates.HINT}", param="columns")
    known = format or format_of(value) or Format.CHAT
    if known is Format.SHAREGPT and glaive.is_glaive(value):
        return glaive.parse_row(value, file=file, line=line)
    return _PARSERS[known](value, file=file, line=line)


def tell(
    path: Path,
    *,
    filename: str,
    format: Format | None = None,
    container: Container | None = None,
    columns: Columns | None = None,
) -> Told:
    """What a file is; reads its beginning only. What is given is not asked.

    Raises:
        InvalidInput: `columns` and `format` do not go together.
    """
    if columns is not None and format not in (None, Format.COLUMNS):
        raise InvalidInput(f"columns are given, so the format cannot be {format}", param="columns")
    if format is Format.COLUMNS and columns is None:
        raise InvalidInput(f"format columns needs templates: {templates.HINT}", param="columns")
    try:
        packing = packing_of(path, filename=filename)
    except OSError:
        packing = Packing(Container.JSONL, False)  # reading the rows says what is wrong
    if container is not None:
        packing = packing._replace(container=container)
    if columns is not None:
        return Told(*packing, Format.COLUMNS, "columns are given", columns)
    if format is not None:
        return Told(*packing, format, "given")
    inferred = _infer(path, packing, filename)
    return Told(*packing, inferred.format, inferred.why)


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
    return Reading(told.format, told.why, rows(path, told, filename=filename), told.container)


def rows(path: Path, told: Told, *, filename: str) -> Iterator[Read]:
    """Every row of a file that was told."""
    found = items(path, Packing(told.container, told.gzipped), filename=filename)
    if told.format is Format.CHAT_TABLE:
        for item, row in chat_table.chats(found, file=filename):
            yield Read(item.line, item.raw, item.value, row)
        return
    format, columns = told.format, told.columns
    for line, raw, value, problem in found:
        if problem is not None:
            yield Read(line, raw, None, Row(None, (problem,)))
        else:
            row = parse_row(value, file=filename, line=line, format=format, columns=columns)
            yield Read(line, raw, value, row)


def _infer(path: Path, packing: Packing, filename: str) -> Inferred:
    return infer(item.value for item in _sample(items(path, packing, filename=filename)))


def _sample(found: Iterator[Item]) -> Iterator[Item]:
    n_rows, n_bytes = 0, 0
    for item in found:
        n_bytes += len(item.raw) + 1
        if item.problem is None:
            n_rows += 1
            yield item
        if n_rows >= SAMPLE_ROWS or n_bytes >= SAMPLE_BYTES:
            return
