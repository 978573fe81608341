"""Does a judge rank as experts do? Correlations with intervals, and which judge does it better.

Intervals are Fisher's z: 1/√(n − 3) for Pearson, widened by Bonett and Wright (2000) for
Spearman, and for Kendall's tau-b by its own influence function, which also holds with many ties.
With n = 100 and a correlation of .5 they reach .15 to either side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atanh, sqrt, tanh
from typing import Literal

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.bootstrap import bootstrap, interval_of_draws
from modiste.evaluate.stats.columns import Floats, Numbers, numbers, ranks, same_length
from modiste.evaluate.stats.estimates import Estimate, Interval, wilson, z_of

Kind = Literal["pearson", "spearman", "kendall_b"]
_ROWS = 512
_SIGNS = 1_000
"""Items up to which draws of tau-b come from one table of signs, much faster than one by one."""


@dataclass(frozen=True, kw_only=True)
class CorrelationDiff(Estimate):
    """Correlation of the first with `y` minus that of the second."""

    first: float
    second: float


@dataclass(frozen=True)
class TieCalibrated:
    """Differences up to `eps` count as ties; chosen on the development half."""

    eps: float
    acc_dev: float
    acc_test: float
    ci_test: Interval
    n_dev: int
    n: int
    """Items of the test half."""
    method: str


def fisher_interval(r: float, n: int, *, level: float = 0.95, variance: float = 1.0) -> Interval:
    """tanh(atanh r ± z · √(variance / (n − 3))).

    Raises:
        InvalidInput: r outside −1 to 1, or n below 4.
    """
    if not -1 <= r <= 1 or n < 4:
        raise InvalidInput(f"r = {r} with n = {n}; need −1 <= r <= 1 and at least 4 items")
    return _z_interval(r, sqrt(variance / (n - 3)), level)


def pearson(x: Numbers, y: Numbers, *, level: float = 0.95) -> Estimate:
    """How close to a line. Raises InvalidInput under 4 items or where a column is constant."""
    a, b = _columns(x, y)
    r, n = _pearson(a, b), len(a)
    return _estimate(r, 1 / sqrt(n - 3), n, level, "Pearson, Fisher z")


def spearman(x: Numbers, y: Numbers, *, level: float = 0.95) -> Estimate:
    """Pearson of the ranks, ties sharing theirs."""
    a, b = _columns(x, y)
    r, n = _spearman(a, b), len(a)
    return _estimate(r, sqrt((1 + r * r / 2) / (n - 3)), n, level, "Spearman, Bonett–Wright z")


def kendall_b(x: Numbers, y: Numbers, *, level: float = 0.95) -> Estimate:
    """Pairs in the same order minus pairs in the other, over the pairs that are no ties."""
    a, b = _columns(x, y)
    n = len(a)
    common, in_x, in_y = _signs(a, b)
    norm = sqrt(in_x.mean() * in_y.mean())
    tau = float(common.mean() / norm)
    pull = 2 * (common / norm - tau / 2 * (in_x / in_x.mean() + in_y / in_y.mean()))
    se = sqrt(float((pull**2).sum()) / (n * (n - 1)))
    if abs(tau) >= 1 - 1e-12:
        # Perfect order shows no spread: then the error of independent order, (Kendall 1938).
        se_z = sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
    else:
        se_z = se / (1 - tau * tau)
    return _estimate(tau, se_z, n, level, "Kendall tau-b, influence-function z")


def correlation_diff(
    x1: Numbers,
    x2: Numbers,
    y: Numbers,
    *,
    kind: Kind = "kendall_b",
    n: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> CorrelationDiff:
    """How much better `x1` goes with `y` than `x2` does, the items drawn together.

    If 0 is inside, take the cheaper judge.
    """
    first, second, right = numbers("x1", x1), numbers("x2", x2), numbers("y", y)
    same_length(x1=first, x2=second, y=right)
    figure = FIGURES[kind]

    def gap(a: Floats, b: Floats, c: Floats) -> float:
        return figure(a, c) - figure(b, c)

    if kind == "kendall_b" and len(right) <= _SIGNS:
        taus = _drawn_taus((first, second), right, n, np.random.default_rng(seed))
        drawn, items = taus[0] - taus[1], len(right)
        found = interval_of_draws(
            gap(first, second, right), drawn, items=items, level=level, seed=seed
        )
    else:
        found = bootstrap(gap, first, second, right, n=n, level=level, seed=seed)
    fields = {name: getattr(found, name) for name in Estimate.__dataclass_fields__}
    return CorrelationDiff(
        **fields | {"method": f"{kind}, {found.method}"},
        first=figure(first, right),
        second=figure(second, right),
    )


def _drawn_taus(
    judges: tuple[Floats, ...], right: Floats, n: int, rng: np.random.Generator
) -> list[Floats]:
    """Per judge (n,) tau-b with y, of the same draws of the items.

    A pair counts as often as both of its items were drawn; an item is a tie with itself.
    """
    items = len(right)
    weights = rng.multinomial(items, np.full(items, 1 / items), size=n).astype(np.float64)

    def pairs(signs: Floats) -> Floats:
        counted: Floats = ((weights @ signs) * weights).sum(axis=1)
        return counted

    of_y = np.sign(np.subtract.outer(right, right))
    in_y = pairs(np.abs(of_y))
    found = []
    for judge in judges:
        of_x = np.sign(np.subtract.outer(judge, judge))
        norm = np.sqrt(pairs(np.abs(of_x)) * in_y)
        common = pairs(of_x * of_y)
        found.append(np.where(norm > 0, common / np.where(norm > 0, norm, 1), np.nan))
    return found


def tie_calibrated_accuracy(
    d: Numbers, e: Numbers, dev_mask: Numbers, *, level: float = 0.95
) -> TieCalibrated:
    """Three-way accuracy of a judge that never says "tie" until it is told what a tie is.

    Args:
        d: (n,) the judge's signed difference.
        e: (n,) the experts' preference; its sign counts, 0 is a tie.
        dev_mask: (n,) 1 where an item helps to choose ε, 0 where it is measured on.

    Raises:
        InvalidInput: one of the two parts is empty.
    """
    said, right = numbers("d", d), np.sign(numbers("e", e))
    dev = numbers("dev_mask", dev_mask).astype(bool)
    same_length(d=said, e=right, dev_mask=dev)
    if dev.all() or not dev.any():
        raise InvalidInput(f"dev_mask marks {int(dev.sum())} of {len(dev)} items; mark about half")

    def hits(eps: float, part: np.ndarray) -> int:
        called = np.where(np.abs(said[part]) <= eps, 0.0, np.sign(said[part]))
        return int((called == right[part]).sum())

    tried = np.unique(np.r_[0.0, np.abs(said[dev])])
    scores = [hits(float(eps), dev) for eps in tried]
    best = int(np.argmax(scores))
    eps, n_dev, n_test = float(tried[best]), int(dev.sum()), int((~dev).sum())
    k = hits(eps, ~dev)
    ci = wilson(k, n_test, level=level)
    method = "three-way accuracy, ties calibrated (Deutsch et al. 2023)"
    return TieCalibrated(eps, scores[best] / n_dev, k / n_test, ci, n_dev, n_test, method)


def _columns(x: Numbers, y: Numbers) -> tuple[Floats, Floats]:
    a, b = numbers("x", x, at_least=4), numbers("y", y, at_least=4)
    same_length(x=a, y=b)
    for name, column in (("x", a), ("y", b)):
        if np.ptp(column) == 0:
            raise InvalidInput(f"{name} is {column[0]} for all items: it correlates with nothing")
    return a, b


def _pearson(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = sqrt(float((a @ a) * (b @ b)))
    return max(-1.0, min(1.0, float(a @ b) / norm)) if norm > 0 else float("nan")


def _spearman(a: Floats, b: Floats) -> float:
    return _pearson(ranks(a), ranks(b))


def _kendall_b(a: Floats, b: Floats) -> float:
    common, in_x, in_y = _signs(a, b)
    norm = sqrt(float(in_x.sum() * in_y.sum()))
    return float(common.sum()) / norm if norm > 0 else float("nan")


def _signs(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """Per item: in how many pairs both sides have the same order, less those in which they have
    opposite ones, and how many others differ from it in x and in y."""
    n = len(a)
    common, in_x, in_y = np.zeros(n), np.zeros(n), np.zeros(n)
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        of_x, of_y = np.sign(a[rows, None] - a), np.sign(b[rows, None] - b)
        common[rows] = (of_x * of_y).sum(axis=1)
        in_x[rows], in_y[rows] = np.abs(of_x).sum(axis=1), np.abs(of_y).sum(axis=1)
    return common, in_x, in_y


FIGURES: dict[str, Callable[[Floats, Floats], float]] = {
    "pearson": _pearson, "spearman": _spearman, "kendall_b": _kendall_b,
}  # fmt: skip


def _z_interval(r: float, se_z: float, level: float) -> Interval:
    z, half = atanh(min(max(r, -1 + 1e-12), 1 - 1e-12)), z_of(level) * se_z
    return Interval(tanh(z - half), tanh(z + half), level, "Fisher z")


def _estimate(r: float, se_z: float, n: int, level: float, method: str) -> Estimate:
    ci = _z_interval(r, se_z, level)
    return Estimate(value=r, se=(1 - r * r) * se_z, ci=ci, n=n, method=method)
