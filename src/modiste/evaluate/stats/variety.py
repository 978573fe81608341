"""How various texts are: as vectors, as words, in length, over topics.

The Vendi score and distinct-n are those of data preparation (`prepare/curate/vectors`), so that
what is generated and what is trained on are measured with one rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Labels, coded, matrix
from modiste.prepare.curate import vectors
from modiste.prepare.curate.traits import length_bin


@dataclass(frozen=True)
class Variety:
    value: float
    n: int
    method: str


@dataclass(frozen=True)
class Lengths:
    bins: dict[str, int]
    """Texts by number of words, in doubling bins without gaps, the shortest first."""
    mean: float
    median: float
    n: int
    method: str


def vendi(x: NDArray[np.floating] | Sequence[Sequence[float]]) -> Variety:
    """As many altogether different items as these (n, D) vectors amount to, 1 to n.

    Raises:
        InvalidInput: no vector, a NaN, or one of length zero, which has no direction.
    """
    rows = matrix("x", x)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    zeros = np.flatnonzero(norms == 0)
    if len(zeros):
        raise InvalidInput(f"x[{zeros[0]}] is all zeros ({len(zeros)} such rows); leave them out")
    unit = rows / norms
    return Variety(vectors.vendi(unit @ unit.T), len(rows), "Vendi score of cosines")


def distinct_n(texts: Sequence[str], n: int) -> Variety:
    """Share of runs of `n` words that differ; falls with the number of texts, so compare equally
    many.

    Raises:
        InvalidInput: no text has so many words.
    """
    value = vectors.distinct(texts, n)
    if value is None:
        raise InvalidInput(f"none of {len(texts)} texts has {n} words")
    return Variety(value, len(texts), f"distinct-{n}")


def length_hist(texts: Iterable[str]) -> Lengths:
    """Raises InvalidInput where there is no text."""
    words = [len(text.split()) for text in texts]
    if not words:
        raise InvalidInput("there is no text to measure")
    names = [length_bin(1 << at >> 1) for at in range(max(words).bit_length() + 1)]
    bins = dict.fromkeys(names[min(words).bit_length() :], 0)
    for count in words:
        bins[length_bin(count)] += 1
    mean, median = float(np.mean(words)), float(np.median(words))
    return Lengths(bins, mean, median, len(words), "words between spaces")


def cluster_entropy(clusters: Labels) -> Variety:
    """Evenness of topics: entropy over the highest there could be, 1 where all are equally large.

    One cluster has none: 0. Raises InvalidInput where there is no label.
    """
    codes, names = coded(clusters)
    if not names:
        raise InvalidInput("there is no cluster label")
    shares = np.bincount(codes) / len(codes)
    entropy = float(-(shares * np.log(shares)).sum())
    value = entropy / float(np.log(len(names))) if len(names) > 1 else 0.0
    return Variety(value, len(codes), f"normalised entropy of {len(names)} clusters")
