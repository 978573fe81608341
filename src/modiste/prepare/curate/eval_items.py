"""Eval items as what must not be learned: their words, their runs of words, their rarest words.

An item has one or two units, its question and its answer; equal units of several items are one. A
run that several different units share (an instruction, a passage with many questions) tells nothing
about any of them and is left out; what is left of a unit is its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.normal import said, words
from modiste.prepare.curate.shingles import (
    U64,
    Indexes,
    Ragged,
    positions,
    shingles,
    word_hashes,
)
from modiste.prepare.records import Record

Flags = NDArray[np.bool_]

TEMPLATE_SHARE = 0.01
MIN_TEMPLATE = 3
"""Different units with the same run, at least, for it to be a template."""
MIN_SEGMENT_WORDS = 4
_BREAK = re.compile(r"(?<=[.!?;。！？])\s+|\n+")
_WITH_DIGIT = re.compile(r"[^\W_]*\d[^\W_]*")
_NAME = re.compile(r"(?<=[^\W_]\s)[A-Z][^\W_]+|(?<=[,(\"'“‘] )[A-Z][^\W_]+")


class Side(StrEnum):
    QUESTION = "question"
    ANSWER = "answer"


class Item(NamedTuple):
    id: str
    file: str
    line: int


class Unit(NamedTuple):
    side: Side
    text: str
    items: list[int]
    hashes: U64
    """Of its words, in order."""
    segments: tuple[tuple[int, int], ...]
    """Sentences and lines, as ranges of words."""
    numbers: U64
    """Words with digits …"""
    names: U64
    """… and words that are written large within a sentence: these stay in any paraphrase."""


class Known:
    """Numbers that are looked for among very many others."""

    def __init__(self, numbers: U64) -> None:
        self.numbers: U64 = np.unique(numbers)
        bits = max(16, int(self.numbers.size * 16).bit_length())
        self._shift = np.uint64(64 - min(bits, 26))
        self._table = np.zeros(1 << min(bits, 26), dtype=np.bool_)
        self._table[self.numbers >> self._shift] = True

    def find(self, among: U64) -> tuple[Indexes, Indexes]:
        """Where known numbers stand in `among`, and which ones they are."""
        places = np.flatnonzero(self._table[among >> self._shift])
        if not self.numbers.size or not places.size:
            return places[:0], places[:0]
        which = np.minimum(np.searchsorted(self.numbers, among[places]), self.numbers.size - 1)
        sure = self.numbers[which] == among[places]
        return places[sure], which[sure]


class EvalItems:
    """Units of all items, and where each run of `n` words stands in them.

    Args:
        min_answer: answers of fewer words are not looked for: many rows may share them.
    """

    def __init__(self, records: Iterable[Record], *, n: int, min_answer: int) -> None:
        self.n = n
        self.items: list[Item] = []
        self.units: list[Unit] = []
        self.unlooked = 0
        """Items without a unit."""
        self._collect(records, min_answer)
        runs = shingles(Ragged(*_joined([unit.hashes for unit in self.units])), n)
        self.starts: Indexes = runs.starts
        """Of each unit's runs among all."""
        self.grams = Known(runs.values)
        self.gram_of: Indexes = np.searchsorted(self.grams.numbers, runs.values)
        self.unit_of: Indexes = np.repeat(np.arange(len(self.units)), runs.lengths)
        order = np.argsort(self.gram_of, kind="stable")
        self._by_gram = order
        self._gram_starts = np.searchsorted(
            self.gram_of[order], np.arange(self.grams.numbers.size + 1)
        )
        limit = max(MIN_TEMPLATE, TEMPLATE_SHARE * len(self.units))
        self.template: Flags = self._units_of_grams() >= limit
        """By gram."""

    def _collect(self, records: Iterable[Record], min_answer: int) -> None:
        seen: dict[tuple[Side, str], int] = {}
        for record in records:
            item = len(self.items)
            self.items.append(Item(record.id, record.file, record.line))
            question, answer = said(record.example)
            found = False
            for side, text in ((Side.QUESTION, question), (Side.ANSWER, answer)):
                plain = " ".join(words(text).split())
                if not plain or (side is Side.ANSWER and plain.count(" ") + 1 < min_answer):
                    continue
                found = True
                at = seen.setdefault((side, plain), len(self.units))
                if at == len(self.units):
                    self.units.append(unit_of(side, text))
                if item not in self.units[at].items[-1:]:
                    self.units[at].items.append(item)
            self.unlooked += not found

    def _units_of_grams(self) -> Indexes:
        pairs = np.unique(self.gram_of * max(len(self.units), 1) + self.unit_of)
        counts: Indexes = np.bincount(
            pairs // max(len(self.units), 1), minlength=self.grams.numbers.size
        )
        return counts

    def places(self, grams: Indexes) -> Indexes:
        """Where some grams stand: indexes of runs, several for a gram of several units."""
        first = self._gram_starts[grams]
        return self._by_gram[positions(first, self._gram_starts[grams + 1] - first)]


def unit_of(side: Side, text: str) -> Unit:
    parts = [words(part).split() for part in _BREAK.split(text)]
    merged: list[list[str]] = []
    for part in parts:
        if merged and len(merged[-1]) < MIN_SEGMENT_WORDS:
            merged[-1] += part
        elif part:
            merged.append(list(part))
    if len(merged) > 1 and len(merged[-1]) < MIN_SEGMENT_WORDS:
        last = merged.pop()
        merged[-1] += last
    ends = np.cumsum([0, *(len(part) for part in merged)]).tolist()
    names = _NAME.findall(text)
    every = [word for part in merged for word in part]
    if len(names) * 2 > len(every):  # a title
        names = []
    return Unit(
        side,
        text,
        [],
        _hashed(every),
        tuple(pairwise(ends)),
        np.unique(_hashed(words(" ".join(_WITH_DIGIT.findall(text))).split())),
        np.unique(_hashed(words(" ".join(names)).split())),
    )


def _hashed(tokens: Sequence[str]) -> U64:
    return word_hashes([" ".join(tokens)]).values


def _joined(arrays: Sequence[U64]) -> tuple[U64, Indexes]:
    starts = np.cumsum([0, *(array.size for array in arrays)])
    return np.concatenate([np.zeros(0, dtype=np.uint64), *arrays]), starts
