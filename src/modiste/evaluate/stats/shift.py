"""Have the texts changed, as vectors see them? Two tests over embeddings.

Legend: x (n, D) is the reference, y (m, D) what comes in now. A domain classifier also says which
of the new ones are least like the old ones; MMD needs no direction in which they differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Ints, matrix
from modiste.evaluate.stats.estimates import Estimate
from modiste.evaluate.stats.logistic import logistic
from modiste.evaluate.stats.ranking import auroc

MOST = 1_000
"""Vectors per side that MMD compares each with each."""
FOLDS = 5


@dataclass(frozen=True)
class Discrepancy:
    mmd2: float
    """Unbiased, so around 0 and not above it where nothing changed."""
    p: float
    bandwidth: float
    n: int
    """Vectors compared, of both sides."""
    method: str


@dataclass(frozen=True, kw_only=True)
class DomainAuc(Estimate):
    drifting: tuple[int, ...]
    """Rows of y, those that are told from x most surely first."""


def mmd2(
    x: NDArray[np.floating], y: NDArray[np.floating], *, n_perm: int = 500, seed: int = 0
) -> Discrepancy:
    """Squared maximum mean discrepancy (Gretton et al. 2012), p by permutation.

    Gaussian kernel, its width the median distance. Above 1,000 vectors of a side so many are drawn.

    Raises:
        InvalidInput: fewer than 2 vectors of a side, a NaN, other dimensions, or all the same.
    """
    rng = np.random.default_rng(seed)
    first, second = _sides(x, y, least=2)
    first, second = (_some(side, MOST, rng) for side in (first, second))
    n, m = len(first), len(second)
    both = np.concatenate([first, second])
    squared = cdist(both, both, "sqeuclidean")
    median = float(np.median(squared[np.triu_indices(n + m, 1)]))
    if median == 0:
        raise InvalidInput(
            "more than half of the pairs of vectors are the same: nothing to compare"
        )
    kernel = np.exp(-squared / median)
    np.fill_diagonal(kernel, 0.0)
    order = np.argsort(rng.uniform(size=(n_perm, n + m)), axis=1)
    groups = np.zeros((n_perm + 1, n + m))
    groups[0, :n] = 1.0
    np.put_along_axis(groups[1:], order[:, :n], 1.0, axis=1)
    seen = _discrepancies(kernel, groups, n, m)
    as_much = int((seen[1:] >= seen[0] - 1e-15).sum())
    return Discrepancy(
        mmd2=float(seen[0]),
        p=(as_much + 1) / (n_perm + 1),
        bandwidth=float(np.sqrt(median)),
        n=n + m,
        method=f"MMD², {n} against {m} vectors, {n_perm} permutations, seed {seed}",
    )


def _discrepancies(kernel: Floats, groups: Floats, n: int, m: int) -> Floats:
    """Per row of 0/1 memberships, the unbiased MMD² of members and others."""
    to_members = groups @ kernel
    total = kernel.sum()
    within = (to_members * groups).sum(axis=1)
    between = to_members.sum(axis=1) - within
    others = total - within - 2 * between
    found: Floats = within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * between / (n * m)
    return found


def domain_auc(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    *,
    ridge: float = 1.0,
    level: float = 0.95,
    seed: int = 0,
) -> DomainAuc:
    """How well a logistic regression tells y from x on vectors it was not fitted to (5 folds).

    ½ is no drift. The interval is DeLong's of the scores of all folds.

    Raises:
        InvalidInput: fewer than 10 vectors of a side, a NaN, or other dimensions.
    """
    first, second = _sides(x, y, least=2 * FOLDS)
    both = np.concatenate([first, second])
    spread = both.std(axis=0)
    both = (both - both.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    features = np.column_stack([np.ones(len(both)), both])
    new = np.repeat([0.0, 1.0], [len(first), len(second)])
    rng = np.random.default_rng(seed)
    fold = np.concatenate([_folds(len(side), rng) for side in (first, second)])
    penalty = np.r_[1e-9, np.full(both.shape[1], ridge)]
    score = np.zeros(len(both))
    for at in range(FOLDS):
        fit = logistic(features[fold != at], new[fold != at], ridge=penalty)
        score[fold == at] = features[fold == at] @ fit.coefficients
    found = auroc(score, new, level=level)
    fields = {name: getattr(found, name) for name in Estimate.__dataclass_fields__}
    method = f"logistic regression, {FOLDS} folds, seed {seed}; {found.method}"
    drifting = np.argsort(-score[len(first) :], kind="stable")
    return DomainAuc(**fields | {"method": method}, drifting=tuple(drifting.tolist()))


def _sides(
    x: NDArray[np.floating], y: NDArray[np.floating], *, least: int
) -> tuple[Floats, Floats]:
    first, second = matrix("x", x, rows=least), matrix("y", y, rows=least)
    if first.shape[1] != second.shape[1]:
        raise InvalidInput(
            f"x has {first.shape[1]} dimensions and y {second.shape[1]}; one embedder is needed"
        )
    return first, second


def _some(side: Floats, most: int, rng: np.random.Generator) -> Floats:
    return side if len(side) <= most else side[rng.choice(len(side), most, replace=False)]


def _folds(n: int, rng: np.random.Generator) -> Ints:
    return rng.permutation(np.arange(n) % FOLDS)
