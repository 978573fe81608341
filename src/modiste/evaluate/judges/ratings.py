"""Ratings of a judge against those of people, at three levels that must not be mixed up.

Pooled: over all items at once. By group: within each group (one source, several answers), then the
mean of the groups; groups in which either side never varies say nothing and are counted. By system:
between the means of each system. The three can differ by a factor; a figure without its level means
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter

from modiste.errors import InvalidInput
from modiste.evaluate.judges.experts import where_defined
from modiste.evaluate.judges.summary import estimated
from modiste.evaluate.stats.correlation import kendall_b, pearson, spearman
from modiste.evaluate.stats.estimates import Estimate

FEWEST = 4
"""Of anything that is to be correlated."""
FIGURES: dict[str, Callable[[Sequence[float], Sequence[float]], Estimate]] = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall_b": kendall_b,
}


@dataclass(frozen=True)
class Level:
    name: str
    """`pooled`, `by group`, `by system`."""
    pearson: Estimate | None
    spearman: Estimate | None
    kendall_b: Estimate | None
    n: int
    """Items, groups or systems."""
    n_left_out: int = 0
    """Groups that are too small or in which nothing varies."""


LEVELS: TypeAdapter[tuple[Level, ...]] = TypeAdapter(tuple[Level, ...])


def levels_of(
    judge: Sequence[float],
    people: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    systems: Sequence[str] | None = None,
) -> tuple[Level, ...]:
    """
    Args:
        judge, people: (n,) ratings of the same items.
        groups, systems: (n,) what each item is an answer to, and whose answer it is.

    Raises:
        InvalidInput: columns of different length, or fewer than four items.
    """
    for name, column in (("people", people), ("groups", groups), ("systems", systems)):
        if column is not None and len(column) != len(judge):
            raise InvalidInput(f"{name} has {len(column)} values for {len(judge)} ratings")
    if len(judge) < FEWEST:
        raise InvalidInput(f"{len(judge)} items cannot be correlated; {FEWEST} are needed")
    found = [_level("pooled", judge, people)]
    if groups is not None:
        found.append(_by_group(judge, people, groups))
    if systems is not None:
        means = [
            [float(np.mean(part)) for part in _split(column, systems).values()]
            for column in (judge, people)
        ]
        found.append(_level("by system", *means))
    return tuple(found)


def _level(name: str, judge: Sequence[float], people: Sequence[float]) -> Level:
    r, rho, tau = (where_defined(_figure(at, judge, people)) for at in FIGURES)
    return Level(name, r, rho, tau, n=len(judge))


def _by_group(judge: Sequence[float], people: Sequence[float], groups: Sequence[str]) -> Level:
    ours, theirs = _split(judge, groups), _split(people, groups)
    values: dict[str, list[float]] = {name: [] for name in FIGURES}
    n_left_out = 0
    for group, ratings in ours.items():
        found = {at: where_defined(_figure(at, ratings, theirs[group])) for at in FIGURES}
        if any(figure is None for figure in found.values()):
            n_left_out += 1
            continue
        for name, figure in found.items():
            if figure is not None:
                values[name].append(figure.value)
    r, rho, tau = (estimated(of, None, (-1.0, 1.0), n_left_out) for of in values.values())
    return Level("by group", r, rho, tau, n=len(ours) - n_left_out, n_left_out=n_left_out)


def _figure(name: str, judge: Sequence[float], people: Sequence[float]) -> Callable[[], Estimate]:
    return lambda: FIGURES[name](judge, people)


def _split(values: Sequence[float], by: Sequence[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for value, name in zip(values, by, strict=True):
        found.setdefault(name, []).append(value)
    return found
