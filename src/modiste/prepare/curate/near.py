"""Texts that are nearly the same: sketches for checks, verified clusters for curation.

A sketch keeps 100 bytes of a text, so that a check of any size can remark on near-repeats as it
reads: what it finds is likely, with an estimate. `similarity` tells the truth about two texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from modiste.prepare.curate.leaders import clusters, find
from modiste.prepare.curate.minhash import BANDS, ROWS, U32, band_keys, jaccard, sign
from modiste.prepare.curate.normal import parted
from modiste.prepare.curate.shingle_file import filled
from modiste.prepare.curate.shingles import U64, Ragged, distinct, shingles, word_hashes

SHINGLE = 5
"""Words in a shingle."""
THRESHOLD = 0.7
"""Share of common shingles from which two texts are near-duplicates."""
_BATCH_CHARS = 1 << 19


class Pair(NamedTuple):
    first: int
    """Index of the earlier text …"""
    second: int
    """… and of the later one."""
    similarity: float


class Sketches:
    """What is remembered of many texts; parts made by several processes are joined by `extend`.

    Plain arrays inside: a part is sent between processes as it is. Takes about 12 microseconds for
    1,000 characters.
    """

    def __init__(self, *, shingle: int = SHINGLE) -> None:
        self.shingle = shingle
        self._waiting: list[str] = []
        self._waiting_chars = 0
        self._keys: list[U32] = []
        self._blank: list[bool] = []
        """Texts without a word are like no other."""

    def __len__(self) -> int:
        return len(self._blank) + len(self._waiting)

    def add(self, text: str) -> None:
        """The text gets the next index."""
        self._waiting.append(text)
        self._waiting_chars += len(text)
        if self._waiting_chars >= _BATCH_CHARS:
            self.settle()

    def extend(self, later: Sketches) -> None:
        """Texts of another part, as if they had been added here now."""
        if later.shingle != self.shingle:
            raise ValueError("sketches with different shingles cannot be joined")
        self.settle()
        later.settle()
        self._keys += later._keys
        self._blank += later._blank

    def settle(self) -> None:
        """Work off what waits; sketches are smallest after this."""
        if not self._waiting:
            return
        found = shingles_of(self._waiting, self.shingle)
        self._keys.append(band_keys(sign(found)))
        self._blank += (found.lengths == 0).tolist()
        self._waiting, self._waiting_chars = [], 0

    def likely(self, threshold: float = 0.8) -> list[Pair]:
        """Texts that resemble an earlier one, each with the earlier one it resembles most.

        Args:
            threshold: on the estimated similarity, which is the fifth root of the share of equal
                bands: at a true .8 it errs by .04, at .6 by .08. To be sure, ask `similarity`.
        """
        self.settle()
        if not self._keys:
            return []
        # A band at a time: all of them side by side would be another 100 bytes of each text.
        bands = [
            _to_first(np.concatenate([part[:, band] for part in self._keys]))
            for band in range(BANDS)
        ]
        pairs, counts = np.unique(np.concatenate(bands), return_counts=True)
        enough = counts >= np.ceil(threshold**ROWS * BANDS - 1e-9)
        best: dict[int, Pair] = {}
        for pair, count in zip(pairs[enough].tolist(), counts[enough].tolist(), strict=True):
            second, first = divmod(pair, 1 << 32)
            found = Pair(first, second, round((count / BANDS) ** (1 / ROWS), 2))
            known = best.get(second)
            if not self._blank[second] and (known is None or found.similarity > known.similarity):
                best[second] = found
        return [best[second] for second in sorted(best)]


def _to_first(keys: U32) -> U64:
    """`second << 32 | first` for every row that has the key of an earlier, first one."""
    order = np.argsort(keys, kind="stable")
    fresh = np.concatenate(([True], keys[order][1:] != keys[order][:-1]))
    first = order[np.flatnonzero(fresh)][np.cumsum(fresh) - 1]
    again = order != first
    pairs: U64 = (order[again].astype(np.uint64) << np.uint64(32)) | first[again].astype(np.uint64)
    return pairs


def similarity(one: str, other: str, *, shingle: int = SHINGLE) -> float:
    """Jaccard similarity of two texts: the share of their word runs that both have."""
    sets = distinct(shingles_of([one, other], shingle))
    return jaccard(sets.of(0), sets.of(1))


def shingles_of(texts: Iterable[str], shingle: int = SHINGLE) -> Ragged:
    return shingles(word_hashes([parted(text) for text in texts]), shingle)


def near_duplicates(
    texts: Iterable[str], *, threshold: float = THRESHOLD, shingle: int = SHINGLE
) -> list[tuple[int, ...]]:
    """Clusters of texts that are nearly the same, as indexes; texts like no other are in none.

    Every link is verified. Neither texts nor their shingles are held in memory.
    """
    sets = filled(texts, shingle)
    alive = np.ones(len(sets), dtype=np.bool_)
    found = find(sets, alive=alive, order=range(len(sets)), threshold=threshold)
    return clusters((like.row, like.of) for like in found.links)
