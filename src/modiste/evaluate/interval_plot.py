"""Intervals as inline SVG: a line from end to end, a dot at the value, marks where they matter.

Drawn in percent of the width it is given, without script or network, colours from the page. Every
plot says its figures in words for those who cannot see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

TALL = 22
"""Units of a row; its width is 1000."""


@dataclass(frozen=True)
class Axis:
    """What the left and the right edge of a plot stand for."""

    lo: float
    hi: float

    @classmethod
    def around(cls, ends: Iterable[float], *, through: Sequence[float] = ()) -> Axis:
        """Wide enough for all ends and what it must go through, with a margin."""
        values = [*ends, *through]
        lo, hi = (min(values), max(values)) if values else (0.0, 1.0)
        margin = 0.04 * (hi - lo) or max(abs(hi), 1.0) * 0.1
        return cls(lo - margin, hi + margin)

    def at(self, value: float) -> float:
        """0…1000, held inside."""
        return min(1000.0, max(0.0, 1000 * (value - self.lo) / (self.hi - self.lo)))

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside."""
        rough = (self.hi - self.lo) / about
        size = 10 ** floor(log10(rough))
        step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
        first = -(-self.lo // step)
        found = []
        while first * step <= self.hi:
            found.append(round(first * step, 12) + 0.0)
            first += 1
        return found


def interval(
    axis: Axis,
    value: float,
    lo: float,
    hi: float,
    *,
    said: str,
    kind: str = "",
    marks: Sequence[float] = (),
) -> str:
    """One row of a plot.

    Args:
        said: the same in words.
        kind: class of its colour: `good`, `bad` or none.
        marks: where lines go from top to bottom, such as zero or a baseline.
    """
    middle = TALL / 2
    lines = "".join(
        f'<line class="mark" x1="{axis.at(mark):.1f}" x2="{axis.at(mark):.1f}" y1="0" y2="{TALL}"/>'
        for mark in marks
        if axis.lo <= mark <= axis.hi
    )
    left, right, dot = axis.at(lo), axis.at(hi), axis.at(value)
    return (
        f'<svg class="interval {kind}" viewBox="0 0 1000 {TALL}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(said)}"><title>{escape(said)}</title>{lines}'
        f'<line class="reach" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<line class="dot" x1="{dot:.1f}" x2="{dot:.1f}" y1="{middle}" y2="{middle}"/></svg>'
    )


def axis_labels(axis: Axis, *, factor: float = 1.0, unit: str = "") -> str:
    """Its round values, below or above a plot."""
    ticks = axis.ticks()
    marks = "".join(
        f'<span style="left:{axis.at(tick) / 10:.1f}%">{tick * factor:.4g}</span>'.replace("-", "−")
        for tick in ticks
    )
    return f'<div class="ticks" aria-hidden="true" title="{escape(unit)}">{marks}</div>'


def wins_bar(wins: int, ties: int, losses: int) -> str:
    """Shares of items won, tied and lost, side by side."""
    total = max(1, wins + ties + losses)
    parts = "".join(
        f'<b class="{kind}" style="width:{100 * count / total:.2f}%"></b>'
        for kind, count in (("won", wins), ("tied", ties), ("lost", losses))
    )
    said = f"{wins} won, {ties} tied, {losses} lost"
    return f'<i class="wins" role="img" aria-label="{said}" title="{said}">{parts}</i>'
