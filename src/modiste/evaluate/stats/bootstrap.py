"""Intervals of any statistic by drawing the items again: whole clusters, or within strata.

The generator is seeded and the seed stands in the method, so a figure can be made again. A draw on
which the statistic is undefined (no positive among the items) is left out and counted. Draws vary
less than samples do, by √((n − 1)/n), and know nothing of Student's t: the quantiles that are read
are moved outwards by both (Hesterberg 2015, "expanded percentile"), without which 60 items cover
93 % instead of 95.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import (
    Floats,
    Ints,
    Labels,
    Numbers,
    a_share,
    coded,
    numbers,
    same_length,
)
from modiste.evaluate.stats.estimates import Estimate, Interval, t_of

Kind = Literal["percentile", "bca"]
Statistic = Callable[..., float]

_AT_ONCE = 50_000
"""Numbers drawn at a time: what stays in the processor's cache."""


def bootstrap(
    stat: Statistic,
    *columns: Numbers,
    n: int = 10_000,
    clusters: Labels | None = None,
    strata: Labels | None = None,
    kind: Kind = "percentile",
    level: float = 0.95,
    seed: int = 0,
    n_unscored: int = 0,
) -> Estimate:
    """`stat(*columns)` and where `n` draws of the items put it.

    Args:
        stat: takes the columns, each (items,), and gives one number. Items are drawn together over
            all columns, so paired columns stay paired. `np.mean` of one column is drawn as sums per
            cluster, much faster than anything else.
        clusters: draw all items of a label at once.
        strata: draw within each label as many as there are.
        kind: BCa (Efron 1987) also corrects bias and skew, at one more call of `stat` per item.

    Raises:
        InvalidInput: no item, a NaN, clusters and strata at once, or a statistic that is undefined
            on the items themselves or on more than half of the draws.
    """
    if not columns:
        raise InvalidInput("no column to draw from; give at least one")
    data = tuple(numbers(f"columns[{at}]", column) for at, column in enumerate(columns))
    items = same_length(**{f"columns[{at}]": column for at, column in enumerate(data)})
    value = float(stat(*data))
    if not np.isfinite(value):
        raise InvalidInput(f"the statistic is {value} on the {items} items themselves")
    plan = _Plan.of(items, clusters, strata)
    rng = np.random.default_rng(seed)
    if stat is np.mean and len(data) == 1:
        drawn = _means(data[0], plan, n, rng)
    else:
        drawn = np.fromiter((stat(*(c[at] for c in data)) for at in plan.draws(n, rng)), float, n)
    left = None
    if kind == "bca":
        left = [
            np.array([stat(*(c[at] for c in data)) for at in group]) for group in plan.without()
        ]
    return interval_of_draws(
        value, drawn, items=items, left_out=left, level=level, seed=seed, n_unscored=n_unscored,
        n_clusters=len(plan.sizes) if clusters is not None else None,
    )  # fmt: skip


def interval_of_draws(
    value: float,
    drawn: Floats,
    *,
    items: int,
    left_out: list[Floats] | None = None,
    level: float = 0.95,
    seed: int,
    n_clusters: int | None = None,
    n_unscored: int = 0,
) -> Estimate:
    """The interval that draws of a statistic give: BCa with `left_out`, percentile without.

    Args:
        left_out: per stratum, the statistic without each of its units.
    """
    defined = drawn[np.isfinite(drawn)]
    missing = len(drawn) - len(defined)
    if missing * 2 > len(drawn):
        raise InvalidInput(
            f"the statistic is undefined on {missing} of {len(drawn)} draws; more items are needed"
        )
    notes = [f"undefined on {missing} of {len(drawn)} draws"] if missing else []
    if np.ptp(defined) == 0:
        notes.append("no spread was seen: the interval is a point")
    tail = _expanded_tail(level, n_clusters or items)
    tails = (tail, 1 - tail)
    if left_out is not None:
        tails = _bca(value, defined, left_out, tails)
    lo, hi = (float(q) for q in np.quantile(defined, tails))
    kind = "percentile" if left_out is None else "BCa"
    method = f"expanded {kind} bootstrap, {len(drawn)} draws, seed {seed}"
    se = float(defined.std(ddof=1))
    return Estimate(
        value=value, se=se, ci=Interval(lo, hi, level, method), n=items, method=method,
        n_clusters=n_clusters, n_unscored=n_unscored, notes=tuple(notes),
    )  # fmt: skip


def _expanded_tail(level: float, units: int) -> float:
    """Share of the draws below the lower end, as if `units` were many."""
    if units < 2:
        return (1 - a_share("level", level)) / 2
    return float(special.ndtr(-sqrt(units / (units - 1)) * t_of(level, units - 1)))


def _bca(
    value: float, drawn: Floats, left_out: list[Floats], tails: tuple[float, float]
) -> tuple[float, float]:
    """The quantiles that, after correction, stand for `tails` (Efron and Tibshirani 1993, 14.9).

    The acceleration over several strata is that of scipy's multi-sample BCa.
    """
    below = (float((drawn < value).sum()) + 0.5 * float((drawn == value).sum())) / len(drawn)
    below = min(max(below, 1 / (2 * len(drawn))), 1 - 1 / (2 * len(drawn)))
    bias = float(special.ndtri(below))
    cubes = squares = 0.0
    for values in left_out:
        pull = (len(values) - 1) * (values.mean() - values)
        cubes += float((pull**3).sum()) / len(values) ** 3
        squares += float((pull**2).sum()) / len(values) ** 2
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0

    def corrected(tail: float) -> float:
        z = bias + float(special.ndtri(tail))
        return float(special.ndtr(bias + z / (1 - acceleration * z)))

    return corrected(tails[0]), corrected(tails[1])


@dataclass(frozen=True)
class _Plan:
    """What is drawn: units (items or clusters of them) within strata (mostly one).

    Unit u holds the items `order[starts[u] : starts[u] + sizes[u]]`.
    """

    order: Ints
    starts: Ints
    sizes: Ints
    strata: tuple[Ints, ...]
    """Units of each stratum."""

    @classmethod
    def of(cls, items: int, clusters: Labels | None, strata: Labels | None) -> _Plan:
        if clusters is not None and strata is not None:
            raise InvalidInput("clusters and strata are given; draw by one of them")
        for name, labels in (("clusters", clusters), ("strata", strata)):
            if labels is not None and len(labels) != items:
                raise InvalidInput(f"{name} has {len(labels)} labels for {items} items")
        every = np.arange(items)
        if clusters is not None:
            codes = coded(clusters).codes
            sizes = np.bincount(codes)
            if len(sizes) < 2:
                raise InvalidInput("all items are of one cluster; 2 are needed")
            order = np.argsort(codes, kind="stable")
            return cls(order, np.cumsum(sizes) - sizes, sizes, (np.arange(len(sizes)),))
        groups: tuple[Ints, ...] = (every,)
        if strata is not None:
            codes = coded(strata).codes
            ends = np.cumsum(np.bincount(codes))[:-1]
            groups = tuple(np.split(np.argsort(codes, kind="stable"), ends))
        return cls(every, every, np.ones(items, dtype=np.int64), groups)

    @property
    def clustered(self) -> bool:
        return len(self.sizes) < len(self.order)

    def draws(self, n: int, rng: np.random.Generator) -> Iterator[Ints]:
        """`n` times the items of one draw."""
        for _ in range(n):
            drawn = [group[rng.integers(0, len(group), len(group))] for group in self.strata]
            units = drawn[0] if len(drawn) == 1 else np.concatenate(drawn)
            yield self._items(units) if self.clustered else units

    def _items(self, units: Ints) -> Ints:
        sizes = self.sizes[units]
        ends = np.cumsum(sizes)
        shift = np.repeat(self.starts[units] - (ends - sizes), sizes)
        items: Ints = self.order[shift + np.arange(ends[-1])]
        return items

    def without(self) -> Iterator[Iterator[Ints]]:
        """Per stratum, the items without each of its units."""
        for group in self.strata:
            yield (self._all_but(int(unit)) for unit in group)

    def _all_but(self, unit: int) -> Ints:
        start = self.starts[unit]
        return np.concatenate([self.order[:start], self.order[start + self.sizes[unit] :]])


def _means(column: Floats, plan: _Plan, n: int, rng: np.random.Generator) -> Floats:
    """Means of `n` draws from the sum and the size of each unit."""
    sums = np.add.reduceat(column[plan.order], plan.starts)
    total, size = np.zeros(n), np.zeros(n)
    for group in plan.strata:
        step = max(1, _AT_ONCE // len(group))
        own_sums, own_sizes = sums[group], plan.sizes[group].astype(np.float64)
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            shape = (rows.stop - rows.start, len(group))
            units = rng.integers(0, len(group), shape)
            total[rows] += own_sums.take(units).sum(axis=1)
            size[rows] += own_sizes.take(units).sum(axis=1) if plan.clustered else len(group)
    return total / size


def multinomial_draws(counts: Ints, n: int, rng: np.random.Generator) -> Ints:
    """(n, *counts.shape): tables of as many items, drawn from the shares of one table.

    Drawing items whose statistic depends on their cell of a table only is drawing such tables.
    """
    flat = counts.ravel()
    total = int(flat.sum())
    if total == 0:
        return np.zeros((n, *counts.shape), dtype=np.int64)
    drawn: Ints = rng.multinomial(total, flat / total, size=n)
    return drawn.reshape(n, *counts.shape)
