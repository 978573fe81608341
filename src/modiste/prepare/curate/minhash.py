"""MinHash: the share of shingles two texts have in common, from 125 numbers each.

A signature holds, for each of 125 orders of all possible shingles, the smallest shingle of the
text; two signatures agree in each place with the probability that is the texts' Jaccard
similarity J. 25 bands of 5 places make candidates: two texts share at least one band with
probability 1 - (1 - J^5)^25, which is .06 at J = .3, .55 at .5 and .99 at .7.

Each order is multiplication of a 64-bit shingle hash by an odd 64-bit number, modulo 2^64, high
bits first. With products that never wrap all orders would be the same one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.shingles import U64, Ragged

BANDS, ROWS = 25, 5
U32 = NDArray[np.uint32]

_random = np.random.default_rng(0xBA5E)
_ORDERS: U64 = _random.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(
    1
)
_FOLD: U64 = _random.integers(0, 2**63, ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_BATCH = 1 << 15
"""Shingles handled at once, so that products stay in the cache."""


def sign(sets: Ragged) -> U32:
    """One row of 125 numbers for each text; a text without shingles has the largest everywhere."""
    n_texts = sets.starts.size - 1
    signatures = np.full((BANDS * ROWS, n_texts), 0xFFFFFFFF, dtype=np.uint32)
    filled = np.flatnonzero(sets.lengths)
    starts = sets.starts[filled]
    at = 0
    while at < filled.size:
        origin = int(starts[at])
        stop = max(int(np.searchsorted(starts, origin + _BATCH)), at + 1)
        last = filled[stop - 1]
        values = sets.values[origin : sets.starts[last + 1]]
        signatures[:, filled[at:stop]] = _smallest(values, starts[at:stop] - origin)
        at = stop
    return signatures.T


def _smallest(values: U64, starts: NDArray[np.int64]) -> U32:
    product = np.empty_like(values)
    smallest = np.empty((BANDS * ROWS, starts.size), dtype=np.uint64)
    for place, factor in enumerate(_ORDERS):
        np.multiply(values, factor, out=product)
        np.minimum.reduceat(product, starts, out=smallest[place])
    return (smallest >> np.uint64(32)).astype(np.uint32)


def band_keys(signatures: U32) -> U32:
    """One number for each of 25 bands; equal where all five places of the band are."""
    wide = signatures.reshape(-1, BANDS, ROWS).astype(np.uint64)
    keys = np.zeros(wide.shape[:2], dtype=np.uint64)
    for place in range(ROWS):
        keys = (keys ^ wide[:, :, place]) * _FOLD[place]
        keys ^= keys >> np.uint64(29)
    return (keys >> np.uint64(32)).astype(np.uint32)


def agreement(one: U32, other: U32) -> float:
    """The share of equal places: an estimate of J with standard error sqrt(J (1 - J) / 125)."""
    return float(np.mean(one == other))


def jaccard(one: U64 | U32, other: U64 | U32) -> float:
    """Of two sorted arrays without repeats. Two empty sets are the same set."""
    if not one.size or not other.size:
        return float(one.size == other.size)
    shared = np.intersect1d(one, other, assume_unique=True).size
    return shared / (one.size + other.size - shared)
