"""Topics: groups of like texts (k-means), named by the words that set them apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.vectors import Floats, Sparse
from modiste.prepare.inspect.function_words import WORDS

ROUNDS = 30
STARTS = 4
TERMS = 4


class Cluster(NamedTuple):
    terms: tuple[str, ...]
    """What its texts say more often than others do, the most telling first."""
    rows: NDArray[np.int64]
    """Its texts, those nearest its middle first."""


def how_many(n_texts: int) -> int:
    """2 for some ten texts, 14 for 2,000, 45 for 20,000: fine enough to show what is missing."""
    return int(max(1, min(50, (n_texts / 10) ** 0.5)))


_COMMONPLACE = """
    am any are ask can cannot could day did didn does doesn doing don done get gets getting give go
    going good got had has have having help here how just know let like ll make many me more most
    much my need new now one please say see should so some something take tell than thank thanks
    that the then there thing things time up us use used using ve want was way what when where
    which who why will with without work would
    podrías podría quiero necesito puedo puedes hola kannst kann bitte
    что как на не это для по из мне или от но же так такое какой какие меня ты вы
"""
COMMONPLACE = frozenset(_COMMONPLACE.split())
"""Words that name no topic, besides the little words of each language."""


def names_topics(word: str) -> bool:
    """Whether a word may tell one topic from another."""
    if len(word) == 1:
        return "\u4e00" <= word <= "\u9fff"
    return not word.isdigit() and word not in COMMONPLACE and word not in WORDS


def clusters(vectors: Floats, sparse: Sparse, *, count: int, seed: int = 0) -> list[Cluster]:
    """Largest first. Texts without any vector are a cluster of their own, without terms."""
    told = np.flatnonzero(np.abs(vectors).sum(axis=1) > 0)
    found = []
    if len(told) < len(vectors):
        silent = np.setdiff1d(np.arange(len(vectors)), told)
        found.append(Cluster((), silent))
    if len(told):
        label, centre = k_means(vectors[told], count, seed=seed)
        overall = _mean(sparse, told)
        for at in np.unique(label):
            rows = told[label == at]
            near = rows[np.argsort(-(vectors[rows] @ centre[at]), kind="stable")]
            telling = _mean(sparse, rows) - overall
            best = [i for i in np.argsort(-telling, kind="stable")[:TERMS] if telling[i] > 0]
            found.append(Cluster(tuple(sparse.words[i] for i in best), near))
    return sorted(found, key=lambda cluster: (-len(cluster.rows), cluster.terms))


def _mean(sparse: Sparse, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(V,) average weight of each word in some texts."""
    inside = np.zeros(sparse.n_texts, dtype=bool)
    inside[rows] = True
    owner = np.repeat(np.arange(sparse.n_texts), np.diff(sparse.starts))
    mine = inside[owner]
    sums = np.bincount(
        sparse.columns[mine], weights=sparse.weights[mine], minlength=max(1, len(sparse.words))
    )
    result: NDArray[np.float64] = sums / max(1, len(rows))
    return result


def k_means(vectors: Floats, count: int, *, seed: int = 0) -> tuple[NDArray[np.int64], Floats]:
    """Which of `count` middles each vector is nearest to, and the middles, of length one.

    Spherical: nearness is the cosine. Starts are spread out as in k-means++.
    """
    random = np.random.default_rng(seed)
    tries = [
        _settled(vectors, _spread(vectors, min(count, len(vectors)), random)) for _ in range(STARTS)
    ]
    best = max(tries, key=lambda found: found.score)
    return best.label, best.centre


class _Settled(NamedTuple):
    label: NDArray[np.int64]
    centre: Floats
    score: float
    """Sum of the cosines with the nearest middle."""


def _settled(vectors: Floats, centre: Floats) -> _Settled:
    """Middles moved to the middle of what is near them, until nothing moves."""
    nearness = vectors @ centre.T
    label = nearness.argmax(axis=1)
    for _ in range(ROUNDS):
        sums = np.zeros_like(centre)
        np.add.at(sums, label, vectors)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centre = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centre)
        nearness = vectors @ centre.T
        moved = nearness.argmax(axis=1)
        if np.array_equal(moved, label):
            break
        label = moved
    return _Settled(label, centre, float(nearness.max(axis=1).sum()))


def _spread(vectors: Floats, count: int, random: np.random.Generator) -> Floats:
    chosen = [int(random.integers(len(vectors)))]
    distance = np.maximum(1 - vectors @ vectors[chosen[0]], 0)
    while len(chosen) < count and distance.sum() > 0:
        chosen.append(int(random.choice(len(vectors), p=distance / distance.sum())))
        distance = np.minimum(distance, np.maximum(1 - vectors @ vectors[chosen[-1]], 0))
    return vectors[chosen].copy()
