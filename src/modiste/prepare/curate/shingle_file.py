"""Sets of shingles of any number of rows, in a file without a name: memory holds only where.

A row has two sides, what it asks and what it answers. Shingles of a side are 31-bit numbers with
the side as highest bit, sorted: one array per row whose upper part is the answer. The file has no
name, so nothing is left of it whatever ends the process.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.minhash import U32
from modiste.prepare.curate.normal import parted
from modiste.prepare.curate.shingles import (
    Indexes,
    Ragged,
    distinct,
    shingles,
    word_hashes,
)

ANSWER = np.uint32(1 << 31)
_BATCH_CHARS = 1 << 19
_BATCH_NUMBERS = 1 << 20
MIN_SAMPLE = 200
"""Rows from which on it can be told what is boilerplate."""
MAX_SAMPLE = 2000


class Likeness(NamedTuple):
    """Jaccard similarity of one row to several others."""

    whole: NDArray[np.float64]
    answer: NDArray[np.float64]


class ShingleFile:
    """Rows are added in order; then they are read in batches or compared one with several."""

    def __init__(self, shingle: int) -> None:
        self.shingle = shingle
        self.boilerplate: U32 = np.zeros(0, dtype=np.uint32)
        """Sorted; these shingles count in no row."""
        self._file = tempfile.TemporaryFile(prefix="modiste-shingles-")  # noqa: SIM115
        self._starts = array("q", [0])
        self._waiting: list[str] = []
        self._waiting_chars = 0

    def __len__(self) -> int:
        return len(self._starts) - 1 + len(self._waiting) // 2

    def add(self, asked: str, answered: str = "") -> None:
        self._waiting += (asked, answered)
        self._waiting_chars += len(asked) + len(answered)
        if self._waiting_chars >= _BATCH_CHARS or len(self._waiting) >= 1 << 16:
            self.settle()

    def settle(self) -> None:
        if not self._waiting:
            return
        words = word_hashes([parted(text) for text in self._waiting])
        sides = distinct(shingles(words, self.shingle))
        numbers = (sides.values >> np.uint64(1)).astype(np.uint32)
        side = np.repeat(np.arange(sides.lengths.size) % 2, sides.lengths).astype(np.uint32)
        self._file.seek(0, os.SEEK_END)
        self._file.write((numbers | side << np.uint32(31)).tobytes())
        self._starts.extend((sides.starts[2::2] + self._starts[-1]).tolist())
        self._waiting, self._waiting_chars = [], 0

    def find_boilerplate(self, rows: Sequence[int], share: float) -> int:
        """What more than `share` of evenly spread rows ask alike is left out from now on.

        Only questions: an answer that many rows share is still their answer. Few rows tell nothing:
        below MIN_SAMPLE everything counts. Returns how many shingles there are.
        """
        self.settle()
        if len(rows) < MIN_SAMPLE or not share:
            return 0
        sample = [rows[i * len(rows) // MAX_SAMPLE] for i in range(MAX_SAMPLE)]
        picked = list(dict.fromkeys(sample))
        numbers, counts = np.unique(
            np.concatenate([self.of(row) for row in picked]), return_counts=True
        )
        self.boilerplate = numbers[(counts > share * len(picked)) & (numbers < ANSWER)]
        return int(self.boilerplate.size)

    def of(self, row: int) -> U32:
        """Sorted shingles of both sides."""
        first, end = self._starts[row], self._starts[row + 1]
        self._file.flush()
        data = os.pread(self._file.fileno(), (end - first) * 4, first * 4)
        return self._counted(np.frombuffer(data, dtype=np.uint32))

    def batches(self) -> Iterator[tuple[int, Ragged]]:
        """Every row's set in order, with the index of the first of each batch."""
        self.settle()
        starts: Indexes = np.frombuffer(self._starts, dtype=np.int64)
        row = 0
        while row < len(self):
            end = int(np.searchsorted(starts, starts[row] + _BATCH_NUMBERS, side="right")) - 1
            end = min(max(end, row + 1), len(self))
            self._file.seek(int(starts[row]) * 4)
            data = self._file.read(int(starts[end] - starts[row]) * 4)
            numbers = np.frombuffer(data, dtype=np.uint32)
            yield row, self._without_boilerplate(numbers, starts[row : end + 1] - starts[row])
            row = end

    def compare(self, row: int, others: Sequence[int]) -> Likeness:
        own = self.of(row)
        sets = [self.of(other) for other in others]
        sizes = np.array([one.size for one in sets])
        every = np.concatenate(sets)
        place = np.minimum(np.searchsorted(own, every), max(own.size - 1, 0))
        shared = own[place] == every if own.size else np.zeros(every.size, dtype=np.bool_)
        ends = np.cumsum(sizes)
        answers = every >= ANSWER
        n_answer = int(own.size - np.searchsorted(own, ANSWER))
        return Likeness(
            _jaccard(_counts(shared, ends), own.size, sizes),
            _jaccard(_counts(shared & answers, ends), n_answer, _counts(answers, ends)),
        )

    def _counted(self, numbers: U32) -> U32:
        if not self.boilerplate.size:
            return numbers
        return numbers[~_is_in(numbers, self.boilerplate)]

    def _without_boilerplate(self, numbers: U32, starts: Indexes) -> Ragged:
        if self.boilerplate.size:
            counts = ~_is_in(numbers, self.boilerplate)
            starts = np.concatenate(([0], np.cumsum(counts)))[starts]
            numbers = numbers[counts]
        return Ragged(numbers.astype(np.uint64), starts)


def filled(texts: Iterable[str], shingle: int) -> ShingleFile:
    """A file of texts that answer nothing."""
    sets = ShingleFile(shingle)
    for text in texts:
        sets.add(text)
    sets.settle()
    return sets


def _is_in(numbers: U32, known: U32) -> NDArray[np.bool_]:
    place = np.minimum(np.searchsorted(known, numbers), known.size - 1)
    return np.asarray(known[place] == numbers)


def _counts(flags: NDArray[np.bool_], ends: Indexes) -> Indexes:
    sums: Indexes = np.concatenate(([0], np.cumsum(flags)))[ends]
    return np.diff(sums, prepend=0)


def _jaccard(shared: Indexes, own: int, others: Indexes) -> NDArray[np.float64]:
    union = own + others - shared
    return np.where(union > 0, shared / np.maximum(union, 1), 1.0)
