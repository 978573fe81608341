"""A table of what is right against what was said, and the figures that are made of its sums.

Legend: K classes; a table is (K, K + 1), rows are what is right, the last column is answers that
named no label. Figures need its sums only, each (…, K), where leading axes are many tables at once:
thousands of tables of 150 classes would fill the memory. NaN stands where there is no denominator.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

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


class Sums(NamedTuple):
    """Per class: answers that are right, that said it, that should have."""

    right: Table
    said: Table
    support: Table


def sums_of(table: Table) -> Sums:
    return Sums(np.diagonal(table), table.sum(axis=0)[:-1], table.sum(axis=1))


def precisions(sums: Sums) -> Floats:
    return divided(sums.right, sums.said)


def recalls(sums: Sums) -> Floats:
    return divided(sums.right, sums.support)


def f1s(sums: Sums) -> Floats:
    """2 TP / (2 TP + FP + FN); a class that neither occurs nor is said has none."""
    return divided(2 * sums.right, sums.said + sums.support)


def mean_of_defined(values: Floats, weights: Table | None = None) -> Floats:
    """Over the last axis, over what is defined; NaN where nothing is."""
    defined = np.isfinite(values)
    used = defined * (1.0 if weights is None else weights)
    return divided((np.where(defined, values, 0.0) * used).sum(axis=-1), used.sum(axis=-1))


def balanced_accuracy(sums: Sums) -> Floats:
    """Mean recall of the classes that occur."""
    return mean_of_defined(recalls(sums))


def macro_f1(sums: Sums) -> Floats:
    return mean_of_defined(f1s(sums))


def weighted_f1(sums: Sums) -> Floats:
    """Classes weigh as much as they occur."""
    return mean_of_defined(f1s(sums), sums.support)


def mcc(sums: Sums) -> Floats:
    """Matthews' correlation, of more classes Gorodkin's (2004); NaN where one side is constant."""
    right, said, support = (np.asarray(part, dtype=np.float64) for part in sums)
    total = support.sum(axis=-1)
    nothing = total - said.sum(axis=-1)
    covariance = right.sum(axis=-1) * total - (said * support).sum(axis=-1)
    spread = total**2 - (said**2).sum(axis=-1) - nothing**2
    return divided(covariance, np.sqrt(spread * (total**2 - (support**2).sum(axis=-1))))
