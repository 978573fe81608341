"""Rows that come again: byte for byte, in all but case and spacing, or nearly.

`Seen` keeps 20 bytes of a row, and 100 more where near-repeats are looked for; parts of a file
that several processes read are joined in order. Within a file the later row is the repeat; between
files of one run, the one of the later file.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.near import Sketches
from modiste.prepare.curate.normal import folded, said
from modiste.types import Example

MAX_ROWS = 5_000_000
"""Rows that are compared, 100 MB; later ones are counted and not compared."""
MAX_SKETCHES = 1_000_000
"""Rows that are compared for likeness, another 100 MB."""
LIKELY = 0.8
"""Estimated share of common five-word runs from which two rows are near-repeats."""

SHORT = 12
"""Letters of a row that may come again, as long as its bytes do not: a yes to another question."""

_WHITE = b" \t\n\r\v\f"
_LOWER = bytes(range(256)).lower()
U64 = NDArray[np.uint64]


class How(StrEnum):
    EXACT = "exact"
    """The same bytes."""
    NORMAL = "normal"
    """The same but for case, spacing and invisible characters."""
    NEAR = "near"


class Repeat(NamedTuple):
    line: int
    of_file: int
    """Which of the files before, or the number of files before for the same file."""
    of_line: int
    how: How
    similarity: float = 1.0


class Seen:
    """What is remembered of the rows of a file, or of a part of one."""

    def __init__(self, *, near: bool) -> None:
        self.lines = array("Q")
        self.exact = array("Q")
        self.normal = array("Q")
        self.sketches = Sketches() if near else None
        self.n_left_out = 0
        """Rows beyond MAX_ROWS."""
        self.n_unsketched = 0

    def add(self, line: int, raw: bytes, example: Example) -> None:
        if len(self.lines) >= MAX_ROWS:
            self.n_left_out += 1
            return
        text = _bare("\x1f".join(said(example, system=True)))
        exact = _mark(raw)
        self.lines.append(line)
        self.exact.append(exact)
        self.normal.append(_mark(text) if len(text) > SHORT else exact)
        if self.sketches is not None and not self.n_unsketched:
            self._sketch(text, example)

    def extend(self, later: Seen) -> None:
        room = MAX_ROWS - len(self.lines)
        self.n_left_out += later.n_left_out + max(0, len(later.lines) - room)
        self.lines.extend(later.lines[:room])
        self.exact.extend(later.exact[:room])
        self.normal.extend(later.normal[:room])
        if self.sketches is not None and later.sketches is not None:
            if self.n_unsketched or len(self.sketches) + len(later.sketches) > MAX_SKETCHES:
                self.n_unsketched += len(later.sketches)
            else:
                self.sketches.extend(later.sketches)
            self.n_unsketched += later.n_unsketched

    def settle(self) -> None:
        """Before it is sent to another process."""
        if self.sketches is not None:
            self.sketches.settle()

    def _sketch(self, text: bytes, example: Example) -> None:
        """System messages are left out: many rows share one, and then all look alike."""
        if self.sketches is None:
            return
        if len(self.sketches) >= MAX_SKETCHES:
            self.n_unsketched += 1
            return
        self.sketches.add("\n".join(said(example)) if len(text) > SHORT else "")


def repeats(files: Sequence[Seen]) -> Iterator[Repeat]:
    """Rows of the last file that repeat an earlier row of it or of the files before it.

    Each row is told once, with the first row it repeats, in the order of lines.
    """
    last = len(files) - 1
    origin = _origin(files)
    found: dict[int, Repeat] = {}
    for how in (How.EXACT, How.NORMAL):
        marks = np.concatenate([_marks(file, how) for file in files])
        for index, first in _later(marks, since=int(origin[last])):
            found.setdefault(index, _repeat(files, origin, index, first, how, 1.0))
    sketches = [file.sketches for file in files]
    if all(s is not None for s in sketches):
        joined = Sketches()
        for sketch in sketches:
            joined.extend(sketch)  # type: ignore[arg-type]
        sketched = np.concatenate([[0], np.cumsum([len(s) for s in sketches if s is not None])])
        for first, second, similarity in joined.likely(LIKELY):
            if second >= sketched[last]:
                index = int(second - sketched[last] + origin[last])
                at_file = int(np.searchsorted(sketched, first, side="right")) - 1
                before = int(first - sketched[at_file] + origin[at_file])
                made = _repeat(files, origin, index, before, How.NEAR, similarity)
                found.setdefault(index, made)
    yield from (found[index] for index in sorted(found))


def _repeat(
    files: Sequence[Seen], origin: NDArray[np.int64], index: int, first: int, how: How, alike: float
) -> Repeat:
    last = len(files) - 1
    file = int(np.searchsorted(origin, first, side="right")) - 1
    line = files[last].lines[index - int(origin[last])]
    return Repeat(line, file, files[file].lines[first - int(origin[file])], how, alike)


def _origin(files: Sequence[Seen]) -> NDArray[np.int64]:
    lengths = [len(file.lines) for file in files]
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _marks(file: Seen, how: How) -> U64:
    return np.array(file.exact if how is How.EXACT else file.normal, dtype=np.uint64)


def _later(marks: U64, *, since: int) -> Iterator[tuple[int, int]]:
    """Index of each mark from `since` on that stood before, and of the first that equals it."""
    order = np.argsort(marks, kind="stable")
    ordered = marks[order]
    fresh = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    first = order[np.maximum.accumulate(np.where(fresh, np.arange(marks.size), 0))]
    again = ~fresh & (order >= since)
    yield from zip(order[again].tolist(), first[again].tolist(), strict=True)


def _bare(text: str) -> bytes:
    """The text with case and invisible characters levelled, and without any white space."""
    if text.isascii():
        return text.encode().translate(_LOWER, _WHITE)
    return folded(text).encode("utf-8", "surrogatepass").translate(None, _WHITE)


def _mark(text: bytes) -> int:
    """64 bits: among five million rows a chance equality has odds of one in a million."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
