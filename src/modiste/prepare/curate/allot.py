"""Groups of rows to parts: by chance alone, or in exact shares of each class.

Works on arrays, one figure per row; the rows themselves are elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.groups import Groups, Indexes

FREE = -1
"""In `held`: a row that no one has placed yet."""

Placed = NDArray[np.int8]


def by_chance(figures: NDArray[np.float64], shares: Sequence[float]) -> Placed:
    """The part whose stretch of [0, 1) a figure falls into: a function of the figure alone."""
    return np.searchsorted(_cuts(shares), figures, side="right").astype(np.int8)


def by_quota(
    figures: NDArray[np.float64],
    groups: Groups,
    kinds: NDArray[np.int32],
    held: Placed,
    shares: Sequence[float],
) -> Placed:
    """Exact shares of the rows of each kind, as far as groups can be cut; the figures shuffle.

    Args:
        kinds: class of each row; a group is of the kind of its first row.
        held: part of rows that are placed already, which count towards the shares.
    """
    part = np.zeros(len(figures), dtype=np.int8)
    size = np.bincount(groups.root, minlength=len(figures))
    kind = kinds[groups.root]
    is_held = groups_with(groups, held != FREE)
    roots = np.flatnonzero((groups.root == np.arange(len(figures))) & ~is_held)
    for value in np.unique(kind):
        held_here = held[(kind == value) & (held != FREE)]
        total = int((kind == value).sum())
        taken = np.bincount(held_here, minlength=len(shares))
        wanted = np.maximum(np.asarray(shares) * total - taken, 0)
        mine = roots[kind[roots] == value]
        mine = mine[np.argsort(figures[mine], kind="stable")]
        sizes = size[mine]
        if sizes.size and wanted.sum() > 0:
            place = (np.cumsum(sizes) - sizes * (1 - figures[mine])) / sizes.sum()
            part[mine] = by_chance(place, list(wanted / wanted.sum()))
    return part[groups.root]


def stay(part: Placed, groups: Groups, held: Placed) -> Placed:
    """Rows that are held stay; the rest of their group joins where most of it is held."""
    result = part.copy()
    votes = np.zeros((len(part), int(held.max(initial=0)) + 1), dtype=np.int32)
    rows = np.flatnonzero(held != FREE)
    np.add.at(votes, (groups.root[rows], held[rows].astype(np.int64)), 1)
    joined = votes[groups.root]
    any_held = joined.any(axis=1)
    result[any_held] = joined[any_held].argmax(axis=1).astype(np.int8)
    result[rows] = held[rows]
    return result


def straddling(part: Placed, groups: Groups, ignored: NDArray[np.bool_]) -> Indexes:
    """First rows of the groups that lie in more than one part."""
    rows = np.flatnonzero(~ignored)
    lowest = np.full(len(part), 127, dtype=np.int8)
    highest = np.full(len(part), -1, dtype=np.int8)
    np.minimum.at(lowest, groups.root[rows], part[rows])
    np.maximum.at(highest, groups.root[rows], part[rows])
    return np.flatnonzero((highest > lowest) & (highest >= 0))


def groups_with(groups: Groups, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each row, whether any row of its group is marked."""
    found = np.zeros(len(marked), dtype=bool)
    found[groups.root[marked]] = True
    return found[groups.root]


def _cuts(shares: Sequence[float]) -> NDArray[np.float64]:
    """Where one part ends and the next begins; the last one takes all that is left."""
    return np.cumsum(np.asarray(shares, dtype=np.float64))[:-1]
