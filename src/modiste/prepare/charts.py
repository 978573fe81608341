"""Histograms as inline SVG: no script, no network, colours from the page, a word for every bar.

Takes the JSON of `statistics.Histogram`. Drawn in its own units and stretched to the width it is
given, so letters keep their size only in the axis, which is HTML beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 600, 120
GAP = 0.12
"""Between bars, as a share of a bar."""
MARKS = 4
"""Labels below the bars, about."""


def histogram(lengths: Mapping[str, Any], *, unit: str, limit: int | None = None) -> str:
    """Bars with their axis; `limit` draws a line where the sequence length ends."""
    bars: Sequence[Mapping[str, int]] = lengths["bars"]
    if not bars:
        return ""
    if lengths["min"] == lengths["max"]:
        return f'<p class="below">{number(lengths["max"])} in every one.</p>'
    step = WIDTH / len(bars)
    top = max(bar["n"] for bar in bars)
    drawn = "".join(_bar(at, bar, step, top, lengths["n"], unit) for at, bar in enumerate(bars))
    line = _limit(bars, limit, step)
    named = f"Histogram of {escape(unit)}: median {number(lengths['p50'])}"
    named += f", longest {number(lengths['max'])}"
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{named}">{drawn}{line}</svg>{_axis(bars)}'
    )


def number(value: float | None) -> str:
    """`12,345`; `12.3` where a whole number would hide what matters."""
    if value is None:
        return "–"
    return f"{value:,.1f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


def percent(share: float) -> str:
    """Never 0 % or 100 % of what is not none or all."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{share * 100:.0f} %"


def _bar(at: int, bar: Mapping[str, int], step: float, top: int, total: int, unit: str) -> str:
    count = bar["n"]
    tall = count / top * (HEIGHT - 2)
    tall = max(tall, 1.5) if count else 0.0  # a single row among thousands is still to be seen
    span = number(bar["least"])
    if bar["most"] != bar["least"]:
        span += f"–{number(bar['most'])}"
    said = f"{span} {unit}: {number(count)} ({count / total:.1%})"
    left = (at + GAP / 2) * step
    return (
        f'<g><rect class="hover" x="{at * step:.2f}" y="0" width="{step:.2f}" height="{HEIGHT}"/>'
        f'<rect class="bar" x="{left:.2f}" y="{HEIGHT - tall:.2f}" '
        f'width="{step * (1 - GAP):.2f}" height="{tall:.2f}"/><title>{escape(said)}</title></g>'
    )


def _limit(bars: Sequence[Mapping[str, int]], limit: int | None, step: float) -> str:
    """Within the bar that holds it, by its share of the bar's width."""
    for at, bar in enumerate(bars):
        if limit is not None and bar["least"] <= limit < bar["most"]:
            share = (limit - bar["least"] + 1) / (bar["most"] - bar["least"] + 1)
            x = (at + share) * step
            said = f"sequence length {number(limit)}"
            return (
                f'<line class="limit" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="{HEIGHT}">'
                f"<title>{said}</title></line>"
            )
    return ""


def _axis(bars: Sequence[Mapping[str, int]]) -> str:
    """The first value of a bar, at its left edge."""
    every = max(1, -(-len(bars) // MARKS))
    marks = "".join(
        f'<span style="left:{at / len(bars):.1%}">{number(bars[at]["least"])}</span>'
        for at in range(0, len(bars), every)
    )
    return f'<div class="axis" aria-hidden="true">{marks}</div>'
