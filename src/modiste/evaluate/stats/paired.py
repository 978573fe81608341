"""Two models on the same items: their difference, and the tests of it.

Everything is of `a` minus `b`, item by item, so that what makes an item hard for both cancels out.
Right-or-wrong items that are independent get the interval of Bonett and Price (2012), which does
not collapse where the models agree; everything else Student's t on the differences, over clusters
where items share a source.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import (
    Floats,
    Labels,
    Numbers,
    a_count,
    a_share,
    binary,
    coded,
    numbers,
    same_length,
)
from modiste.evaluate.stats.estimates import (
    Estimate,
    Interval,
    Scale,
    clustered_se,
    student,
    t_of,
    z_of,
)

BONETT_PRICE = "Bonett–Price"


@dataclass(frozen=True)
class Significance:
    """How often chance alone would show as much."""

    p: float
    statistic: float
    n: int
    method: str


@dataclass(frozen=True, kw_only=True)
class PairedDifference(Estimate):
    """Mean of `a` minus mean of `b` over the same `n` items."""

    a: float
    b: float
    """The two means."""
    corr: float | None
    """How alike the two find the same items hard; None where one of them never varies."""
    se_unpaired: float
    """What the standard error would be if the items were not the same: what pairing saves."""
    a_only: int | None = None
    """Items that only `a` got right; None where scores are not right or wrong."""
    b_only: int | None = None
    mcnemar: Significance | None = None
    """Exact; only for independent right-or-wrong items."""


@dataclass(frozen=True)
class NonInferiority:
    """Is `a` worse than `b` by less than `delta`?"""

    passed: bool
    bound: float
    """One-sided lower bound of the difference."""
    delta: float
    alpha: float
    n: int
    method: str


def paired_difference(
    a: Numbers,
    b: Numbers,
    clusters: Labels | None = None,
    *,
    level: float = 0.95,
    scale: Scale | None = None,
    n_unscored: int = 0,
) -> PairedDifference:
    """How much higher `a` scores than `b`.

    Items that one of the two has no score for must have been dropped from both by the caller.

    Args:
        a, b: (n,) scores of the same items in the same order.
        scale: lowest and highest score there can be; the interval stays within their distance.

    Raises:
        InvalidInput: no item, not the same number of them, a NaN, one cluster, or one item that is
            not right or wrong.
    """
    left, right = numbers("a", a), numbers("b", b)
    n = same_length(a=left, b=right)
    right_or_wrong = binary(left) and binary(right)
    reach = 1.0 if scale is None and right_or_wrong else scale[1] - scale[0] if scale else None
    span = None if reach is None else (-reach, reach)
    d = left - right
    a_only, b_only = int((d > 0).sum()), int((d < 0).sum())
    if clusters is not None:
        same_length(a=left, clusters=clusters)
        codes = coded(clusters).codes
        n_clusters = int(codes.max()) + 1
        found = student(
            float(d.mean()), clustered_se(d, codes), n=n, df=n_clusters - 1, level=level,
            scale=span, method="paired clustered t", n_clusters=n_clusters, n_unscored=n_unscored,
        )  # fmt: skip
    elif right_or_wrong:
        found = _bonett_price(a_only, b_only, n, level, n_unscored)
    elif n < 2:
        raise InvalidInput("one pair of scores shows no spread; at least 2 items are needed")
    else:
        found = student(
            float(d.mean()), float(d.std(ddof=1)) / sqrt(n), n=n, df=n - 1, level=level,
            scale=span, method="paired t", n_unscored=n_unscored,
        )  # fmt: skip
    independent = right_or_wrong and clusters is None
    return PairedDifference(
        **{name: getattr(found, name) for name in Estimate.__dataclass_fields__},
        a=float(left.mean()),
        b=float(right.mean()),
        corr=_correlation(left, right),
        se_unpaired=sqrt((left.var(ddof=1) + right.var(ddof=1)) / n) if n > 1 else sqrt(0.5),
        a_only=a_only if right_or_wrong else None,
        b_only=b_only if right_or_wrong else None,
        mcnemar=mcnemar(a_only, b_only) if independent else None,
    )


def _bonett_price(a_only: int, b_only: int, n: int, level: float, n_unscored: int) -> Estimate:
    """Wald's interval with one item more on each side; its standard error is never zero."""
    p, q = (a_only + 1) / (n + 2), (b_only + 1) / (n + 2)
    se = sqrt((p + q - (p - q) ** 2) / (n + 2))
    half = z_of(level) * se
    ci = Interval(max(-1.0, p - q - half), min(1.0, p - q + half), level, BONETT_PRICE)
    return Estimate(
        value=(a_only - b_only) / n, se=se, ci=ci, n=n, method=BONETT_PRICE, n_unscored=n_unscored
    )


def _correlation(left: Floats, right: Floats) -> float | None:
    if len(left) < 2 or not left.std() or not right.std():
        return None
    return float(np.corrcoef(left, right)[0, 1])


def centre(difference: Estimate) -> float:
    """The middle of its interval before clipping; Bonett and Price's lies nearer to zero."""
    if difference.method == BONETT_PRICE:
        return difference.value * difference.n / (difference.n + 2)
    return difference.value


def noninferiority(difference: Estimate, delta: float, *, alpha: float = 0.05) -> NonInferiority:
    """Passed if the one-sided lower bound of `a` minus `b` lies above −delta.

    Higher is better; where lower is, give `b` minus `a`. Choose `delta` before looking.

    Raises:
        InvalidInput: delta <= 0.
    """
    if not delta > 0:
        raise InvalidInput(f"delta = {delta}; the loss that is tolerated must be above 0")
    t = t_of(1 - 2 * a_share("alpha", alpha), difference.df)
    bound = centre(difference) - t * difference.se
    method = f"one-sided bound, {difference.method}"
    return NonInferiority(bound > -delta, bound, delta, alpha, difference.n, method)


def mcnemar(
    b: int, c: int, *, method: Literal["exact", "midp", "chi2", "chi2_cc"] = "exact"
) -> Significance:
    """Do `b` items won by one and `c` won by the other differ by more than chance? Two-sided."""
    b, c = a_count("b", b), a_count("c", c)
    n, name = b + c, f"McNemar {method}"
    if n == 0:
        return Significance(1.0, 0.0, 0, f"{name}, no item on which they differ")
    if method in ("chi2", "chi2_cc"):
        gap = max(0, abs(b - c) - (method == "chi2_cc"))
        chi2 = gap**2 / n
        return Significance(float(special.chdtrc(1, chi2)), chi2, n, name)
    fewer = min(b, c)
    p = 2 * float(special.bdtr(fewer, n, 0.5))
    if method == "midp":
        at = float(special.bdtr(fewer, n, 0.5))
        below = float(special.bdtr(fewer - 1, n, 0.5)) if fewer else 0.0
        p -= at - below
    return Significance(min(1.0, p), float(fewer), n, name)


def sign_test(w: int, l: int) -> Significance:  # noqa: E741
    """Exact two-sided test that wins and losses are equally likely; ties do not count."""
    found = mcnemar(w, l)
    return Significance(found.p, float(w), found.n, "exact sign test")


def permutation_paired(a: Numbers, b: Numbers, *, n: int = 10_000, seed: int = 0) -> Significance:
    """Two-sided p of the mean difference when each item's sign is flipped at random, n times.

    The observed order counts as one of the draws, so p is never 0 (Phipson and Smyth 2010).
    """
    left, right = numbers("a", a), numbers("b", b)
    items = same_length(a=left, b=right)
    d = np.abs(left - right)
    seen = abs(float((left - right).sum()))
    sums = _flipped_sums(d[d > 0], n, np.random.default_rng(seed))
    as_much = int((np.abs(sums) >= seen - 1e-9 * max(1.0, seen)).sum())
    method = f"paired sign flips, {n} draws, seed {seed}"
    return Significance((as_much + 1) / (n + 1), seen / items, items, method)


def _flipped_sums(sizes: Floats, n: int, rng: np.random.Generator) -> Floats:
    """(n,) sums of `sizes` with random signs."""
    values, counts = np.unique(np.round(sizes, 12), return_counts=True)
    sums = np.zeros(n)
    if len(values) * 8 < len(sizes):
        # Items of one size are alike: how many of them turn positive is one binomial draw.
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            sums += value * (2.0 * rng.binomial(count, 0.5, size=n) - count)
        return sums
    step = max(1, 1_000_000 // max(1, len(sizes)))
    for start in range(0, n, step):
        rows = min(step, n - start)
        bits = rng.integers(0, 256, (rows, (len(sizes) + 7) // 8), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=len(sizes)).astype(np.float64)
        sums[start : start + rows] = 2 * (signs @ sizes) - sizes.sum()
    return sums
