"""Krippendorff's alpha: agreement of any number of raters, with gaps, on any scale.

From the coincidences of values within units: o_vw = Σ_u n_uv (n_uw − [v = w]) / (m_u − 1), and
α = 1 − observed / expected disagreement (Krippendorff 2011). Units that fewer than two rated say
nothing and are left out; `n` is what remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Literal

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.agreement import Agreement
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.columns import Floats
from modiste.evaluate.stats.estimates import Estimate

Scale = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff_alpha(
    units: Sequence[Sequence[object]],
    scale: Scale = "nominal",
    *,
    level: float = 0.95,
    draws: int = 1_000,
    seed: int = 0,
) -> Agreement:
    """Alpha of ratings by unit.

    Args:
        units: per unit its ratings, by whomever and in any order; None and NaN are gaps.
        scale: what a distance between ratings means. All but nominal need numbers.

    Raises:
        InvalidInput: no unit with two ratings, ratings that are no numbers, or all of them equal.
    """
    rated = [[value for value in unit if not _gap(value)] for unit in units]
    rated = [unit for unit in rated if len(unit) > 1]
    if not rated:
        raise InvalidInput("no unit has two ratings; alpha compares ratings of the same unit")
    counts, values = _counts(rated, scale)
    drawn_units = np.random.default_rng(seed).multinomial(
        len(rated), np.full(len(rated), 1 / len(rated)), size=draws
    )
    value = _alpha(counts, np.ones(len(rated)), values, scale)
    if isnan(value):
        raise InvalidInput("every rating is the same: agreement beyond chance has no meaning")
    drawn = np.array([_alpha(counts, weights, values, scale) for weights in drawn_units])
    found = interval_of_draws(value, drawn, items=len(rated), level=level, seed=seed)
    fields = {at: getattr(found, at) for at in Estimate.__dataclass_fields__}
    method = f"Krippendorff's alpha, {scale}; {found.method}"
    return Agreement(**fields | {"method": method}, raw=_raw(counts))


def _gap(value: object) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _counts(rated: list[list[object]], scale: Scale) -> tuple[Floats, Floats]:
    """(units, values) how many raters said what, and the values in order as numbers."""
    names = list(dict.fromkeys(value for unit in rated for value in unit))
    if scale == "nominal":
        values = np.arange(len(names), dtype=np.float64)
    else:
        try:
            names.sort(key=float)  # type: ignore[arg-type]
            values = np.array([float(name) for name in names])  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InvalidInput(f"a {scale} scale needs numbers, ratings are {names[:5]}") from None
        if scale == "ratio" and values.min() < 0:
            raise InvalidInput(f"a ratio scale has no value below 0, there is {values.min():g}")
    place = {name: at for at, name in enumerate(names)}
    counts = np.zeros((len(rated), len(names)))
    for at, unit in enumerate(rated):
        for value in unit:
            counts[at, place[value]] += 1
    return counts, values


def _alpha(counts: Floats, weights: Floats, values: Floats, scale: Scale) -> float:
    """Alpha with each unit as often as its weight says; NaN where only one value is left."""
    share = weights / (counts.sum(axis=1) - 1)
    coincidences = counts.T @ (counts * share[:, None]) - np.diag(share @ counts)
    totals = coincidences.sum(axis=1)
    distance = _distance(values, totals, scale)
    n = totals.sum()
    observed = float((coincidences * distance).sum())
    expected = float(totals @ distance @ totals) / (n - 1)
    return float(1 - observed / expected) if expected > 0 else float("nan")


def _distance(values: Floats, totals: Floats, scale: Scale) -> Floats:
    """(values, values) squared distances."""
    if scale == "nominal":
        return 1 - np.eye(len(values))
    if scale == "ordinal":
        # Σ of the totals from one value to the other, both ends by half: distances of mid-ranks.
        middle = np.cumsum(totals) - totals / 2
        return np.subtract.outer(middle, middle) ** 2
    apart: Floats = np.subtract.outer(values, values) ** 2
    if scale == "interval":
        return apart
    total = np.add.outer(values, values)
    return np.where(total > 0, apart / np.where(total > 0, total, 1) ** 2, 0.0)


def _raw(counts: Floats) -> float:
    """Mean over units of the share of pairs that agree."""
    m = counts.sum(axis=1)
    return float((((counts**2).sum(axis=1) - m) / (m * (m - 1))).mean())
