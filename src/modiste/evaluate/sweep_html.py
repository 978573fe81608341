"""A sweep as one page: every cell's gain and loss, the grid, and who was chosen."""

from __future__ import annotations

from dataclasses import replace
from html import escape

from modiste.evaluate.interval_plot import Axis
from modiste.evaluate.report_comparison import forest
from modiste.evaluate.report_css import CSS
from modiste.evaluate.report_parts import alarm, card, pill, shown
from modiste.evaluate.sweep import Guarded, Row, Selection, SweepSpec
from modiste.prepare.report_html import document

WIDE, TALL = 640, 330
"""Of the plot of gain and loss."""
EDGE, TOP = 66, 16
"""Room for its labels."""

PLOT_CSS = """
.pareto { display: block; width: 100%; max-width: 720px; height: auto; }
.pareto text { fill: var(--soft); font-size: 12px; }
.pareto text.name { fill: var(--card); font-size: 11px; font-weight: 700; }
.pareto .lost + text.name { fill: var(--limit); }
.pareto line { stroke: var(--rule); } .pareto line.zero { stroke: var(--soft); }
.pareto line.delta { stroke: var(--limit); stroke-dasharray: 5 4; }
.pareto circle { fill: var(--bar); } .pareto circle.lost { fill: none; stroke: var(--limit);
  stroke-width: 2; } .pareto circle.won { fill: var(--good); }
.heat { width: auto; }
.heat td { text-align: center; font-variant-numeric: tabular-nums; padding: 8px 14px;
  border: 1px solid var(--rule); }
.heat td.won { outline: 3px solid var(--good); outline-offset: -3px; }
.heat td.lost { color: var(--error); } .heat th { background: none; text-align: center; }
"""


def sweep_page(spec: SweepSpec, selection: Selection, told: tuple[bool, str] | None) -> str:
    winner = selection.winner
    named = "nobody is allowed" if winner is None else winner.measured.cell.name
    body = [
        f'<div class="head"><h1>Sweep {escape(spec.name)}</h1>'
        f"{pill('warning' if winner is None else 'good', named)}</div>",
        f'<p class="lead">{escape(selection.why)}</p>',
        _confirmation(selection, told),
        card("Gain and loss", _pareto(spec, selection), under=_explained(spec)),
        _heat(spec, selection),
        card("On the target", _targets(selection), under="Each cell against the base."),
        *(_guard(spec, suite, selection) for suite in spec.guards),
    ]
    return document(f"Sweep {spec.name}", "".join(body), css=CSS + PLOT_CSS)


def _confirmation(selection: Selection, told: tuple[bool, str] | None) -> str:
    if told is not None:
        kind = "good" if told[0] else "error"
        return card(
            "On fresh items",
            f"<p>{pill(kind, 'confirmed' if told[0] else 'not')}</p><p>{escape(told[1])}</p>",
        )
    if selection.winner is None:
        return ""
    return alarm(
        "warning",
        "The winner is the best of several on the items that chose it, which flatters it: `fresh` "
        "suites would confirm it.",
    )


def _explained(spec: SweepSpec) -> str:
    if not spec.guards:
        return "No guards were given: nothing tells what the tuning made the model forget."
    return (
        f"To the right is better on the target, downward is worse on the guard that suffered most; "
        f"below the dashed line more than δ = {spec.delta:g} was lost. Hollow: the loss may be "
        "that large, so the cell is not allowed. Numbers are those of the tables."
    )


def worst_guard(row: Row) -> float | None:
    """The difference on the guard that suffered most; losses are negative."""
    found = [
        guard.difference.estimate.value * (1 if guard.difference.kind.higher_is_better else -1)
        for guard in row.guards
        if guard.difference.estimate is not None
    ]
    return min(found, default=None)


def _pareto(spec: SweepSpec, selection: Selection) -> str:
    points = [
        (at, row, row.gain.value, worst_guard(row) or 0.0)
        for at, row in enumerate(selection.rows, start=1)
        if row.gain is not None
    ]
    if not points:
        return "<p>No cell has figures.</p>"
    across = Axis.around([x for *_, x, _ in points], through=(0.0,))
    up = Axis.around([y for *_, y in points], through=(0.0, -1.5 * spec.delta))

    def x_of(value: float) -> float:
        return EDGE + (WIDE - 2 * EDGE) * across.at(value) / 1000

    def y_of(value: float) -> float:
        return TALL - EDGE - (TALL - EDGE - TOP) * up.at(value) / 1000

    lines = [
        f'<line class="zero" x1="{x_of(0):.1f}" x2="{x_of(0):.1f}" y1="{TOP}" y2="{TALL - EDGE}"/>',
        f'<line class="zero" x1="{EDGE}" x2="{WIDE - EDGE}" y1="{y_of(0):.1f}" '
        f'y2="{y_of(0):.1f}"/>',
    ]
    if spec.guards:
        y = y_of(-spec.delta)
        lines.append(
            f'<line class="delta" x1="{EDGE}" x2="{WIDE - EDGE}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    unit = selection.rows[0].measured.target.primary.kind.unit
    ticks = [
        f'<text x="{x_of(tick):.1f}" y="{TALL - EDGE + 18}" text-anchor="middle">'
        f"{shown(tick, unit)}</text>"
        for tick in across.ticks()
    ] + [
        f'<text x="{EDGE - 6}" y="{y_of(tick) + 4:.1f}" text-anchor="end">{tick:+.3g}</text>'
        for tick in up.ticks()
    ]
    dots = "".join(_dot(at, row, x_of(x), y_of(y), selection) for at, row, x, y in points)
    names = (
        f'<text x="{WIDE / 2}" y="{TALL - 8}" text-anchor="middle">gain on the target</text>'
        f'<text x="14" y="{TALL / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {TALL / 2})">difference on the worst guard</text>'
    )
    return (
        f'<svg class="pareto" viewBox="0 0 {WIDE} {TALL}" role="img" aria-label="Gain on the '
        'target against the difference on the worst guard, by cell">'
        f"{''.join(lines + ticks)}{names}{dots}</svg>"
    )


def _dot(at: int, row: Row, x: float, y: float, selection: Selection) -> str:
    """A disc with the cell's number, as the tables have it."""
    kind = "won" if row is selection.winner else "" if row.allowed else "lost"
    return (
        f'<g><circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        f'<text class="name" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{at}</text>'
        f"<title>{escape(row.measured.cell.name)}</title></g>"
    )


def _heat(spec: SweepSpec, selection: Selection) -> str:
    """The target's figure over the two fields of the grid; one field is one row."""
    fields = list(spec.grid)
    if len(fields) > 2:
        return ""
    across, down = fields[-1], fields[0] if len(fields) == 2 else None
    by_cell = {row.measured.cell.name: row for row in selection.rows}
    head = "".join(f"<th>{escape(str(value))}</th>" for value in spec.grid[across])
    rows = []
    for value in spec.grid[down] if down is not None else (None,):
        cells = []
        for other in spec.grid[across]:
            pairs = ([] if down is None else [f"{down}={value}"]) + [f"{across}={other}"]
            cells.append(_heat_cell(by_cell.get(", ".join(pairs)), selection))
        named = "" if down is None else f"<th>{escape(str(value))}</th>"
        rows.append(f"<tr>{named}{''.join(cells)}</tr>")
    corner = "" if down is None else f"<th>{escape(down)} \\ {escape(across)}</th>"
    under = f"{across} from left to right" + ("" if down is None else f", {down} downward")
    table = f'<table class="heat"><tr>{corner}{head}</tr>{"".join(rows)}</table>'
    return card("The target over the grid", table, under=f"{under}; red: not allowed.")


def _heat_cell(row: Row | None, selection: Selection) -> str:
    if row is None:
        return "<td>failed</td>"
    primary = row.measured.target.primary
    kind = "won" if row is selection.winner else "" if row.allowed else "lost"
    return f'<td class="{kind}">{shown(primary.candidate, primary.kind.unit)}</td>'


def _targets(selection: Selection) -> str:
    return forest(
        [
            replace(row.measured.target.primary, part=(f"cell {at}", row.measured.cell.name))
            for at, row in enumerate(selection.rows, start=1)
        ]
    )


def _kept(guard: Guarded) -> str:
    return f"{guard.told}, p {_p(guard.p)}"


def _p(p: float) -> str:
    """Never 0 or 1."""
    if p < 0.001:
        return "< 0.001"
    return "> 0.999" if p > 0.999 else f"= {p:.3f}"


def _guard(spec: SweepSpec, suite: str, selection: Selection) -> str:
    found = [
        replace(guard.difference, part=(f"cell {at} ({_kept(guard)})", row.measured.cell.name))
        for at, row in enumerate(selection.rows, start=1)
        for guard in row.guards
        if guard.suite == suite
    ]
    under = f"Each cell against the base; p is of a loss of δ = {spec.delta:g} or more, corrected."
    return card(f"Guard {suite}", forest(found), under=under) if found else ""
