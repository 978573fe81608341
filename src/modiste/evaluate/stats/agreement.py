"""Do raters agree more than they would by chance? Cohen's and Fleiss' kappa, Gwet's AC1.

Kappa collapses where one label is nearly always right (90 % agreement can be a kappa below zero),
AC1 does not: show both, and the raw agreement first. Intervals are of items drawn again; raters are
taken as given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.bootstrap import interval_of_draws, multinomial_draws
from modiste.evaluate.stats.columns import Floats, Ints, Labels, coded, matrix, same_length
from modiste.evaluate.stats.confusion import divided
from modiste.evaluate.stats.estimates import Estimate

DRAWS = 2_000
Weights = Literal["linear", "quadratic"]


@dataclass(frozen=True, kw_only=True)
class Agreement(Estimate):
    raw: float
    """Share of pairs of ratings that are the same (or its weighted mean)."""


def cohen_kappa(
    a: Labels,
    b: Labels,
    weights: Weights | None = None,
    *,
    labels: Labels | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Two raters, beyond the chance that their own habits give (Cohen 1960; weighted, 1968).

    Args:
        a, b: (n,) what each said of the same items.
        weights: how far apart two labels are, by their places in order; all the same without.
        labels: that order. Needed for weights unless labels sort by themselves.

    Raises:
        InvalidInput: no item, labels outside `labels`, or all ratings are one label.
    """
    table = _pairs(a, b, labels)
    size = len(table)
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    apart = {None: (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weights]
    apart /= max(1.0, apart.max())

    def kappa(tables: Ints) -> Floats:
        n = tables.sum(axis=(-2, -1))
        rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
        seen = (tables * apart).sum(axis=(-2, -1)) / n
        chance = ((rows @ apart) * columns).sum(axis=-1) / n.astype(np.float64) ** 2
        return 1 - divided(seen, chance)

    raw = 1 - float((table * apart).sum() / table.sum())
    name = "Cohen's kappa" if weights is None else f"Cohen's kappa, {weights} weights"
    return _drawn(table, kappa, raw, name, level, seed)


def gwet_ac1(
    a: Labels, b: Labels, *, labels: Labels | None = None, level: float = 0.95, seed: int = 0
) -> Agreement:
    """Two raters, beyond chance agreement on what is hard to tell (Gwet 2008).

    Args:
        labels: all there could have been, where not all of them were said.
    """
    table = _pairs(a, b, labels)

    def ac1(tables: Ints) -> Floats:
        n = tables.sum(axis=(-2, -1))
        seen = np.trace(tables, axis1=-2, axis2=-1) / n
        habits = (tables.sum(axis=-1) + tables.sum(axis=-2)) / (2 * n[..., None])
        return _beyond(seen, _gwet_chance(habits))

    return _drawn(table, ac1, float(np.trace(table) / table.sum()), "Gwet's AC1", level, seed)


def fleiss_kappa(counts: object, *, level: float = 0.95, seed: int = 0) -> Agreement:
    """As many raters for every item, no matter who (Fleiss 1971).

    Args:
        counts: (items, labels) how many raters said what.

    Raises:
        InvalidInput: not the same number of raters, at least two, for every item.
    """

    def kappa(seen: Floats, habits: Floats) -> Floats:
        return _beyond(seen, (habits**2).sum(axis=-1))

    return _of_counts(counts, kappa, "Fleiss' kappa", level, seed)


def gwet_ac1_counts(counts: object, *, level: float = 0.95, seed: int = 0) -> Agreement:
    """AC1 of as many raters for every item."""

    def ac1(seen: Floats, habits: Floats) -> Floats:
        return _beyond(seen, _gwet_chance(habits))

    return _of_counts(counts, ac1, "Gwet's AC1", level, seed)


def _beyond(seen: Floats, chance: Floats) -> Floats:
    return divided(seen - chance, 1 - chance)


def _gwet_chance(habits: Floats) -> Floats:
    chance: Floats = (habits * (1 - habits)).sum(axis=-1) / (habits.shape[-1] - 1)
    return chance


def _pairs(a: Labels, b: Labels, labels: Labels | None) -> Ints:
    """(labels, labels) how often the two said what."""
    n = same_length(a=a, b=b)
    if n == 0:
        raise InvalidInput("there is no item that both have rated")
    both = coded([*a, *b])
    names = _in_order(both.names) if labels is None else list(labels)
    strange = [name for name in both.names if name not in names]
    if strange:
        raise InvalidInput(f"ratings {strange} are not among the labels {names}")
    if len(names) < 2:
        raise InvalidInput(f"every rating is {names[0]!r}: agreement beyond chance has no meaning")
    place = np.array([names.index(name) for name in both.names])[both.codes]
    size = len(names)
    return np.bincount(place[:n] * size + place[n:], minlength=size * size).reshape(size, size)


def _in_order(names: tuple[object, ...]) -> list[object]:
    try:
        return sorted(names)  # type: ignore[type-var]
    except TypeError:
        return list(names)


def _drawn(
    table: Ints, figure: Callable[[Ints], Floats], raw: float, name: str, level: float, seed: int
) -> Agreement:
    draws = multinomial_draws(table, DRAWS, np.random.default_rng(seed))
    n = int(table.sum())
    return _agreement(float(figure(table)), figure(draws), raw, n, name, level, seed)


def _of_counts(
    counts: object, figure: Callable[[Floats, Floats], Floats], name: str, level: float, seed: int
) -> Agreement:
    table = matrix("counts", counts, columns=2)
    raters = table.sum(axis=1)
    if raters.min() != raters.max() or raters[0] < 2 or (table < 0).any():
        raise InvalidInput(
            f"items have {raters.min():g} to {raters.max():g} raters; the same number, at least 2, "
            "is needed (krippendorff_alpha takes gaps)"
        )
    k, n = raters[0], len(table)
    same = ((table**2).sum(axis=1) - k) / (k * (k - 1))
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS) / n
    drawn = figure(weights @ same, weights @ (table / k))
    raw = float(same.mean())
    value = float(figure(same.mean(), table.mean(axis=0) / k))
    return _agreement(value, drawn, raw, n, name, level, seed)


def _agreement(
    value: float, drawn: Floats, raw: float, n: int, name: str, level: float, seed: int
) -> Agreement:
    if np.isnan(value):
        raise InvalidInput(f"{name} is undefined: every rating is the same")
    found = interval_of_draws(value, drawn, items=n, level=level, seed=seed)
    fields = {at: getattr(found, at) for at in Estimate.__dataclass_fields__}
    return Agreement(**fields | {"method": f"{name}; {found.method}"}, raw=raw)
