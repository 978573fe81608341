"""A table of what is right against what was said, and the figures that are sums of its cells.

Legend: K classes; a table is (…, K, K + 1), rows are what is right, the last column is answers that
named no label. Leading axes are many tables at once. NaN stands where there is no denominator.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Ints, Labels

Table = NDArray[Any]
"""Counts, whole or weighted."""


def confusion_of(
    y: Labels, yhat: Labels, labels: Sequence[Hashable], *, unparseable: Hashable = None
) -> Ints:
    """(K, K + 1) counts.

    Raises:
        InvalidInput: values that are no label; all of them are named at once.
    """
    right, said = listed(y), listed(yhat)
    column = {label: at for at, label in enumerate(labels)} | {unparseable: len(labels)}
    row = {label: at for at, label in enumerate(labels)}
    strange = [
        f"{name} has {sorted(map(repr, unknown))}"
        for name, unknown in (("y", set(right) - set(row)), ("yhat", set(said) - set(column)))
        if unknown
    ]
    if strange:
        raise InvalidInput(
            f"{' and '.join(strange)}, not among the labels {list(labels)}; answers that name no "
            f"label are {unparseable!r}"
        )
    size = len(labels)
    cells = [row[r] * (size + 1) + column[s] for r, s in zip(right, said, strict=True)]
    return np.bincount(cells, minlength=size * (size + 1)).reshape(size, size + 1)


def listed(labels: Labels) -> list[Hashable]:
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)


def divided(above: Table | int, below: Table | int) -> Floats:
    """NaN where there is nothing to divide by."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def right_of(table: Table) -> Table:
    """(…, K) right answers per class."""
    return np.diagonal(table, axis1=-2, axis2=-1)


def precisions(table: Table) -> Floats:
    return divided(right_of(table), table.sum(axis=-2)[..., :-1])


def recalls(table: Table) -> Floats:
    return divided(right_of(table), table.sum(axis=-1))


def f1s(table: Table) -> Floats:
    """2 TP / (2 TP + FP + FN); a class that neither occurs nor is said has none."""
    return divided(2 * right_of(table), table.sum(axis=-2)[..., :-1] + table.sum(axis=-1))


def mean_of_defined(values: Floats, weights: Table | None = None) -> Floats:
    """Over the last axis, over what is defined; NaN where nothing is."""
    defined = np.isfinite(values)
    used = defined * (1.0 if weights is None else weights)
    return divided((np.where(defined, values, 0.0) * used).sum(axis=-1), used.sum(axis=-1))


def balanced_accuracy(table: Table) -> Floats:
    """Mean recall of the classes that occur."""
    return mean_of_defined(recalls(table))


def macro_f1(table: Table) -> Floats:
    return mean_of_defined(f1s(table))


def mcc(table: Table) -> Floats:
    """Matthews' correlation, of more classes Gorodkin's (2004); NaN where one side is constant."""
    cells = np.asarray(table, dtype=np.float64)
    total = cells.sum(axis=(-2, -1))
    said, right = cells.sum(axis=-2), cells.sum(axis=-1)
    covariance = right_of(cells).sum(axis=-1) * total - (said[..., :-1] * right).sum(axis=-1)
    spread = (total**2 - (said**2).sum(axis=-1)) * (total**2 - (right**2).sum(axis=-1))
    return divided(covariance, np.sqrt(spread))
