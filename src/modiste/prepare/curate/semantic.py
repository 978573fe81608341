"""Texts that mean the same, by the angle between their vectors.

Vectors lie in a file without a name. Up to 200,000 are compared all with all, block by block; more
are first sorted into cells, each vector into its two nearest, and compared within a cell. Which of
the two was done is said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.errors import InvalidInput
from modiste.prepare.curate.embedders import Embed, Vectors
from modiste.prepare.curate.shingles import Indexes

MAX_EXACT = 200_000
MAX_PAIRS = 20_000_000
_BLOCK = 2048
_EMBEDDED_AT_ONCE = 512
_CELL = 4000
"""Vectors in a cell, on average."""


class Alike(NamedTuple):
    """Pairs of rows, the earlier first, with the cosine of their vectors."""

    first: Indexes
    second: Indexes
    cosine: NDArray[np.float32]


def embedded(texts: Iterable[str], embed: Embed, *, centred: bool = False) -> Vectors:
    """Vectors of length 1, one for each text, mapped from a file.

    Args:
        centred: take the mean of all off first. Averaged states of a language model share most of
            their direction, and every cosine would be near 1.
    """
    n_texts, width = 0, 0
    with tempfile.TemporaryFile(prefix="modiste-vectors-") as file:
        for batch in _batches(texts):
            vectors = np.ascontiguousarray(embed(batch), dtype=np.float32)
            if vectors.shape[0] != len(batch) or (width and vectors.shape[1] != width):
                raise InvalidInput(
                    f"{len(batch)} texts were embedded as an array of {vectors.shape}, the ones "
                    f"before with {width} numbers each"
                )
            file.write(vectors.tobytes())
            n_texts, width = n_texts + len(batch), vectors.shape[1]
        file.flush()
        if not n_texts:
            return np.zeros((0, 1), dtype=np.float32)
        mapped = np.memmap(file, dtype=np.float32, mode="r+", shape=(n_texts, width))
    _to_unit_length(mapped, centred=centred)
    return mapped


def alike(vectors: Vectors, threshold: float) -> Alike:
    """All pairs whose cosine is at least `threshold`; of very many vectors, nearly all.

    Raises:
        InvalidInput: more pairs than anybody could use; the threshold is too low.
    """
    found: list[Alike] = []
    n_pairs = 0
    for rows in _neighbourhoods(vectors):
        for part in _pairs_of(vectors, rows, threshold):
            n_pairs += part.first.size
            if n_pairs > MAX_PAIRS:
                raise InvalidInput(
                    f"more than {MAX_PAIRS:,} pairs have a cosine of {threshold} or more; raise "
                    "the threshold for this embedding model"
                )
            found.append(part)
    return _without_repeats(found, len(vectors))


def _without_repeats(parts: Sequence[Alike], n: int) -> Alike:
    nothing = np.zeros(0, dtype=np.int64)
    first = np.concatenate([nothing, *(part.first for part in parts)])
    second = np.concatenate([nothing, *(part.second for part in parts)])
    cosine = np.concatenate([nothing.astype(np.float32), *(part.cosine for part in parts)])
    _, once = np.unique(first * n + second, return_index=True)
    return Alike(first[once], second[once], cosine[once])


def cosines(one: Vectors, other: Vectors) -> NDArray[np.float32]:
    """Row by row."""
    return np.asarray(np.einsum("ij,ij->i", one, other), dtype=np.float32)


def _batches(texts: Iterable[str]) -> Iterator[Sequence[str]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, _EMBEDDED_AT_ONCE)):
        yield batch


def _to_unit_length(vectors: Vectors, *, centred: bool) -> None:
    mean = np.zeros(vectors.shape[1], dtype=np.float64)
    if centred:
        for at in range(0, len(vectors), _BLOCK):
            mean += vectors[at : at + _BLOCK].sum(axis=0, dtype=np.float64) / len(vectors)
    for at in range(0, len(vectors), _BLOCK):
        block = vectors[at : at + _BLOCK] - mean.astype(np.float32)
        norms = np.linalg.norm(block, axis=1, keepdims=True)
        vectors[at : at + _BLOCK] = block / np.where(norms > 0, norms, 1)


def _neighbourhoods(vectors: Vectors) -> Iterator[Indexes]:
    if len(vectors) <= MAX_EXACT:
        yield np.arange(len(vectors))
        return
    centres = _centres(vectors, len(vectors) // _CELL)
    nearest = np.empty((len(vectors), 2), dtype=np.int32)
    for at in range(0, len(vectors), _BLOCK):
        near = np.argpartition(-(vectors[at : at + _BLOCK] @ centres.T), 1, axis=1)[:, :2]
        nearest[at : at + _BLOCK] = near
    order = np.argsort(nearest.ravel(), kind="stable")
    bounds = np.searchsorted(nearest.ravel()[order], np.arange(len(centres) + 1))
    for first, end in pairwise(bounds.tolist()):
        yield np.sort(order[first:end] // 2)


def _centres(vectors: Vectors, n: int) -> Vectors:
    """A few rounds of k-means on a sample; cells need be even, not perfect."""
    random = np.random.default_rng(0)
    sample = vectors[np.sort(random.choice(len(vectors), min(len(vectors), 50 * n), replace=False))]
    centres = sample[random.choice(len(sample), n, replace=False)]
    for _ in range(5):
        own = np.argmax(sample @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, sample)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norms > 0, sums / np.maximum(norms, 1e-9), centres)
    return np.asarray(centres, dtype=np.float32)


def _pairs_of(vectors: Vectors, rows: Indexes, threshold: float) -> Iterator[Alike]:
    for at in range(0, rows.size, _BLOCK):
        left = rows[at : at + _BLOCK]
        own = vectors[left]
        for other in range(at, rows.size, _BLOCK):
            right = rows[other : other + _BLOCK]
            cosine = own @ vectors[right].T
            i, j = np.nonzero(cosine >= threshold)
            later = right[j] > left[i]
            i, j = i[later], j[later]
            if i.size:
                yield Alike(left[i], right[j], cosine[i, j])
