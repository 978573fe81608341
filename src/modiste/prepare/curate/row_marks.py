"""What finding duplicates keeps of each row in memory: some 80 bytes, whatever the row's size.

One pass over the rows makes the marks and, where asked for, the shingles on disk.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.errors import InvalidInput
from modiste.prepare.curate.fields import value_at
from modiste.prepare.curate.normal import digest, normal, said, words, written
from modiste.prepare.curate.shingle_file import ShingleFile
from modiste.prepare.curate.shingles import U64, Indexes
from modiste.prepare.curate.stage import Corpus, chain
from modiste.prepare.records import Record
from modiste.types import Example, SampleType

SHOWN = 5


class Sides(NamedTuple):
    """What is compared of a row."""

    asked: str
    """Of a preference row with the rejected answer: two rows that prefer the opposite must not
    look alike."""
    answered: str
    question: str
    """What makes two different answers contradict each other. Of a preference row with both
    answers in fixed order: many pairs for one prompt are no contradiction, a swapped pair is."""


class Marks(NamedTuple):
    """Arrays over all rows of some files."""

    rows: U64
    """(rows, 2): blake2b-128 of question and answer, normalised."""
    questions: U64
    answers: Indexes
    """Of the answer alone; 0 where there is none, as of questions."""
    n_answered: Indexes
    """Characters …"""
    n_asked: Indexes
    weights: NDArray[np.float64]
    """Zeros where none are asked for."""
    lines: Indexes
    ids: bytes
    files: tuple[str, ...]
    numbers: NDArray[np.int32]
    """Of each row's file."""

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> dict[str, Any]:
        """`{"file": …, "line": …, "id": …}`"""
        file = self.files[self.numbers[row]]
        id = self.ids[row * 16 : row * 16 + 16].hex()
        return {"file": file, "line": int(self.lines[row]), "id": id}


class Shingled(NamedTuple):
    rows: ShingleFile
    words: ShingleFile

    @classmethod
    def empty(cls, shingle: int) -> Shingled:
        return cls(ShingleFile(shingle), ShingleFile(1))


def sides(example: Example, *, system: bool) -> Sides:
    if example.sample_type is not SampleType.PREFERENCE:
        asked, answered = said(example, system=system)
        return Sides(asked, answered, asked)
    rejected = "\n".join(text for message in example.rejected for text in written(message))
    chosen = "\n".join(text for message in example.chosen for text in written(message))
    asked, answered = said(replace(example, rejected=()), system=system)
    question = "\n".join((asked, *sorted((normal(chosen), normal(rejected)))))
    return Sides(f"{asked}\n{rejected}", answered, question)


def read_marks(
    inputs: Sequence[Corpus],
    *,
    system: bool,
    digits: bool,
    weight: str | None = None,
    shingled: Shingled | None = None,
) -> Marks:
    """One pass over the rows.

    Args:
        weight: path of a number in each row.
        shingled: filled with the rows' shingles.

    Raises:
        InvalidInput: rows without a number under `weight`; how many, and the first ones.
    """
    taken = _Taken(system, digits, weight)
    for record in chain(inputs):
        compared = taken.add(record)
        if shingled is not None:
            shingled.rows.add(compared.asked, compared.answered)
            shingled.words.add(words(compared.asked), words(compared.answered))
    taken.refuse_unweighted()
    for file in shingled or ():
        file.settle()
    return taken.marks()


class _Taken:
    def __init__(self, system: bool, digits: bool, weight: str | None) -> None:
        self._system, self._digits, self._weight = system, digits, weight
        self._rows, self._questions, self._answers = bytearray(), array("Q"), array("q")
        self._n_answered, self._n_asked, self._weights = array("q"), array("q"), array("d")
        self._ids = bytearray()
        self._unweighted: list[str] = []
        self._lines, self._numbers = array("q"), array("i")
        self._files: dict[str, int] = {}

    def add(self, record: Record) -> Sides:
        compared = sides(record.example, system=self._system)
        asked, answered, question = (normal(text, digits=self._digits) for text in compared)
        self._rows += digest(asked, answered)
        self._questions.append(_number(question))
        self._answers.append(_number(answered) >> 1)
        self._n_answered.append(len(compared.answered))
        self._n_asked.append(len(compared.asked))
        self._lines.append(record.line)
        self._numbers.append(self._files.setdefault(record.file, len(self._files)))
        self._ids += bytes.fromhex(record.id)
        self._weights.append(self._weight_of(record))
        return compared

    def _weight_of(self, record: Record) -> float:
        if self._weight is None:
            return 0.0
        value = value_at(record.value, self._weight)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        self._unweighted.append(f"{record.file} line {record.line}")
        return 0.0

    def refuse_unweighted(self) -> None:
        if self._unweighted:
            first, rest = self._unweighted[:SHOWN], len(self._unweighted) - SHOWN
            more = f" and {rest:,} more" if rest > 0 else ""
            raise InvalidInput(
                f"{self._weight!r} is not a number in {', '.join(first)}{more}; name a field that "
                "holds one in every row, or keep the first or the longest instead"
            )

    def marks(self) -> Marks:
        return Marks(
            np.frombuffer(bytes(self._rows), dtype=np.uint64).reshape(-1, 2),
            np.frombuffer(self._questions, dtype=np.uint64),
            np.frombuffer(self._answers, dtype=np.int64),
            np.frombuffer(self._n_answered, dtype=np.int64),
            np.frombuffer(self._n_asked, dtype=np.int64),
            np.frombuffer(self._weights, dtype=np.float64),
            np.frombuffer(self._lines, dtype=np.int64),
            bytes(self._ids),
            tuple(self._files),
            np.frombuffer(self._numbers, dtype=np.int32),
        )


def _number(text: str) -> int:
    return int.from_bytes(digest(text)[:8], "little") or 1 if text else 0
