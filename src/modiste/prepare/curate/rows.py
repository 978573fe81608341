"""What curation keeps of each row in memory: a few numbers, whatever the row's size."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.errors import InvalidInput
from modiste.prepare.curate.fields import Reader, value_at, value_of, values_of
from modiste.prepare.curate.groups import Hashes, hash64
from modiste.prepare.curate.near import THRESHOLD, Sketches
from modiste.prepare.curate.normal import said
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.records import Record

SHOWN = 5


class Rows(NamedTuple):
    """Arrays over all rows of some files, in order."""

    ids: Hashes
    columns: tuple[Hashes, ...]
    """One number per field asked for, then one for the cluster of near-duplicates, at least ids."""
    kinds: NDArray[np.int32]
    """Number of all that a row says about its class; 0 where no classes are asked for."""
    kind_names: tuple[str, ...]
    class_rows: NDArray[np.int32]
    class_indexes: NDArray[np.int32]
    """Pairs of a row and one of its classes."""
    class_names: tuple[str, ...]
    starts: tuple[int, ...]
    """Index of the first row of each input."""
    files: NDArray[np.int32]
    file_names: tuple[str, ...]
    lines: NDArray[np.int64]
    weights: NDArray[np.float64]
    """Empty where none are asked for."""
    lacking: tuple[str, ...]
    """Fields that some rows lack, in words; such a row is alone as far as the field goes."""

    def where(self, row: int) -> str:
        """`train.jsonl line 7`."""
        return f"{self.file_names[self.files[row]]} line {self.lines[row]}"


def read_rows(
    inputs: Sequence[Corpus],
    *,
    fields: Sequence[str],
    classes: str | None = None,
    weight: str | None = None,
    near: bool = False,
) -> Rows:
    """One pass over the rows.

    Raises:
        InvalidInput: a field that no row has, rows without a class or a weight; how many, and the
            first ones.
    """
    collector = _Collector(fields, classes, weight)
    starts = []
    for corpus in inputs:
        starts.append(len(collector.ids))
        for record in corpus:
            collector.add(record)
    collector.refuse_wrong()
    ids = np.frombuffer(collector.ids, dtype=np.uint64)
    columns = [np.frombuffer(column, dtype=np.uint64) for column in collector.columns]
    if near:
        columns.append(_clusters(inputs, len(ids)))
    return Rows(
        ids,
        tuple(columns or [ids]),
        np.frombuffer(collector.kinds, dtype=np.int32),
        tuple(" + ".join(values) for values in collector.kind_numbers),
        np.frombuffer(collector.class_rows, dtype=np.int32),
        np.frombuffer(collector.class_indexes, dtype=np.int32),
        tuple(collector.class_names),
        tuple(starts),
        np.frombuffer(collector.files, dtype=np.int32),
        tuple(collector.file_names),
        np.frombuffer(collector.lines, dtype=np.int64),
        np.frombuffer(collector.weights, dtype=np.float64),
        collector.lacking(),
    )


class _Collector:
    def __init__(self, fields: Sequence[str], classes: str | None, weight: str | None) -> None:
        self._readers = [(name, value_of(name)) for name in fields]
        self._weight = weight
        self._classes = (classes, values_of(classes)) if classes else None
        self.ids = array("Q")
        self.columns = [array("Q") for _ in fields]
        self.kinds = array("i")
        self.class_rows = array("i")
        self.class_indexes = array("i")
        self.class_names: dict[str, int] = {}
        self.files = array("i")
        self.file_names: dict[str, int] = {}
        self.lines = array("q")
        self.weights = array("d")
        self.kind_numbers: dict[tuple[str, ...], int] = {}
        self._wrong: dict[str, list[str]] = {}
        self._lacking: dict[str, list[str]] = {}

    def add(self, record: Record) -> None:
        row = len(self.ids)
        self.ids.append(int(record.id[:16], 16))
        self.files.append(self.file_names.setdefault(record.file, len(self.file_names)))
        self.lines.append(record.line)
        for column, (name, read) in zip(self.columns, self._readers, strict=True):
            value = read(record)
            if value is None:
                self._lacking.setdefault(name, []).append(_place(record))
            column.append(hash64(f"{name}\0{value}" if value is not None else f"\0{record.id}"))
        if self._weight is not None:
            self._add_weight(self._weight, record)
        if self._classes is None:
            self.kinds.append(0)
        else:
            self._add_class(*self._classes, record, row)

    def _add_weight(self, name: str, record: Record) -> None:
        value = value_at(record.value, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value < math.inf:
            said = "is missing" if value is None else "is no number from 0 up"
            self._wrong.setdefault(f"{name!r} {said}", []).append(_place(record))
            value = 0.0
        self.weights.append(value)

    def _add_class(self, name: str, read_all: Reader, record: Record, row: int) -> None:
        values = read_all(record)
        if not values:
            self._wrong.setdefault(f"{name!r} is missing", []).append(_place(record))
        self.kinds.append(self.kind_numbers.setdefault(values, len(self.kind_numbers)))
        for value in dict.fromkeys(values):
            self.class_rows.append(row)
            index = self.class_names.setdefault(value, len(self.class_names))
            self.class_indexes.append(index)

    def lacking(self) -> tuple[str, ...]:
        return tuple(_said(f"{name!r} is missing", all) for name, all in self._lacking.items())

    def refuse_wrong(self) -> None:
        nowhere = [
            f"{n!r} is in no row" for n, p in self._lacking.items() if len(p) == len(self.ids)
        ]
        said = nowhere + [_said(what, places) for what, places in self._wrong.items()]
        if not said:
            return
        raise InvalidInput(
            f"{'; '.join(said)}. Name a field that every row has: prompt, answer, type, labels, "
            "or a path such as metadata.user"
        )


def _said(what: str, places: Sequence[str]) -> str:
    more = f" and {len(places) - SHOWN:,} more" if len(places) > SHOWN else ""
    return f"{what} in {', '.join(places[:SHOWN])}{more}"


def _place(record: Record) -> str:
    return f"{record.file} line {record.line}"


def _clusters(inputs: Sequence[Corpus], n_rows: int) -> Hashes:
    """Rows whose prompts are likely near-duplicates have the same number.

    Not verified: here a pair too many costs nothing, a pair too few is a leak.
    """
    sketches = Sketches()
    for corpus in inputs:
        for record in corpus:
            sketches.add(said(record.example).asked)
    number = np.arange(n_rows, dtype=np.uint64)
    for pair in sketches.likely(THRESHOLD):
        number[pair.second] = number[pair.first]
    return number
