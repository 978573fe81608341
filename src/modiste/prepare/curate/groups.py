"""Which rows belong together, and where chance puts them: arrays over rows, never the rows.

Rows that share a prompt, a user, a document or a cluster of near-duplicates are one group. A group
has a number that depends on what its rows share and on nothing else, so it is the same in every
version of the data; chance is a function of that number and a salt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indexes = NDArray[np.int64]


class Groups(NamedTuple):
    root: Indexes
    """For each row, the first row of its group."""
    key: Hashes
    """For each row, the number of its group."""


def hash64(text: str | bytes) -> int:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def join(columns: Sequence[Hashes]) -> Groups:
    """Rows with the same number in any column are one group, and so are those linked by others.

    Args:
        columns: at least one; the first names the groups.
    """
    inverses = [np.unique(column, return_inverse=True)[1] for column in columns]
    root = np.arange(len(columns[0]), dtype=np.int64)
    changed = len(root) > 0
    while changed:
        before = root
        for inverse in inverses:
            first = np.full(int(inverse.max()) + 1, len(root), dtype=np.int64)
            np.minimum.at(first, inverse, root)
            root = first[inverse]
        changed = not np.array_equal(root, before)
    return Groups(root, columns[0][root])


def chance(numbers: Hashes, *, salt: str) -> NDArray[np.float64]:
    """Evenly spread over [0, 1): one figure per number, the same wherever the number turns up."""
    with np.errstate(over="ignore"):  # splitmix64: wrapping around is the point
        x = numbers ^ np.uint64(hash64(salt))
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def repeats(numbers: Hashes) -> Indexes:
    """For each row, how many earlier rows have the same number."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(starts, len(ordered)))
    rank = np.empty(len(numbers), dtype=np.int64)
    rank[order] = np.arange(len(numbers)) - np.repeat(starts, lengths)
    return rank
