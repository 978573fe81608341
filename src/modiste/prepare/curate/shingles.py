"""Runs of words as numbers, for many texts at once: what near and contaminated texts share.

Words are what stands between white space. Each gets a 64-bit hash that depends on its bytes alone,
each run of `n` words (a shingle) one that depends on its words and their order. All of it is array
arithmetic modulo 2^64 over whole batches: a thousand texts cost a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
Indexes = NDArray[np.int64]

CHUNK_BYTES = 1 << 16
"""Arrays of this many words of 8 bytes stay in the processor's cache."""

_random = np.random.default_rng(0x5EED)
_BYTE: U64 = _random.integers(1, 2**64 - 1, 256, dtype=np.uint64)
"""A number for each byte; every number here is part of what stored hashes mean."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_BASE), -1, 2**64))
_PLACE: U64 = _random.integers(0, 2**63, 64, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
"""Odd, one for each place in a shingle."""
_BLANK = np.zeros(256, dtype=np.bool_)
_BLANK[list(b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x00")] = True

MAX_RUN = len(_PLACE)


class Ragged(NamedTuple):
    """Numbers of several texts, one text after the other."""

    values: U64
    starts: Indexes
    """Where each text begins, and at last where all end: one more than there are texts."""

    @property
    def lengths(self) -> Indexes:
        return np.diff(self.starts)

    def of(self, index: int) -> U64:
        return self.values[self.starts[index] : self.starts[index + 1]]


def word_hashes(texts: Sequence[str]) -> Ragged:
    """The words of each text, in order."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    data = np.frombuffer(b"\n".join([*encoded, b""]), dtype=np.uint8)
    blank = _BLANK[data]
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    if data.size and not blank[0]:
        edges = np.concatenate((np.zeros(1, dtype=edges.dtype), edges))
    first, end = edges[0::2], edges[1::2]
    begins = np.cumsum([0] + [len(text) + 1 for text in encoded])
    return Ragged(_hash_words(data, first, end), np.searchsorted(first, begins).astype(np.int64))


def shingles(words: Ragged, n: int) -> Ragged:
    """Every run of `n` words of each text; a text of fewer words is one shingle, none has none."""
    if not 1 <= n <= MAX_RUN:
        raise ValueError(f"runs of {n} words: only 1 to {MAX_RUN} are possible")
    lengths = words.lengths
    counts = np.where(lengths >= n, lengths - n + 1, np.minimum(lengths, 1))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    if words.values.size < n:
        runs = np.zeros(words.values.size, dtype=np.uint64)
    else:
        runs = _runs(words.values, n)
    at = positions(words.starts[:-1], counts)
    values = runs[np.minimum(at, max(runs.size - 1, 0))] if at.size else runs[:0]
    for index in np.flatnonzero((lengths > 0) & (lengths < n)):
        few = words.of(int(index))
        values[starts[index]] = np.bitwise_xor.reduce(_mixed(few * _PLACE[: few.size])) ^ few[0]
    return Ragged(_mixed(values), starts)


def positions(starts: Indexes, counts: Indexes) -> Indexes:
    """`starts[i], starts[i] + 1, …` for `counts[i]` places, for all i in a row."""
    total = int(counts.sum())
    shift = starts - np.concatenate(([0], np.cumsum(counts)[:-1]))
    places: Indexes = np.repeat(shift, counts) + np.arange(total, dtype=np.int64)
    return places


def distinct(given: Ragged) -> Ragged:
    """The high 32 bits of each text's numbers, sorted and without repeats.

    For sets that are kept or compared: within one pair of texts 32 bits do not collide.
    """
    of_text = np.repeat(np.arange(given.starts.size - 1, dtype=np.uint64), given.lengths)
    keys = np.unique((of_text << np.uint64(32)) | (given.values >> np.uint64(32)))
    counts = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=given.starts.size - 1)
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Ragged(keys & np.uint64(0xFFFFFFFF), starts)


def _runs(words: U64, n: int) -> U64:
    total: U64 = words[: words.size - n + 1] * _PLACE[0]
    for place in range(1, n):
        total += words[place : words.size - n + 1 + place] * _PLACE[place]
    return total


def _hash_words(data: NDArray[np.uint8], first: Indexes, end: Indexes) -> U64:
    """Sum of byte number times base^position over each word; chunks are cut between words."""
    hashes = np.empty(first.size, dtype=np.uint64)
    powers, inverses = _POWERS, _INVERSES
    at = 0
    while at < first.size:
        origin = int(first[at])
        stop = max(int(np.searchsorted(end, origin + CHUNK_BYTES, side="right")), at + 1)
        size = int(end[stop - 1]) - origin
        if size > powers.size:  # one word longer than a chunk
            powers, inverses = _powers(_BASE, size), _powers(_INVERSE, size)
        sums = np.zeros(size + 1, dtype=np.uint64)
        np.cumsum(_BYTE[data[origin : origin + size]] * powers[:size], out=sums[1:])
        left = first[at:stop] - origin
        hashes[at:stop] = (sums[end[at:stop] - origin] - sums[left]) * inverses[left]
        at = stop
    return _mixed(hashes)


def _mixed(values: U64) -> U64:
    """The finalizer of splitmix64: every bit of the input moves every bit of the output."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _powers(base: np.uint64, size: int) -> U64:
    steps = np.full(size, base, dtype=np.uint64)
    steps[:1] = 1
    return np.cumprod(steps, dtype=np.uint64)


_POWERS, _INVERSES = _powers(_BASE, CHUNK_BYTES), _powers(_INVERSE, CHUNK_BYTES)
