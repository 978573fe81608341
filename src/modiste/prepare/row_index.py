"""The rows of a file by content: which rows it holds, and in which lines.

An index is bytes, so that it can be kept and hashed like anything else: a magic word and one entry
of 20 bytes per row (16 of its id, 4 of its line), sorted. It tells whether a file holds a row
without reading the file, and goes on telling after the file is gone.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modiste.errors import Corrupt
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import Read, read
from modiste.prepare.records import row_id

MAGIC = b"MODROWS1"
ENTRY = np.dtype([("high", ">u8"), ("low", ">u8"), ("line", ">u4")])
ID_BYTES = 16


class Row(NamedTuple):
    id: str
    line: int


class RowIndex:
    """Rows by id and by line."""

    def __init__(self, entries: np.ndarray[Any, Any]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        """Rows; a row that stands twice counts twice."""
        return len(self._entries)

    @staticmethod
    def from_bytes(content: bytes) -> RowIndex:
        """Raises Corrupt where the bytes are no index."""
        body = content[len(MAGIC) :]
        if not content.startswith(MAGIC) or len(body) % ENTRY.itemsize:
            raise Corrupt("These bytes are no index of rows; upload the file again.")
        return RowIndex(np.frombuffer(body, ENTRY))

    def to_bytes(self) -> bytes:
        return MAGIC + self._entries.tobytes()

    def lines(self, ids: Collection[str]) -> dict[str, list[int]]:
        """Where these rows stand; rows that are not there are left out."""
        found: dict[str, list[int]] = {}
        high = self._entries["high"]
        for id in ids:
            first, second = _halves(id)
            begin = int(np.searchsorted(high, first, side="left"))
            end = int(np.searchsorted(high, first, side="right"))
            group = self._entries[begin:end]
            lines = group["line"][group["low"] == second]
            if len(lines):
                found[id] = [int(line) for line in lines]
        return found

    def ids_at(self, lines: Collection[int]) -> dict[int, str]:
        """The rows that stand in these lines; lines without a row are left out."""
        wanted = np.fromiter(lines, np.int64, len(lines))
        entries = self._entries[np.isin(self._entries["line"].astype(np.int64), wanted)]
        return {row.line: row.id for row in _rows(entries)}

    def rows(self, *, after_line: int = 0, limit: int | None = None) -> list[Row]:
        """In the order of lines."""
        entries = self._entries[self._entries["line"] > after_line]
        order = np.argsort(entries["line"], kind="stable")[:limit]
        return list(_rows(entries[order]))


class Building:
    """An index in the making: 24 bytes of memory per row."""

    def __init__(self) -> None:
        self._high, self._low, self._line = array("Q"), array("Q"), array("L")

    def add(self, value: Any, line: int) -> str:
        """Take a row in; answers its id."""
        id = row_id(value)
        high, low = _halves(id)
        self._high.append(high)
        self._low.append(low)
        self._line.append(line)
        return id

    def done(self) -> RowIndex:
        entries = np.empty(len(self._line), ENTRY)
        entries["high"], entries["low"] = self._high, self._low
        entries["line"] = self._line
        order = np.lexsort((entries["line"], entries["low"], entries["high"]))
        return RowIndex(entries[order])


def index_file(path: Path, *, filename: str, format: Format | None = None) -> RowIndex:
    """Every row of a file that could be read as JSON, good or bad."""
    building = Building()
    for found in read(path, filename=filename, format=format).rows:
        if is_row(found):
            building.add(found.value, found.line)
    return building.done()


def is_row(found: Read) -> bool:
    """Whether there is a value to know the row by; what is no JSON has none."""
    return found.row.example is not None or found.value is not None


def is_row_id(text: str) -> bool:
    return len(text) == 2 * ID_BYTES and all(c in "0123456789abcdef" for c in text)


def _halves(id: str) -> tuple[int, int]:
    return int(id[:16], 16), int(id[16:], 16)


def _rows(entries: np.ndarray[Any, Any]) -> Iterator[Row]:
    for high, low, line in entries.tolist():
        yield Row(f"{high:016x}{low:016x}", line)
