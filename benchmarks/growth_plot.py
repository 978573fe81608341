"""The `growth` figures of benchmarks/serve.py as one SVG: no script, no fonts to fetch.

    .venv/bin/python benchmarks/growth_plot.py figures.json growth.svg

A row for each size, a chart for each thing that grows; the horizontal axes are logarithmic, the
vertical ones begin at zero, and every point says its value.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 330, 250
"""Of one chart with its words."""
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 52, 50
"""What of it lies around the axes."""
INSET = 22
"""Between the axes and the first and last point."""
HEAD = 34
LINE, GRID, INK = "#1f5fa8", "#dddddd", "#333333"


class Chart(NamedTuple):
    title: str
    across: str
    """The unit of the horizontal axis."""
    points: Sequence[tuple[int, float]]


def growth_svg(figures: Mapping[str, Mapping[str, float]]) -> str:
    """`figures` is what `--json` of benchmarks/serve.py writes; other sections are left out."""
    rows = [
        (name.removeprefix("growth "), _charts(speeds))
        for name, speeds in figures.items()
        if name.startswith("growth ")
    ]
    width = WIDTH * max(len(charts) for _, charts in rows)
    height = (HEIGHT + HEAD) * len(rows)
    drawn = []
    for at, (size, charts) in enumerate(rows):
        top = at * (HEIGHT + HEAD)
        drawn.append(_text(16, top + 24, f"Size {size}", size=16, weight="bold"))
        for column, chart in enumerate(charts):
            shifted = f'<g transform="translate({column * WIDTH},{top + HEAD})">'
            drawn.append(shifted + "".join(_drawn(chart)) + "</g>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{width}" height="{height}" fill="white"/>' + "".join(drawn) + "</svg>\n"
    )


def _charts(speeds: Mapping[str, float]) -> list[Chart]:
    known: dict[str, list[tuple[int, float]]] = {"speed": [], "memory": [], "context": []}
    for name, value in speeds.items():
        words = name.replace(",", "").split()
        if words[0] == "context":
            known["context"].append((int(words[1]), value))
        else:
            known["memory" if words[-1] == "MB" else "speed"].append((int(words[0]), value))
    titles = {
        "speed": ("Tokens per CPU-second", "adapters known and used"),
        "memory": ("Memory of the engine, MB", "adapters known and used"),
        "context": ("Tokens per CPU-second", "tokens of context"),
    }
    return [Chart(*titles[name], points) for name, points in known.items() if points]


def _drawn(chart: Chart) -> Iterator[str]:
    step = _round_step(max(value for _, value in chart.points))
    most = step * math.ceil(max(value for _, value in chart.points) / step)
    first, last = chart.points[0][0], max(chart.points[-1][0], chart.points[0][0] + 1)

    def x(value: float) -> float:
        share = math.log(value / first) / math.log(last / first)
        return LEFT + INSET + share * (WIDTH - LEFT - RIGHT - 2 * INSET)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM)

    yield _text(16, 20, chart.title, size=13)
    for n in range(round(most / step) + 1):
        at = y(n * step)
        yield f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
        yield _text(LEFT - 8, at + 4, f"{n * step:,.0f}", anchor="end")
    for value, _ in chart.points:
        yield f'<path d="M{x(value):.1f} {y(0):.1f}v5" stroke="{INK}"/>'
        yield _text(x(value), y(0) + 19, f"{value:,}", anchor="middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, chart.across, anchor="middle")
    yield f'<path d="M{LEFT} {y(0):.1f}H{WIDTH - RIGHT}" stroke="{INK}"/>'
    line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in chart.points)
    yield f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>'
    for at, value in chart.points:
        yield f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="3.5" fill="{LINE}"/>'
        said = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
        yield _text(x(at), y(value) - 9, said, anchor="middle", colour=LINE)


def _round_step(most: float) -> float:
    """Of the grid: one, two or five times a power of ten, three to six lines."""
    power = 10.0 ** math.floor(math.log10(most / 3))
    return next(power * times for times in (5, 2, 1) if most / (power * times) >= 2.5)


def _text(
    x: float,
    y: float,
    said: str,
    *,
    size: int = 12,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}" fill="{colour}" stroke="white" stroke-width="3" '
        f'paint-order="stroke">{escape(said)}</text>'
    )


def main() -> int:
    source, target = map(Path, sys.argv[1:])
    target.write_text(growth_svg(json.loads(source.read_text())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
