"""Has what comes in changed since the reference? One number per feature, and its p.

The rule of thumb "PSI above .1" is left out on purpose: without any drift, 1,000 against 100 items
in 10 bins exceed it 45 % of the time. PSI is told beside what no drift would give and with its p.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Numbers, numbers, same_length
from modiste.evaluate.stats.paired import Significance


@dataclass(frozen=True)
class Stability:
    psi: float
    expected_null: float
    """What no drift gives on average: (B − 1)(1/n + 1/m)."""
    p: float
    bins: tuple[tuple[float, float], ...]
    """Shares of the reference and of the current items per bin."""
    n: int
    """Current items."""
    n_ref: int
    method: str


def psi(ref: Numbers, cur: Numbers, bins: int = 10) -> Stability:
    """Population stability index over bins that hold equally many reference items.

    Raises:
        InvalidInput: a NaN, fewer reference items than bins, or no two bins apart.
    """
    before, now = numbers("ref", ref), numbers("cur", cur)
    if bins < 2 or len(before) < bins:
        raise InvalidInput(f"{len(before)} reference items do not fill {bins} bins; take 2 to that")
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    if edges[0] == before.min() == before.max():
        raise InvalidInput(f"every reference item is {before[0]}: there are no bins")
    counted = [
        np.bincount(np.searchsorted(edges, side, side="left"), minlength=len(edges) + 1)
        for side in (before, now)
    ]
    return psi_counts(*counted)


def psi_counts(ref: Numbers, cur: Numbers) -> Stability:
    """The same of counts by bin or by category, in the same order.

    An empty bin counts as half an item; PSI / (1/n + 1/m) is χ² with B − 1 degrees of freedom
    where nothing drifted (Yurdakul 2018). Bins that are empty on both sides are left out.
    """
    before, now = _counts(ref, cur)
    n, m = before.sum(), now.sum()
    p, q = (np.where(side > 0, side, 0.5) / side.sum() for side in (before, now))
    value = float(((q - p) * np.log(q / p)).sum())
    noise = float(1 / n + 1 / m)
    free = len(before) - 1
    return Stability(
        psi=value,
        expected_null=free * noise,
        p=float(special.chdtrc(free, value / noise)),
        bins=tuple(zip((before / n).tolist(), (now / m).tolist(), strict=True)),
        n=int(m),
        n_ref=int(n),
        method=f"PSI over {len(before)} bins, χ² with {free} degrees of freedom",
    )


def g_test(ref: Numbers, cur: Numbers) -> Significance:
    """Likelihood-ratio test that both sides have the same shares of the categories."""
    table = np.stack(_counts(ref, cur))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    g = 2 * float(special.xlogy(table, table / expected).sum())
    free = table.shape[1] - 1
    n = int(table.sum())
    return Significance(float(special.chdtrc(free, g)), g, n, f"G-test, {free} degrees of freedom")


def js_distance(ref: Numbers, cur: Numbers) -> float:
    """Square root of the Jensen–Shannon divergence in bits: 0 for equal shares, 1 for none in
    common. It has no n: small samples are far apart by chance, so show the G-test beside it."""
    before, now = _counts(ref, cur)
    p, q = before / before.sum(), now / now.sum()
    middle = (p + q) / 2
    nats = special.rel_entr(p, middle).sum() + special.rel_entr(q, middle).sum()
    return sqrt(max(0.0, float(nats) / 2 / np.log(2)))


def _counts(ref: Numbers, cur: Numbers) -> tuple[Floats, Floats]:
    """Counts of the categories that occur."""
    before, now = numbers("ref", ref), numbers("cur", cur)
    same_length(ref=before, cur=now)
    if (before < 0).any() or (now < 0).any() or not before.sum() or not now.sum():
        raise InvalidInput("counts must not be negative nor all zero")
    there = before + now > 0
    if there.sum() < 2:
        raise InvalidInput("only one category occurs; two are needed to differ")
    return before[there], now[there]
