"""Texts as vectors of the words they use, and how different many texts are from each other.

Legend: N texts, V words of the vocabulary, D dimensions. Vectors have length one; a text without a
word of the vocabulary is all zeros. Nothing is learned elsewhere and nothing is downloaded; an
embedding model, where there is one, takes the place of `lexical`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.normal import words

Floats = NDArray[np.float32]

MAX_WORDS = 8192
_BATCH = 1000


class Sparse(NamedTuple):
    """Weights of the words of N texts."""

    starts: NDArray[np.int64]
    """N + 1 positions in the two that follow."""
    columns: NDArray[np.int32]
    weights: Floats
    words: tuple[str, ...]

    @property
    def n_texts(self) -> int:
        return len(self.starts) - 1

    def dense(self, rows: Sequence[int] | NDArray[np.int64]) -> Floats:
        """Some of the texts, (rows, V)."""
        block = np.zeros((len(rows), max(1, len(self.words))), dtype=np.float32)
        for at, row in enumerate(rows):
            inside = slice(self.starts[row], self.starts[row + 1])
            block[at, self.columns[inside]] = self.weights[inside]
        return block

    def batches(self) -> Iterator[Floats]:
        for start in range(0, self.n_texts, _BATCH):
            yield self.dense(range(start, min(start + _BATCH, self.n_texts)))


def lexical(
    texts: Sequence[str],
    *,
    keep: Callable[[str], bool] = lambda word: True,
    too_common: float = 1.0,
) -> Sparse:
    """Words weighted by how much they tell: often in the text, rare in the others (tf-idf).

    Words of one text only are left out of the vectors but not of their length, so that cosines are
    those of all words.

    Args:
        keep: which words count.
        too_common: words in more than this share of the texts do not.
    """
    counted = [Counter(words(text).split()) for text in texts]
    spread = Counter(word for counts in counted for word in counts)
    most = max(1, too_common * len(texts))
    rarity = {
        word: math.log((1 + len(texts)) / (1 + n)) + 1
        for word, n in spread.items()
        if n <= most and keep(word)
    }
    shared = sorted((word for word in rarity if spread[word] > 1), key=lambda w: (-spread[w], w))
    vocabulary = {word: at for at, word in enumerate(shared[:MAX_WORDS])}
    starts, columns, weights = [0], list[int](), list[float]()
    for counts in counted:
        told = {w: (1 + math.log(n)) * rarity[w] for w, n in counts.items() if w in rarity}
        norm = math.sqrt(sum(weight**2 for weight in told.values())) or 1.0
        inside = [word for word in told if word in vocabulary]
        columns += [vocabulary[word] for word in inside]
        weights += [told[word] / norm for word in inside]
        starts.append(len(columns))
    return Sparse(
        np.asarray(starts, dtype=np.int64),
        np.asarray(columns, dtype=np.int32),
        np.asarray(weights, dtype=np.float32),
        tuple(vocabulary),
    )


def condensed(sparse: Sparse, *, dimensions: int = 64, seed: int = 0) -> Floats:
    """(N, D): the directions in which the texts differ most (latent semantic analysis).

    By two rounds of subspace iteration from a random start (Halko, Martinsson and Tropp 2011).
    """
    n_words = max(1, len(sparse.words))
    width = min(dimensions + 10, n_words)
    basis = np.random.default_rng(seed).standard_normal((n_words, width)).astype(np.float32)
    for _ in range(3):
        seen = np.concatenate([block @ basis for block in sparse.batches()])
        orthogonal = np.linalg.qr(seen)[0].astype(np.float32)
        basis = np.zeros((n_words, orthogonal.shape[1]), dtype=np.float32)
        start = 0
        for block in sparse.batches():
            basis += block.T @ orthogonal[start : start + len(block)]
            start += len(block)
    directions = np.linalg.svd(basis, full_matrices=False)[0][:, :dimensions]
    found = np.concatenate([block @ directions for block in sparse.batches()])
    return unit(found)


def unit(vectors: Floats) -> Floats:
    """Each row with length one; zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Floats = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return result


class Likeness(NamedTuple):
    """How alike N texts are."""

    n_texts: int
    vendi: float
    """Texts that are altogether different would be as various as this many (Friedman and Dieng)."""
    mean_cosine: float
    nearest_cosine: float
    """Median over the texts of the cosine with their nearest other."""
    nearest: tuple[tuple[int, int, float], ...]
    """The closest pairs: two indexes and their cosine."""


def likeness(vectors: Floats, *, pairs: int = 20) -> Likeness:
    """Of vectors of length one; zeros count as unlike everything but themselves."""
    n_texts = len(vectors)
    if n_texts < 2:
        return Likeness(n_texts, float(n_texts), 0.0, 0.0, ())
    gram = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(gram, 1.0)
    various = vendi(gram)
    mean = float((gram.sum() - n_texts) / (n_texts * (n_texts - 1)))
    np.fill_diagonal(gram, -1.0)
    other, closest = gram.argmax(axis=1), gram.max(axis=1)
    found: dict[tuple[int, int], float] = {}
    for at in np.argsort(-closest, kind="stable").tolist():
        found.setdefault((min(at, int(other[at])), max(at, int(other[at]))), float(closest[at]))
        if len(found) == pairs:
            break
    nearest = tuple((a, b, round(cosine, 4)) for (a, b), cosine in found.items())
    return Likeness(n_texts, various, mean, float(np.median(closest)), nearest)


def vendi(gram: NDArray[np.float64]) -> float:
    """As many different texts as (N, N) likenesses, 1 on the diagonal, amount to: exp of the
    entropy of their spectrum (Friedman and Dieng 2023)."""
    spectrum = np.linalg.eigvalsh(gram / len(gram))
    spectrum = spectrum[spectrum > 1e-12]
    return float(np.exp(-(spectrum * np.log(spectrum)).sum()))


def covered(vectors: Floats, reference: Floats) -> float:
    """Share of the reference that has one of `vectors` as near as its own members mostly are."""
    own = reference @ reference.T
    np.fill_diagonal(own, -1.0)
    near_enough = float(np.quantile(own.max(axis=1), 0.05))
    return float(((reference @ vectors.T).max(axis=1) >= near_enough).mean())


def distinct(texts: Sequence[str], n: int) -> float | None:
    """Different runs of `n` words over all of them; None where there are none (Li et al. 2016)."""
    total, seen = 0, set[int]()
    for text in texts:
        said = words(text).split()
        for at in range(len(said) - n + 1):
            seen.add(hash(tuple(said[at : at + n])))
            total += 1
    return len(seen) / total if total else None
