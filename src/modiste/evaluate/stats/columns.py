"""What the statistics accept: numbers that are there, labels of any kind, columns of one length.

A NaN is an item nobody scored. It is refused here, so that whoever calls drops it from every column
and says how many were dropped (`n_unscored`); it never becomes a zero and never vanishes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Sized
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Numbers = Sequence[float] | NDArray[np.floating] | NDArray[np.integer] | NDArray[np.bool_]
Labels = Sequence[Hashable] | NDArray[np.generic]


class Coded(NamedTuple):
    """Labels as numbers 0..k−1 in the order of `names`."""

    codes: Ints
    names: tuple[Hashable, ...]


def numbers(name: str, values: Numbers, *, at_least: int = 1) -> Floats:
    """(n,) float64.

    Raises:
        InvalidInput: not one number per item, too few, or one that is not finite.
    """
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise InvalidInput(f"{name} has shape {column.shape}; one number per item is needed")
    if len(column) < at_least:
        raise InvalidInput(f"{name} has {len(column)} items, at least {at_least} are needed")
    _all_finite(name, column)
    return column


def matrix(name: str, values: object, *, rows: int = 1, columns: int = 1) -> Floats:
    """(n, k) float64, under the same rules as `numbers`."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < rows or table.shape[1] < columns:
        raise InvalidInput(
            f"{name} has shape {table.shape}; at least {rows} rows of {columns} numbers are needed"
        )
    _all_finite(name, table)
    return table


def _all_finite(name: str, values: Floats) -> None:
    strange = np.flatnonzero(~np.isfinite(values.ravel()))
    if len(strange):
        at = np.unravel_index(strange[0], values.shape)
        place = ", ".join(str(int(i)) for i in at)
        others = f" ({len(strange)} such values)" if len(strange) > 1 else ""
        raise InvalidInput(
            f"{name}[{place}] is {values[at]}{others}; drop what was not scored from every column "
            "and pass n_unscored"
        )


def coded(labels: Labels) -> Coded:
    """Each label's number, in the order in which they first come."""
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    number: dict[Hashable, int] = {}
    codes = [number.setdefault(label, len(number)) for label in labels]
    return Coded(np.asarray(codes, dtype=np.int64), tuple(number))


def same_length(**columns: Sized) -> int:
    """How many items all columns have.

    Raises:
        InvalidInput: they differ.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InvalidInput(f"one value per item is needed in each column: {told}")
    return next(iter(lengths.values()))


def ranks(column: Floats) -> Floats:
    """1..n, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    shared: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return shared


def binary(column: Floats) -> bool:
    """Only 0 and 1."""
    return bool(np.isin(column, (0.0, 1.0)).all())


def a_share(name: str, value: float, *, ends: bool = False) -> float:
    """Raises InvalidInput where `value` is no probability; 0 and 1 are none unless `ends`."""
    inside = 0 <= value <= 1 if ends else 0 < value < 1
    if not inside:
        raise InvalidInput(f"{name} = {value} is not between 0 and 1")
    return float(value)


def a_count(name: str, value: float) -> int:
    """Raises InvalidInput where `value` is no whole number from 0 up."""
    if value != int(value) or value < 0:
        raise InvalidInput(f"{name} = {value} is not a count")
    return int(value)
