"""The rows of a file, whatever they come in: one stream of items, bad ones among them.

Files are read as they stream, gzip included; what is broken about a file is an item with a problem
where it broke, and the rows before it stand.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from modiste.prepare.sources.columnar import read_columnar
from modiste.prepare.sources.containers import Container, Packing
from modiste.prepare.sources.document import Item, read_document
from modiste.prepare.sources.jsonl import parse_json, read_rows
from modiste.prepare.sources.table import read_table
from modiste.types import Problem

BREAKS = (OSError, EOFError, zlib.error)
"""What reading the bytes of a file may end in."""


def items(path: Path, packing: Packing, *, filename: str) -> Iterator[Item]:
    """Every row of a file. Blank lines between JSON lines are left out."""
    line = 0
    try:
        for item in _items(path, packing, filename):
            line = item.line
            yield item
    except BREAKS as error:
        yield Item(line + 1, b"", None, broken(error, file=filename, after=line))


def _items(path: Path, packing: Packing, filename: str) -> Iterator[Item]:
    container, gzipped = packing
    if container in (Container.PARQUET, Container.ARROW):
        with _on_disk(path, gzipped) as plain:
            yield from read_columnar(plain, container, file=filename)
        return
    with opened(path, gzipped) as stream:
        if container is Container.JSON:
            yield from read_document(stream, file=filename)
        elif container is Container.JSONL:
            yield from _json_lines(stream, filename)
        else:
            delimiter = "\t" if container is Container.TSV else None
            yield from read_table(stream, file=filename, delimiter=delimiter)


def _json_lines(stream: BinaryIO, filename: str) -> Iterator[Item]:
    for raw in read_rows(stream, file=filename):
        if raw.problem is None and not raw.text.strip():
            continue
        parsed = parse_json(raw, file=filename)
        yield Item(raw.line, raw.text, parsed.value, parsed.problem)


@contextmanager
def opened(path: Path, gzipped: bool) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked as they are read."""
    with path.open("rb") as plain:
        if not gzipped:
            yield plain
            return
        with gzip.open(plain) as stream:
            yield cast(BinaryIO, stream)


@contextmanager
def _on_disk(path: Path, gzipped: bool) -> Iterator[Path]:
    """Formats that are read from their end need a file, not a stream."""
    if not gzipped:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="modiste-") as unpacked:
        with opened(path, gzipped) as stream:
            shutil.copyfileobj(stream, unpacked)
        unpacked.flush()
        yield Path(unpacked.name)


def broken(error: BaseException, *, file: str, after: int) -> Problem:
    """What one of BREAKS says about a file that could be read up to the line `after`."""
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        code, text = "gzip_damaged", f"the gzip data is damaged after line {after}: {error}"
    elif isinstance(error, EOFError):
        code, text = "gzip_truncated", f"the gzip data ends early, after line {after}"
    else:
        said = getattr(error, "strerror", None) or error
        return Problem(file, after + 1, "", "file_unreadable", f"the file cannot be read: {said}")
    return Problem(file, after + 1, "", code, text, hint="copy or pack the file again")
