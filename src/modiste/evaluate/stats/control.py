"""A quality watched over time: has it moved from its target? Two charts.

CUSUM sees a small shift that stays, EWMA a smoothed curve with limits. Both start from a target and
a spread that were measured before; measuring them on what is watched hides what is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Numbers, numbers


@dataclass(frozen=True, eq=False)
class Chart:
    up: Floats
    """(n,) evidence for a shift up; of EWMA the smoothed values."""
    down: Floats
    """(n,) evidence for a shift down; of EWMA the same values again."""
    upper: Floats
    lower: Floats
    """Limits: above `upper` or below `lower` is an alarm."""
    alarms: tuple[int, ...]
    """Points of an alarm."""
    n: int
    method: str

    @property
    def first_alarm(self) -> int | None:
        return self.alarms[0] if self.alarms else None


def cusum(values: Numbers, target: float, sd: float, *, k: float = 0.5, h: float = 5.0) -> Chart:
    """Two-sided tabular CUSUM (Page 1954) in standard deviations.

    Args:
        values: (n,) in order of time.
        target, sd: what they were before.
        k: half of the shift to be found.
        h: alarm beyond it. k = ½ and h = 5 alarm falsely once in about 465 points, and after about
            10 points of a shift of one deviation.

    Raises:
        InvalidInput: no value, a NaN, or sd, k, h that are not positive.
    """
    column = numbers("values", values)
    if not (sd > 0 and k > 0 and h > 0):
        raise InvalidInput(f"sd = {sd}, k = {k}, h = {h}; all must be above 0")
    up, down = np.zeros(len(column)), np.zeros(len(column))
    high = low = 0.0
    for at, z in enumerate(((column - target) / sd).tolist()):
        high, low = max(0.0, high + z - k), max(0.0, low - z - k)
        up[at], down[at] = high, low
    alarms = np.flatnonzero((up > h) | (down > h))
    limit = np.full(len(column), h)
    method = f"CUSUM, k = {k:g}, h = {h:g}"
    return Chart(up, -down, limit, -limit, tuple(alarms.tolist()), len(column), method)


def ewma(values: Numbers, target: float, sd: float, *, lam: float = 0.2, L: float = 3.0) -> Chart:
    """Exponentially weighted mean (Roberts 1959) with limits that widen as it settles.

    Args:
        lam: weight of the newest value, above 0 up to 1.
        L: width of the limits in standard deviations of the weighted mean.
    """
    column = numbers("values", values)
    if not (sd > 0 and 0 < lam <= 1 and L > 0):
        raise InvalidInput(f"sd = {sd}, lam = {lam}, L = {L}; need sd, L > 0 and 0 < lam <= 1")
    smooth = np.zeros(len(column))
    now = float(target)
    for at, value in enumerate(column.tolist()):
        now = lam * value + (1 - lam) * now
        smooth[at] = now
    settled = 1 - (1 - lam) ** (2 * np.arange(1, len(column) + 1))
    half = L * sd * sqrt(lam / (2 - lam)) * np.sqrt(settled)
    alarms = np.flatnonzero(np.abs(smooth - target) > half)
    method = f"EWMA, λ = {lam:g}, L = {L:g}"
    return Chart(
        smooth, smooth, target + half, target - half, tuple(alarms.tolist()), len(column), method
    )
