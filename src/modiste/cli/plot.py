"""A curve in the terminal: braille dots, four rows and two columns a cell, and labelled axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import log10

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell by (row, column); U+2800 is the empty cell."""

Point = tuple[float, float]


def log_curve(points: Sequence[Point], *, width: int = 60, height: int = 8) -> list[str]:
    """Lines of text that draw `points`, connected, left to right, on a logarithmic y axis.

    Points at or below 0 have no place on it and are left out; empty for fewer than two others.
    """
    points = sorted((x, log10(y)) for x, y in points if y > 0)
    if len(points) < 2:
        return []
    (x0, _), (x1, _) = points[0], points[-1]
    low, high = min(y for _, y in points), max(y for _, y in points)
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]

    def at(x: float, y: float) -> tuple[int, int]:
        right = (x - x0) / (x1 - x0) if x1 > x0 else 0.0
        up = (y - low) / (high - low) if high > low else 0.5
        return round(right * (columns - 1)), round((1 - up) * (rows - 1))

    for before, after in itertools.pairwise(points):
        for column, row in _line(at(*before), at(*after)):
            cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
    labels = [f"{10 ** (high - (high - low) * row / (height - 1)):.2g}" for row in range(height)]
    labels = [
        label if row % 2 == 0 or row == height - 1 else "" for row, label in enumerate(labels)
    ]
    margin = max(map(len, labels))
    lines = [
        f"{label:>{margin}} ┤" + "".join(chr(0x2800 + bits) for bits in line)
        for label, line in zip(labels, cells, strict=True)
    ]
    lines.append(" " * margin + " └" + "─" * width)
    right_label = f"{x1:g}"
    lines.append(" " * (margin + 2) + f"{x0:<{width - len(right_label)}g}" + right_label)
    return lines


def smoothed(values: Sequence[float], *, window: int) -> list[float]:
    """The mean of each value and up to `window - 1` before it."""
    return [
        sum(values[max(0, i - window + 1) : i + 1]) / (i + 1 - max(0, i - window + 1))
        for i in range(len(values))
    ]


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (
            round(start[0] + (end[0] - start[0]) * i / steps),
            round(start[1] + (end[1] - start[1]) * i / steps),
        )
        for i in range(steps + 1)
    ]
