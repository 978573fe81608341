"""Figures that are no mean over items, on two runs at once: F1 and its kin, MCC, quantiles.

Each gets its difference by drawing items (or whole clusters of them) again, the same for both runs,
so that what makes an item hard for both cancels out. Items that answer alike are alike: draws are
of how many there are of each kind, which is the same thing and much faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.pairing import Floats, Ints
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.estimates import Estimate

DRAWS = 2_000
FEW_DRAWS = 500
"""Where a draw is dear: many kinds of items, or a quantile."""
MANY_KINDS = 2_000
SEED = 0
QUANTILES: Mapping[str, float] = {"p50": 0.5, "median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Tally(NamedTuple):
    """Counts of classes, each (..., classes)."""

    hits: Floats
    truth: Floats
    said: Floats
    total: Floats
    """(...) answers, those that name no class among them."""


Figure = Callable[[Tally, int | None], Floats]
"""Of counts and the positive class."""


def _f1s(t: Tally) -> Floats:
    """NaN for a class that neither occurs nor is said."""
    with np.errstate(invalid="ignore", divide="ignore"):
        f1: Floats = 2 * t.hits / (t.truth + t.said)
    return f1


def _class(values: Floats, positive: int | None) -> Floats:
    picked: Floats = values[..., positive]
    return picked


def _precisions(t: Tally) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = t.hits / t.said
    return found


def _recalls(t: Tally) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = t.hits / t.truth
    return found


def _weighted_f1(t: Tally, positive: int | None) -> Floats:
    found: Floats = np.nansum(_f1s(t) * t.truth, axis=-1) / t.truth.sum(axis=-1)
    return found


def _micro_f1(t: Tally, positive: int | None) -> Floats:
    found: Floats = 2 * t.hits.sum(-1) / (t.truth.sum(-1) + t.said.sum(-1))
    return found


def _mcc(t: Tally, positive: int | None) -> Floats:
    """Gorodkin's for any number of classes; what names none is a class of its own."""
    none = t.total - t.said.sum(-1)
    agree = t.hits.sum(-1) * t.total - (t.said * t.truth).sum(-1)
    said = t.total**2 - (t.said**2).sum(-1) - none**2
    truth = t.total**2 - (t.truth**2).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = agree / np.sqrt(said * truth)
    return np.where(said * truth == 0, 0.0, found)


OF_CLASSES: Mapping[str, Figure] = {
    "macro_f1": lambda t, positive: np.nanmean(_f1s(t), axis=-1),
    "micro_f1": _micro_f1,
    "weighted_f1": _weighted_f1,
    "balanced_accuracy": lambda t, positive: np.nanmean(_recalls(t), axis=-1),
    "mcc": _mcc,
    "f1": lambda t, positive: _class(_f1s(t), positive),
    "precision": lambda t, positive: _class(_precisions(t), positive),
    "recall": lambda t, positive: _class(_recalls(t), positive),
}
OF_ONE_CLASS = frozenset({"f1", "precision", "recall"})


class Answers(NamedTuple):
    """Classes of one attempt at one item."""

    item: int
    truth: int
    said: int
    """−1: it names no class."""


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
    positive: int | None,
    clusters: Ints | None,
    n_unscored: int = 0,
) -> Ends:
    """Of a figure of `OF_CLASSES`.

    Args:
        baseline, candidate: attempts at the same items.
        clusters: by item; None where items are independent.

    Raises:
        InvalidInput: it is undefined on these items, or on more than half of the draws.
    """
    figure = OF_CLASSES[name]
    kinds, counts = _kinds(baseline, candidate, clusters)
    n_draws = DRAWS if len(kinds) <= MANY_KINDS else FEW_DRAWS
    drawn = np.random.default_rng(SEED).multinomial(
        int(counts.sum()), counts / counts.sum(), size=n_draws
    )
    rows = np.concatenate([counts[None], drawn]).astype(np.float64)
    a, b = (
        figure(_tally(rows, [kind[side] for kind in kinds], n_classes), positive) for side in (0, 1)
    )
    items = len({answers.item for answers in baseline})
    return _ends(a, b, items=items, clusters=clusters, n_unscored=n_unscored)


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


Unit = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
"""What one item or cluster adds: (truth, said) of the attempts of each side."""


def _kinds(
    baseline: Sequence[Answers], candidate: Sequence[Answers], clusters: Ints | None
) -> tuple[list[Unit], Ints]:
    """Every kind of unit, and how many there are of it."""
    units: dict[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}
    for at, side in enumerate((baseline, candidate)):
        for item, truth, said in side:
            unit = item if clusters is None else int(clusters[item])
            units.setdefault(unit, ([], []))[at].append((truth, said))
    counted: dict[Unit, int] = {}
    for left, right in units.values():
        kind = (tuple(sorted(left)), tuple(sorted(right)))
        counted[kind] = counted.get(kind, 0) + 1
    return list(counted), np.array(list(counted.values()), dtype=np.int64)


def _tally(rows: Floats, sides: Sequence[Sequence[tuple[int, int]]], n_classes: int) -> Tally:
    """Of each row, which says how often each kind of unit occurs.

    Args:
        rows: (draws, kinds).
        sides: what one side's attempts are in each kind.
    """
    hits, truth, said = np.zeros((3, len(sides), n_classes))
    for at, answers in enumerate(sides):
        for right, named in answers:
            truth[at, right] += 1
            hits[at, right] += right == named
            if named >= 0:
                said[at, named] += 1
    total = np.array([float(len(answers)) for answers in sides])
    return Tally(rows @ hits, rows @ truth, rows @ said, rows @ total)


def _members(clusters: Ints) -> list[Ints]:
    codes = np.unique(clusters, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])
