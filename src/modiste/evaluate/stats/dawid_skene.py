"""What is right when annotators disagree and are not equally good (Dawid and Skene 1979).

EM over the truth of each item and a confusion matrix of each annotator. Starts from annotators who
are right with probability `init`, so it needs no majority vote and gives the same for any order.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Ints, a_share, coded

_MOST = 10_000


@dataclass(frozen=True, eq=False)
class Consensus:
    """Legend: I items, A annotators, K labels, in the order in which they first came."""

    items: tuple[Hashable, ...]
    annotators: tuple[Hashable, ...]
    labels: tuple[Hashable, ...]
    posteriors: Floats
    """(I, K) probability that a label is the right one."""
    confusion: Floats
    """(A, K, K): given that the row is right, how often the annotator says the column."""
    prior: Floats
    """(K,)"""
    iterations: int
    converged: bool | None
    """None where a number of iterations was asked for."""
    n: int
    """Answers."""
    method: str

    def decided(self) -> dict[Hashable, Hashable]:
        """The likeliest label of each item."""
        best = self.posteriors.argmax(axis=1)
        return {item: self.labels[at] for item, at in zip(self.items, best, strict=True)}


def dawid_skene(
    triples: Iterable[tuple[Hashable, Hashable, Hashable]],
    *,
    init: float = 0.7,
    iters: int = 20,
    tol: float | None = None,
) -> Consensus:
    """Item by item the probability of each label, annotator by annotator their mistakes.

    Args:
        triples: (item, annotator, label), one for each answer.
        init: how often an annotator is taken to be right at first.
        iters: steps of EM, unless `tol` asks to go on until no probability moves by more.

    Raises:
        InvalidInput: no answer, or fewer than two labels.
    """
    answers = list(triples)
    if not answers:
        raise InvalidInput("there is no answer to go by")
    items, annotators, labels = (coded(column) for column in zip(*answers, strict=True))
    size = len(labels.names)
    if size < 2:
        raise InvalidInput(f"every answer is {labels.names[0]!r}: there is nothing to decide")
    codes = (items.codes, annotators.codes, labels.codes)
    shape = (len(items.names), len(annotators.names), size)
    start = _start(a_share("init", init), size)
    confusion = np.tile(start, (shape[1], 1, 1))
    prior = np.full(size, 1 / size)
    before = np.zeros((shape[0], size))
    moved, done = float("inf"), 0
    while done < (iters if tol is None else _MOST) and (tol is None or moved > tol):
        posteriors = _truth(codes, shape, confusion, prior)
        prior, confusion = _habits(codes, shape, posteriors, start)
        moved, before, done = float(np.abs(posteriors - before).max()), posteriors, done + 1
    return Consensus(
        items.names, annotators.names, labels.names, before, confusion, prior, done,
        None if tol is None else moved <= tol, len(answers), "Dawid and Skene, EM",
    )  # fmt: skip


def _start(init: float, size: int) -> Floats:
    matrix = np.full((size, size), (1 - init) / (size - 1))
    np.fill_diagonal(matrix, init)
    return matrix


def _truth(
    codes: tuple[Ints, Ints, Ints], shape: tuple[int, int, int], confusion: Floats, prior: Floats
) -> Floats:
    """(I, K) posterior of each item given everybody's habits."""
    items, annotators, labels = codes
    with np.errstate(divide="ignore"):
        told = np.log(confusion)[annotators, :, labels]
        logs = np.tile(np.log(prior), (shape[0], 1))
    np.add.at(logs, items, told)
    highest = logs.max(axis=1, keepdims=True)
    # Where habits contradict each other without fail, nothing is known of the item.
    logs = np.where(np.isfinite(highest), logs - highest, 0.0)
    weights = np.exp(logs)
    posteriors: Floats = weights / weights.sum(axis=1, keepdims=True)
    return posteriors


def _habits(
    codes: tuple[Ints, Ints, Ints], shape: tuple[int, int, int], posteriors: Floats, start: Floats
) -> tuple[Floats, Floats]:
    """How common labels are, and (A, K, K) what each annotator says; as at first where a truth
    never came up for them."""
    items, annotators, labels = codes
    counts = np.zeros((shape[1], shape[2], shape[2]))
    np.add.at(counts.transpose(0, 2, 1), (annotators, labels), posteriors[items])
    met = counts.sum(axis=2, keepdims=True)
    confusion = np.where(met > 0, counts / np.where(met > 0, met, 1), start)
    return posteriors.mean(axis=0), confusion
