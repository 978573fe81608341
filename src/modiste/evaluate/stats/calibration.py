"""Do probabilities mean what they say? Brier's score, calibration error and the table behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Numbers, binary, numbers, same_length
from modiste.evaluate.stats.estimates import Estimate, Interval, mean_estimate, wilson


@dataclass(frozen=True)
class Bin:
    lo: float
    hi: float
    said: float
    """Mean probability."""
    came: float
    """Share that came true."""
    ci: Interval
    n: int


@dataclass(frozen=True)
class Calibration:
    ece: float
    """Mean distance of what was said from what came true, over bins of equally many items."""
    worst: float
    bins: tuple[Bin, ...]
    n: int
    method: str


def ece(p: Numbers, y: Numbers, *, bins: int = 15, level: float = 0.95) -> Calibration:
    """Expected calibration error over `bins` bins that hold equally many items.

    It is not zero for perfect probabilities: each bin adds the noise of its few items.

    Raises:
        InvalidInput: a NaN, p outside 0 to 1, y that is not 0/1, or fewer items than bins.
    """
    said, came = _probabilities(p, y)
    if bins < 1 or len(said) < bins:
        raise InvalidInput(f"{len(said)} items do not fill {bins} bins; take fewer bins")
    order = np.argsort(said, kind="stable")
    table = []
    for at in np.array_split(order, bins):
        k, n = int(came[at].sum()), len(at)
        ends = float(said[at[0]]), float(said[at[-1]])
        table.append(Bin(*ends, float(said[at].mean()), k / n, wilson(k, n, level=level), n))
    gaps = [abs(b.said - b.came) for b in table]
    mean = sum(gap * b.n for gap, b in zip(gaps, table, strict=True)) / len(said)
    return Calibration(mean, max(gaps), tuple(table), len(said), f"{bins} bins of equal mass")


def brier(p: Numbers, y: Numbers, *, level: float = 0.95) -> Estimate:
    """Mean squared distance of the probability from what came true; 0 is perfect."""
    said, came = _probabilities(p, y)
    return mean_estimate((said - came) ** 2, level=level, scale=(0.0, 1.0))


def _probabilities(p: Numbers, y: Numbers) -> tuple[Floats, Floats]:
    said, came = numbers("p", p), numbers("y", y)
    same_length(p=said, y=came)
    off = np.flatnonzero((said < 0) | (said > 1))
    if len(off):
        raise InvalidInput(f"p[{off[0]}] is {said[off[0]]}; probabilities are from 0 to 1")
    if not binary(came):
        raise InvalidInput("y holds more than 0 and 1; 1 is what came true")
    return said, came
