"""Many comparisons at once: p-values that still mean what they say.

Holm's where one false alarm is one too many (gates), Benjamini and Hochberg's where a share of them
is bearable (dashboards).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Numbers, numbers


@dataclass(frozen=True)
class Adjusted:
    p: tuple[float, ...]
    """In the order given; at most 1."""
    n: int
    method: str

    def rejected(self, alpha: float = 0.05) -> tuple[bool, ...]:
        return tuple(p <= alpha for p in self.p)


def holm(p: Numbers) -> Adjusted:
    """Keeps the chance of any false alarm below α, whatever the tests have in common."""
    raw = _checked(p)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    return _in_place(stepped, order, "Holm")


def bh(p: Numbers) -> Adjusted:
    """Keeps the expected share of false alarms among the alarms below α."""
    raw = _checked(p)
    order = np.argsort(raw, kind="stable")
    scaled = raw[order] * len(raw) / np.arange(1, len(raw) + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _in_place(stepped, order, "Benjamini–Hochberg")


def _checked(p: Numbers) -> Floats:
    raw = numbers("p", p)
    off = np.flatnonzero((raw < 0) | (raw > 1))
    if len(off):
        raise InvalidInput(f"p[{off[0]}] is {raw[off[0]]}; p-values are from 0 to 1")
    return raw


def _in_place(stepped: Floats, order: np.ndarray, method: str) -> Adjusted:
    back = np.empty_like(stepped)
    back[order] = np.minimum(stepped, 1.0)
    return Adjusted(tuple(back.tolist()), len(back), method)
