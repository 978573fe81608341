"""Candidates for paraphrases: rows that have enough of a unit's rarest words.

A paraphrase keeps a known share of a unit's weight, so it must keep the rest of that share among
the unit's heaviest words; only those are looked for, and most rows have none of them. Words weigh
the more, the fewer rows and units have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.eval_items import Known, Side, Unit
from modiste.prepare.curate.row_words import RowWords
from modiste.prepare.curate.shingles import U64, Indexes, positions
from modiste.prepare.curate.verdicts import (
    LONGEST,
    MIN_PARAPHRASED,
    WEIGHT,
    Weighted,
)

ANCHORED = 0.6
"""Share of a unit's weight that lies in its anchors."""
BLOCK = 512
"""Words of a long row that are looked at together; blocks overlap by half."""
LEAST_WEIGHT = 0.1


class Candidate(NamedTuple):
    row: int
    """In the batch."""
    unit: int


class Weights:
    """What words weigh: the logarithm of one over the share of rows and questions that have them.

    Args:
        vocabulary: all words of all units.
        n_rows, rows_with: training rows in all, and those with each word of the vocabulary.
    """

    def __init__(
        self, units: Sequence[Unit], vocabulary: Known, *, n_rows: int, rows_with: Indexes
    ) -> None:
        self.vocabulary = vocabulary
        heads = {i: u.hashes[:LONGEST] for i, u in enumerate(units) if u.side is Side.QUESTION}
        counts = rows_with.astype(np.float64)
        for head in heads.values():
            counts[np.unique(self.ids(head))] += 1
        n = n_rows + len(heads) + 1
        weights: NDArray[np.float64] = np.log(n / (counts + 1))
        self.of_ids = np.maximum(weights, LEAST_WEIGHT)
        self.questions = {i: Weighted(h, self.of_ids[self.ids(h)]) for i, h in heads.items()}
        """By unit."""

    def ids(self, hashes: U64) -> Indexes:
        """Of words that are all in the vocabulary."""
        return np.searchsorted(self.vocabulary.numbers, hashes)


class Anchors:
    """The rarest words of questions, and the questions that each anchors."""

    def __init__(self, weights: Weights, n_units: int) -> None:
        self._vocabulary = weights.vocabulary
        self._needed = np.full(n_units, np.inf)
        words, of_unit, mass = [], [], []
        for index, (head, _) in weights.questions.items():
            if head.size < MIN_PARAPHRASED:
                continue
            anchors, masses, total = _anchors(weights.ids(head), weights.of_ids)
            self._needed[index] = masses.sum() - (1 - WEIGHT) * total - 1e-9
            words.append(anchors)
            of_unit.append(np.full(anchors.size, index))
            mass.append(masses)
        nothing = np.zeros(0, dtype=np.int64)
        word = np.concatenate([nothing, *words])
        order = np.argsort(word, kind="stable")
        self._units: Indexes = np.concatenate([nothing, *of_unit])[order]
        self._mass: NDArray[np.float64] = np.concatenate([nothing.astype(float), *mass])[order]
        size = self._vocabulary.numbers.size
        self._starts = np.searchsorted(word[order], np.arange(size + 1))

    def candidates(self, batch: RowWords) -> list[Candidate]:
        places, word = self._vocabulary.find(batch.messages.values)
        if not places.size or not self._units.size:
            return []
        block, word = _blocks(batch, places, word)
        pairs = np.unique(block * np.int64(self._vocabulary.numbers.size) + word)
        block, word = np.divmod(pairs, self._vocabulary.numbers.size)
        counts = self._starts[word + 1] - self._starts[word]
        at = positions(self._starts[word], counts)
        keys = np.repeat(block, counts) * np.int64(self._needed.size) + self._units[at]
        distinct, inverse = np.unique(keys, return_inverse=True)
        mass = np.bincount(inverse, weights=self._mass[at], minlength=distinct.size)
        block, unit = np.divmod(distinct, self._needed.size)
        enough = mass >= self._needed[unit]
        row = block[enough] // _BLOCKS
        found = sorted(set(zip(row.tolist(), unit[enough].tolist(), strict=True)))
        return [Candidate(*pair) for pair in found]


_BLOCKS = 1 << 20
"""More than a row has blocks."""


def _blocks(batch: RowWords, places: Indexes, word: Indexes) -> tuple[Indexes, Indexes]:
    """Words by the block of their row in which they stand; words of long rows are in two."""
    starts = batch.word_starts
    row = batch.row_of_word()[places]
    within = places - starts[row]
    long = np.flatnonzero((starts[row + 1] - starts[row]) > BLOCK)
    first = row * _BLOCKS + within // BLOCK * 2
    second = row[long] * _BLOCKS + (within[long] + BLOCK // 2) // BLOCK * 2 + 1
    return np.concatenate((first, second)), np.concatenate((word, word[long]))


def _anchors(
    ids: Indexes, weights: NDArray[np.float64]
) -> tuple[Indexes, NDArray[np.float64], float]:
    """A unit's heaviest words, ANCHORED of its weight in all; what each weighs; the whole."""
    distinct, counts = np.unique(ids, return_counts=True)
    masses = weights[distinct] * counts
    order = np.lexsort((distinct, -weights[distinct]))
    total = float(masses.sum())
    n = int(np.searchsorted(np.cumsum(masses[order]), ANCHORED * total)) + 1
    chosen = order[:n]
    return distinct[chosen], masses[chosen], total
