"""Intervals for answers that are right or wrong, and the verdict on a pair of models.

A share never travels without n and its interval; "cannot tell" is a verdict. Both intervals stay
inside their scale and do not collapse where every item agrees, as the textbook ones do: Wilson for
one share, Bonett and Price (2012) for the difference of two shares on the same items. Items are
taken as independent; whoever has several items of one source passes one of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from modiste.errors import InvalidInput


class Interval(NamedTuple):
    lo: float
    hi: float


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class PairedDifference:
    """Share of `a` minus share of `b` over the same `n` items."""

    value: float
    interval: Interval
    level: float
    n: int
    a_only: int
    """Items that only `a` got right."""
    b_only: int

    @property
    def verdict(self) -> Verdict:
        if self.interval.lo > 0:
            return Verdict.BETTER
        if self.interval.hi < 0:
            return Verdict.WORSE
        return Verdict.CANNOT_TELL


def wilson(k: int, n: int, *, level: float = 0.95) -> Interval:
    """Where the true share lies when `k` of `n` independent items are right.

    Raises:
        InvalidInput: n < 1, or k not in 0..n.
    """
    if n < 1 or not 0 <= k <= n:
        raise InvalidInput(f"k = {k} of n = {n} is not a share; need n >= 1 and 0 <= k <= n")
    z, p = _z(level), k / n
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half)


def paired_difference(
    a: Sequence[bool], b: Sequence[bool], *, level: float = 0.95
) -> PairedDifference:
    """How much more often `a` is right than `b` on the same items, item by item.

    Unscored items must have been dropped from both by the caller, who says how many.

    Raises:
        InvalidInput: no items, or not the same number of them.
    """
    n = len(a)
    if n != len(b) or n == 0:
        raise InvalidInput(f"paired items are needed, got {n} and {len(b)}")
    a_only = sum(x and not y for x, y in zip(a, b, strict=True))
    b_only = sum(y and not x for x, y in zip(a, b, strict=True))
    p, q = (a_only + 1) / (n + 2), (b_only + 1) / (n + 2)
    half = _z(level) * sqrt((p + q - (p - q) ** 2) / (n + 2))
    interval = Interval(max(-1.0, p - q - half), min(1.0, p - q + half))
    return PairedDifference((a_only - b_only) / n, interval, level, n, a_only, b_only)


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise InvalidInput(f"level = {level} is not between 0 and 1; 0.95 is usual")
    return NormalDist().inv_cdf(0.5 + level / 2)
