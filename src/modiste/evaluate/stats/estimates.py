"""One number and how sure it is: shares, means, means of clustered items, means of attempts.

A mean never travels without n and its interval, and no interval is a point where there was no
spread to see: items that all agree leave the doubt of a sample of that size. Intervals are
Wilson's or Clopper and Pearson's for shares, Student's t otherwise, over clusters where items share
a passage, a conversation or a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import (
    Floats,
    Ints,
    Labels,
    Numbers,
    a_share,
    binary,
    coded,
    matrix,
    numbers,
    same_length,
)

FEW_CLUSTERS = 20
"""With fewer the clustered standard error is itself a guess (Miller 2024; Cameron et al. 2008)."""

Scale = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    lo: float
    hi: float
    level: float
    method: str

    @property
    def width(self) -> float:
        return self.hi - self.lo

    def holds(self, value: float) -> bool:
        return self.lo <= value <= self.hi

    def clipped(self, scale: Scale | None) -> Interval:
        """No part of it outside what the score can be."""
        if scale is None:
            return self
        lo, hi = (min(max(end, scale[0]), scale[1]) for end in (self.lo, self.hi))
        return Interval(lo, hi, self.level, self.method)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    value: float
    se: float
    ci: Interval
    n: int
    method: str
    n_clusters: int | None = None
    n_unscored: int = 0
    df: int | None = None
    """Degrees of freedom of the t behind the interval; None is the normal distribution."""
    notes: tuple[str, ...] = ()
    """What a reader must know before believing the interval."""


@dataclass(frozen=True, kw_only=True)
class AttemptsEstimate(Estimate):
    """Mean over items of the mean over `k` attempts, and where its variance comes from."""

    k: int
    per_attempt: tuple[float, ...]
    between: float
    """Variance of the items' true means; more attempts do not shrink its share."""
    within: float | None
    """Mean variance of the attempts at one item; None with one attempt."""


def wilson(k: int, n: int, *, level: float = 0.95) -> Interval:
    """Where the true share lies when `k` of `n` independent items are right (Wilson 1927).

    Raises:
        InvalidInput: n < 1, or k not in 0..n.
    """
    _counts(k, n)
    z, p = z_of(level), k / n
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    lo, hi = (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)
    return Interval(max(0.0, lo), min(1.0, hi), level, "Wilson")


def clopper_pearson(k: int, n: int, *, level: float = 0.95) -> Interval:
    """The same, never covering less than `level` and therefore mostly more: for gates and bounds.

    Raises:
        InvalidInput: n < 1, or k not in 0..n.
    """
    _counts(k, n)
    tail = (1 - a_share("level", level)) / 2
    lo = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, tail))
    hi = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1 - tail))
    return Interval(lo, hi, level, "Clopper–Pearson")


def mean_estimate(
    s: Numbers,
    clusters: Labels | None = None,
    *,
    level: float = 0.95,
    scale: Scale | None = None,
    n_unscored: int = 0,
) -> Estimate:
    """Mean of item scores; with `clusters`, items of one label count as dependent.

    Scores that are all 0 or 1 get Wilson's interval, others and clustered ones Student's t.

    Args:
        s: (n,) scores of the items that were scored.
        clusters: (n,) what each item shares with others (passage, conversation, user).
        scale: lowest and highest score there can be; the interval stays inside.

    Raises:
        InvalidInput: no item, a NaN, a score off the scale, one cluster, one item that is not 0/1.
    """
    column = numbers("s", s)
    share = binary(column)
    scale = _checked(column, (0.0, 1.0) if share and scale is None else scale)
    if clusters is not None:
        same_length(s=column, clusters=clusters)
        return _clustered(column, coded(clusters).codes, level, scale, n_unscored)
    n = len(column)
    if share:
        se = float(column.std(ddof=1)) / sqrt(n) if n > 1 else 0.5
        ci = wilson(int(column.sum()), n, level=level).clipped(scale)
        return Estimate(
            value=float(column.mean()), se=se, ci=ci, n=n, method=ci.method, n_unscored=n_unscored
        )
    if n < 2:
        raise InvalidInput("s has 1 item, which shows no spread; at least 2 are needed")
    se = float(column.std(ddof=1)) / sqrt(n)
    return student(
        float(column.mean()), se, n=n, df=n - 1, level=level, scale=scale, method="Student's t",
        n_unscored=n_unscored,
    )  # fmt: skip


def _clustered(
    column: Floats, codes: Ints, level: float, scale: Scale | None, n_unscored: int
) -> Estimate:
    n_clusters = int(codes.max()) + 1
    return student(
        float(column.mean()),
        clustered_se(column, codes),
        n=len(column),
        df=n_clusters - 1,
        level=level,
        scale=scale,
        method="clustered t",
        n_clusters=n_clusters,
        n_unscored=n_unscored,
    )


def clustered_se(column: Floats, codes: Ints) -> float:
    """√(C/(C−1)) · √(Σ_c (Σ_{i∈c} (s_i − s̄))²) / n (Miller 2024, appendix A, times the factor of
    Liang and Zeger's estimator for few clusters, as Inspect and statsmodels have it).

    Raises:
        InvalidInput: there is only one cluster.
    """
    n_clusters = int(codes.max()) + 1
    if n_clusters < 2:
        raise InvalidInput("all items are of one cluster, which shows no spread; 2 are needed")
    sums = np.bincount(codes, weights=column - column.mean(), minlength=n_clusters)
    return sqrt(n_clusters / (n_clusters - 1)) * sqrt(float((sums**2).sum())) / len(column)


def student(
    value: float,
    se: float,
    *,
    n: int,
    df: int,
    level: float,
    scale: Scale | None,
    method: str,
    n_clusters: int | None = None,
    n_unscored: int = 0,
) -> Estimate:
    """value ± t·se inside the scale.

    Where nothing varied, the interval is as wide as what may still be unseen, if that differs by
    the width of the scale.
    """
    notes: list[str] = []
    if n_clusters is not None and n_clusters < FEW_CLUSTERS:
        notes.append(f"few clusters ({n_clusters} < {FEW_CLUSTERS}): the interval is a rough guess")
    units = n if n_clusters is None else n_clusters
    if se <= 1e-12 * max(1.0, abs(value)):
        half = unseen(units, level) * (scale[1] - scale[0]) if scale else 0.0
        se, method = half / z_of(level), f"{method}, no spread seen"
        if not scale:
            notes.append("no spread was seen and no scale is given: the interval is a point")
    else:
        half = t_of(level, df) * se
    ci = Interval(value - half, value + half, level, method).clipped(scale)
    return Estimate(
        value=value, se=se, ci=ci, n=n, method=method, n_clusters=n_clusters,
        n_unscored=n_unscored, df=df, notes=tuple(notes),
    )  # fmt: skip


def mean_of_attempts(
    scores: object,
    clusters: Labels | None = None,
    *,
    level: float = 0.95,
    scale: Scale | None = None,
    n_unscored: int = 0,
) -> AttemptsEstimate:
    """Mean over items that were tried K times each; the items, not the attempts, are the sample.

    Args:
        scores: (n, K). An item with an attempt that failed is dropped whole by the caller.

    Raises:
        InvalidInput: as `mean_estimate`.
    """
    table = matrix("scores", scores)
    k = table.shape[1]
    means = table.mean(axis=1)
    if scale is None and binary(table.ravel()):
        scale = (0.0, 1.0)
    found = mean_estimate(means, clusters, level=level, scale=scale, n_unscored=n_unscored)
    within = float(table.var(axis=1, ddof=1).mean()) if k > 1 else None
    spread = float(means.var(ddof=1)) if len(means) > 1 else 0.0
    between = max(0.0, spread - (within or 0.0) / k)
    return AttemptsEstimate(
        **{name: getattr(found, name) for name in Estimate.__dataclass_fields__},
        k=k,
        per_attempt=tuple(table.mean(axis=0).tolist()),
        between=between,
        within=within,
    )


def unseen(n: int, level: float) -> float:
    """Share of a population that may differ although none of `n` did (Clopper–Pearson for 0)."""
    return float(1 - ((1 - a_share("level", level)) / 2) ** (1 / n))


def z_of(level: float) -> float:
    """Half the width, in standard errors, of a two-sided normal interval."""
    return float(special.ndtri(0.5 + a_share("level", level) / 2))


def t_of(level: float, df: int | None) -> float:
    """The same of Student's t; normal without `df`."""
    if df is None:
        return z_of(level)
    return float(special.stdtrit(df, 0.5 + a_share("level", level) / 2))


def _counts(k: int, n: int) -> None:
    if n < 1 or not 0 <= k <= n or k != int(k) or n != int(n):
        raise InvalidInput(f"k = {k} of n = {n} is not a share; need n >= 1 and 0 <= k <= n")


def _checked(column: Floats, scale: Scale | None) -> Scale | None:
    if scale is not None:
        off = np.flatnonzero((column < scale[0]) | (column > scale[1]))
        if len(off):
            raise InvalidInput(
                f"s[{off[0]}] is {column[off[0]]}, off the scale {scale[0]} to {scale[1]} "
                f"({len(off)} such items)"
            )
    return scale
