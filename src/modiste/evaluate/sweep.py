"""A grid of tunings: which cell is best on the target and forgets nothing, and is that still true?

Every cell is compared with the base it was tuned from, item by item: on the target for gain, on
each guard for what was lost. A cell is allowed where its loss on every guard is provably smaller
than δ (one-sided bounds, Holm over all cells and guards). The best of a grid is flattered by having
been chosen, so the winner is asked again on items that chose nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import Field, model_validator
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.comparison import Comparison
from modiste.evaluate.differences import Difference
from modiste.evaluate.stats.estimates import Estimate
from modiste.evaluate.stats.multiplicity import holm
from modiste.evaluate.stats.paired import centre, noninferiority
from modiste.evaluate.suite import Part
from modiste.evaluate.verdict import Verdict

ALPHA = 0.05
MOST_CELLS = 64


class Fresh(Part):
    """Suites whose items chose nothing, to ask the winner on."""

    target: str
    guards: tuple[str, ...] = ()


class SweepSpec(Part):
    """`sweep.yaml`; paths are relative to it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    tune: str
    """A configuration of `modiste tune`."""
    grid: Mapping[str, tuple[Any, ...]] = Field(min_length=1)
    """Fields of that configuration, each with the values to try: `learning_rate: [1e-4, 3e-4]`."""
    target: str
    """The suite that says what the tuning is for."""
    guards: tuple[str, ...] = ()
    """Suites of what must not be forgotten."""
    delta: float = Field(default=0.02, gt=0)
    """The loss on a guard that is tolerated, in the guard's own unit."""
    fresh: Fresh | None = None

    @model_validator(mode="after")
    def _small_enough(self) -> SweepSpec:
        if empty := [name for name, values in self.grid.items() if not values]:
            raise ValueError(f"grid.{empty[0]} has no values")
        if (n := len(cells(self.grid))) > MOST_CELLS:
            raise ValueError(f"grid has {n} cells, at most {MOST_CELLS} are tuned in one sweep")
        return self


class Cell(NamedTuple):
    """One combination of values."""

    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.values.items())


def cells(grid: Mapping[str, Sequence[Any]]) -> tuple[Cell, ...]:
    """Every combination, the last field fastest."""
    return tuple(
        Cell(dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())
    )


@dataclass(frozen=True)
class Measured:
    """A cell whose tuning and evaluations ended well, each against the base."""

    cell: Cell
    model: str
    target: Comparison
    guards: Mapping[str, Comparison]
    """By suite."""


class Guarded(NamedTuple):
    """Whether one guard was forgotten."""

    suite: str
    difference: Difference
    bound: float | None
    """The loss is smaller than this with 95 % confidence, as a difference (negative is a loss), for
    this guard alone."""
    p: float
    """Of a loss of δ or more, corrected over all cells and guards."""

    @property
    def passed(self) -> bool:
        return self.p < ALPHA

    @property
    def told(self) -> str:
        return "kept" if self.passed else "may be lost"


class Row(NamedTuple):
    measured: Measured
    guards: tuple[Guarded, ...]

    @property
    def gain(self) -> Estimate | None:
        return self.measured.target.primary.estimate

    @property
    def allowed(self) -> bool:
        return all(guard.passed for guard in self.guards)


@dataclass(frozen=True)
class Selection:
    rows: tuple[Row, ...]
    """In the grid's order."""
    winner: Row | None
    why: str


def select(measured: Sequence[Measured], *, delta: float) -> Selection:
    """
    Raises:
        InvalidInput: nothing was measured.
    """
    if not measured:
        raise InvalidInput("no cell of the grid was tuned and evaluated")
    tested = [
        (at, suite, comparison.primary)
        for at, each in enumerate(measured)
        for suite, comparison in each.guards.items()
    ]
    losses = [_p_of_loss(difference, delta) for *_, difference in tested]
    corrected = holm(losses).p if losses else ()
    guards: dict[int, list[Guarded]] = {}
    for (at, suite, difference), p in zip(tested, corrected, strict=True):
        guards.setdefault(at, []).append(Guarded(suite, difference, _bound(difference, delta), p))
    rows = tuple(Row(each, tuple(guards.get(at, ()))) for at, each in enumerate(measured))
    allowed = [row for row in rows if row.allowed and row.gain is not None]
    if not allowed:
        return Selection(rows, None, _why_none(rows, delta))
    winner = max(allowed, key=_goodness)
    return Selection(rows, winner, _why(rows, winner))


def _goodness(row: Row) -> float:
    primary = row.measured.target.primary
    gain = primary.estimate.value if primary.estimate is not None else float("-inf")
    return gain if primary.kind.higher_is_better else -gain


def _p_of_loss(difference: Difference, delta: float) -> float:
    """How surprising the data were if the true loss were δ; 1 where nothing can be told."""
    estimate = difference.estimate
    if estimate is None or estimate.se <= 0:
        return 1.0
    sign = 1.0 if difference.kind.higher_is_better else -1.0
    t = (sign * centre(estimate) + delta) / estimate.se
    below = special.ndtr(-t) if estimate.df is None else special.stdtr(estimate.df, -t)
    return float(below)


def _bound(difference: Difference, delta: float) -> float | None:
    estimate = difference.estimate
    if estimate is None:
        return None
    if difference.kind.higher_is_better:
        return noninferiority(estimate, delta).bound
    return None


def _why_none(rows: Sequence[Row], delta: float) -> str:
    lost = sum(not row.allowed for row in rows)
    return (
        f"No cell is allowed: {lost} of {len(rows)} may have lost {delta:g} or more on a guard. "
        "Tune more gently (lower learning_rate, fewer steps), mix general rows into the training "
        "data, or give guards more items: a small guard cannot prove that little was lost."
    )


def _why(rows: Sequence[Row], winner: Row) -> str:
    best = max((row for row in rows if row.gain is not None), key=_goodness)
    said = f"{winner.measured.cell.name} has the best target figure of the cells that are allowed"
    if best is not winner:
        said += (
            f"; {best.measured.cell.name} is higher on the target, and may have forgotten too much"
        )
    return said + "."


def confirmed(selection: Selection, fresh: Measured, *, delta: float) -> tuple[bool, str]:
    """Whether the winner holds on items that chose nothing, and the sentence that says it."""
    primary = fresh.target.primary
    again = select([fresh], delta=delta)
    kept = again.rows[0].allowed
    better = primary.verdict is Verdict.BETTER
    if better and kept:
        return True, f"Confirmed on fresh items: {primary.decision.sentence}."
    if not better:
        return False, f"Not confirmed: on fresh items {primary.decision.sentence}."
    lost = ", ".join(guard.suite for guard in again.rows[0].guards if not guard.passed)
    return False, f"Not confirmed: on fresh items it may have forgotten too much ({lost})."
