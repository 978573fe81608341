"""The journal of many requests: every result the moment it is there, and files made of it later.

One line per result, `<place> <sign> <JSON>\n`, appended in one write: killed at any moment it
holds whole results and at most one torn line, which the next reader cuts off. `assemble` puts them
into the order of the requests, each once, whatever order and however often they were written.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

NAME = "results.journal"
OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"
READ_BYTES = 1 << 20


class Sign(StrEnum):
    SUCCEEDED = "+"
    FAILED = "-"
    NOT_RUN = "."
    """The batch ended first; in the file of errors, and in no count."""


class Entry(NamedTuple):
    """A result, and where its JSON stands in the journal."""

    place: int
    sign: Sign
    json: bytes
    """Line end included."""
    start: int


@dataclass(frozen=True)
class Files:
    """What a journal was made into; an empty file is not made."""

    output: Path | None
    errors: Path | None


class Journal:
    """Open for appending. One process at a time: whoever opens it holds the lock of the batch."""

    def __init__(self, path: Path) -> None:
        _cut_torn_line(path)
        self._file = path.open("ab", buffering=0)

    def append(self, place: int, sign: Sign, line: bytes) -> None:
        """`line` is JSON without a line end. It survives this process, not yet this machine."""
        left = b"%d %s %s\n" % (place, sign.encode(), line)
        while left:
            left = left[self._file.write(left) :]

    def sync(self) -> None:
        """From here on it survives the machine, too."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.sync()
        self._file.close()


def entries(path: Path) -> Iterator[Entry]:
    """The whole lines of a journal, in the order they were written."""
    if not path.exists():
        return
    start = 0
    with path.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                return
            place, sign, json = line.split(b" ", 2)
            yield Entry(int(place), Sign(sign.decode()), json, start + len(line) - len(json))
            start += len(line)


def assemble(path: Path, folder: Path, *, n_requests: int) -> Files:
    """The results as files of lines, in the order of the requests; those of failed ones apart.

    Memory is 16 bytes per request, whatever a result's size.
    """
    starts, lengths = array("q", [-1]) * n_requests, array("q", [0]) * n_requests
    for entry in entries(path):
        if starts[entry.place] < 0:
            good = entry.sign is Sign.SUCCEEDED
            starts[entry.place] = entry.start
            lengths[entry.place] = len(entry.json) if good else -len(entry.json)
    output, errors = folder / OUTPUT, folder / ERRORS
    for old in (output, errors):
        old.unlink(missing_ok=True)
    if path.exists():
        with path.open("rb") as journal, output.open("wb") as fine, errors.open("wb") as rest:
            for start, length in zip(starts, lengths, strict=True):
                if start >= 0:
                    _copy(journal, start, abs(length), fine if length > 0 else rest)
    return Files(*(made if _holds_anything(made) else None for made in (output, errors)))


def _copy(journal: BinaryIO, start: int, length: int, target: BinaryIO) -> None:
    journal.seek(start)
    while length > 0:
        chunk = journal.read(min(READ_BYTES, length))
        target.write(chunk)
        length -= len(chunk)


def _holds_anything(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _cut_torn_line(path: Path) -> None:
    """A process that was killed may have written half a line."""
    end = max((e.start + len(e.json) for e in entries(path)), default=0)
    if path.exists() and path.stat().st_size > end:
        os.truncate(path, end)
