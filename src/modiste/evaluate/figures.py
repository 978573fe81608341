"""Figures that are no mean over items, on two runs at once: F1 and its kin, MCC, quantiles.

Each gets its difference by drawing items (or whole clusters of them) again, the same for both runs,
so that what makes an item hard for both cancels out. Items that answer alike are alike: draws are
of how many there are of each kind, which is the same thing and much faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.pairing import Floats, Ints
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.confusion import (
    Sums,
    balanced_accuracy,
    divided,
    f1s,
    macro_f1,
    mcc,
    precisions,
    recalls,
    weighted_f1,
)
from modiste.evaluate.stats.estimates import Estimate, Interval, unseen, z_of

DRAWS = 2_000
FEW_DRAWS = 500
"""Where a draw is dear: many kinds of items, or a quantile."""
MANY_KINDS = 2_000
SEED = 0
QUANTILES: Mapping[str, float] = {"p50": 0.5, "median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Counts(NamedTuple):
    """What answers add up to."""

    sums: Sums
    """Per class."""
    strange: Floats
    """Parts of answers that are no class."""


def _micro_f1(counts: Counts) -> Floats:
    right, said, support = (np.asarray(part).sum(axis=-1) for part in counts.sums)
    return divided(2 * right, said + support + counts.strange)


OF_ALL: Mapping[str, Callable[[Counts], Floats]] = {
    "macro_f1": lambda counts: macro_f1(counts.sums),
    "micro_f1": _micro_f1,
    "weighted_f1": lambda counts: weighted_f1(counts.sums),
    "balanced_accuracy": lambda counts: balanced_accuracy(counts.sums),
    "mcc": lambda counts: mcc(counts.sums),
}
OF_ONE: Mapping[str, Callable[[Sums], Floats]] = {
    "f1": f1s,
    "precision": precisions,
    "recall": recalls,
}
"""Of one class."""


class Answers(NamedTuple):
    """Classes of one attempt at one item: one of each, or sets."""

    item: int
    right: tuple[int, ...]
    said: tuple[int, ...]
    strange: int = 0
    """Parts of the answer that are no class."""


class Ends(NamedTuple):
    baseline: float
    candidate: float
    estimate: Estimate
    """Candidate minus baseline."""


def class_difference(
    name: str,
    baseline: Sequence[Answers],
    candidate: Sequence[Answers],
    *,
    n_classes: int,
    of: int | None = None,
    clusters: Ints | None,
    n_unscored: int = 0,
) -> Ends:
    """Of a figure of `OF_ALL`, or of `OF_ONE`, which are of the class `of`.

    Args:
        baseline, candidate: attempts at the same items.
        clusters: by item; None where items are independent.

    Raises:
        InvalidInput: it is undefined on these items, or on more than half of the draws.
    """
    kinds, counts = _kinds(baseline, candidate, clusters)
    n_draws = DRAWS if len(kinds) <= MANY_KINDS else FEW_DRAWS
    drawn = np.random.default_rng(SEED).multinomial(
        int(counts.sum()), counts / counts.sum(), size=n_draws
    )
    rows = np.concatenate([counts[None], drawn]).astype(np.float64)
    sides = []
    for side in (0, 1):
        added = _added(rows, [kind[side] for kind in kinds], n_classes)
        sides.append(OF_ALL[name](added) if of is None else OF_ONE[name](added.sums)[..., of])
    items = len({answers.item for answers in baseline})
    ends = _ends(sides[0], sides[1], items=items, clusters=clusters, n_unscored=n_unscored)
    behind = items if of is None else len({a.item for a in baseline if of in (*a.right, *a.said)})
    return _never_a_point(ends, behind)


def quantile_difference(
    q: float, baseline: Floats, candidate: Floats, *, clusters: Ints | None, n_unscored: int = 0
) -> Ends:
    """Of a quantile of item values, (n,) each.

    Raises:
        InvalidInput: no items, or one cluster.
    """
    n = len(baseline)
    if n == 0:
        raise InvalidInput("no item has a value in both runs")
    rng = np.random.default_rng(SEED)
    if clusters is None:
        picks = [rng.integers(0, n, n) for _ in range(FEW_DRAWS)]
    else:
        members = _members(clusters)
        picks = [
            np.concatenate([members[c] for c in rng.integers(0, len(members), len(members))])
            for _ in range(FEW_DRAWS)
        ]
    sides = []
    for side in (baseline, candidate):
        drawn = [float(np.quantile(side[pick], q)) for pick in picks]
        sides.append(np.array([float(np.quantile(side, q)), *drawn]))
    return _ends(sides[0], sides[1], items=n, clusters=clusters, n_unscored=n_unscored)


def _ends(a: Floats, b: Floats, *, items: int, clusters: Ints | None, n_unscored: int) -> Ends:
    """Of the figure itself, first, and its draws."""
    if not np.isfinite(a[0]) or not np.isfinite(b[0]):
        raise InvalidInput("the figure is undefined on these items")
    drawn = b - a
    estimate = interval_of_draws(
        float(drawn[0]),
        drawn[1:],
        items=items,
        seed=SEED,
        n_clusters=None if clusters is None else len(np.unique(clusters)),
        n_unscored=n_unscored,
    )
    return Ends(float(a[0]), float(b[0]), estimate)


def _never_a_point(ends: Ends, behind: int) -> Ends:
    """Where no draw differs, what may still be unseen of `behind` items is bounded as for 0 events:
    each of those could differ by the width of the scale, 2.
    """
    found = ends.estimate
    if found.se > 0:
        return ends
    level = found.ci.level
    half = 2 * unseen(max(1, found.n_clusters or behind), level)
    method = f"{found.method}, no spread seen"
    ci = Interval(found.value - half, found.value + half, level, method).clipped((-1.0, 1.0))
    return ends._replace(
        estimate=replace(found, se=half / z_of(level), ci=ci, method=method, notes=())
    )


Said = tuple[tuple[int, ...], tuple[int, ...], int]
"""What is right, what was said, and what of it is no class."""
Unit = tuple[tuple[Said, ...], tuple[Said, ...]]
"""What one item or cluster adds: the attempts of each side."""


def _kinds(
    baseline: Sequence[Answers], candidate: Sequence[Answers], clusters: Ints | None
) -> tuple[list[Unit], Ints]:
    """Every kind of unit, and how many there are of it."""
    units: dict[int, tuple[list[Said], list[Said]]] = {}
    for at, side in enumerate((baseline, candidate)):
        for item, right, said, strange in side:
            unit = item if clusters is None else int(clusters[item])
            units.setdefault(unit, ([], []))[at].append((right, said, strange))
    counted = Counter((tuple(sorted(left)), tuple(sorted(right))) for left, right in units.values())
    return list(counted), np.array(list(counted.values()), dtype=np.int64)


def _added(rows: Floats, sides: Sequence[Sequence[Said]], n_classes: int) -> Counts:
    """Of each row, which says how often each kind of unit occurs.

    Args:
        rows: (draws, kinds).
        sides: one side's attempts in each kind.
    """
    hits, said, support = np.zeros((3, len(sides), n_classes))
    strange = np.zeros(len(sides))
    for at, attempts in enumerate(sides):
        for right, named, other in attempts:
            strange[at] += other
            for label in right:
                support[at, label] += 1
            for label in named:
                said[at, label] += 1
                hits[at, label] += label in right
    return Counts(Sums(rows @ hits, rows @ said, rows @ support), rows @ strange)


def _members(clusters: Ints) -> list[Ints]:
    codes = np.unique(clusters, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])
