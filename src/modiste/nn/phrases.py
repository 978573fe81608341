"""What a classifier reads off the tokens themselves: single ones and pairs of neighbours.

Beside the states of the base, which say what a text is about, a linear layer over the tokens and
pairs that occur in it says which words stand there; on short texts with telling words it alone is
hard to beat. Each counts by 1 + log(times), and all of a text together have length 1. No torch:
values are numpy's, and computed in float64.

Legend: F phrases (tokens and pairs), L labels of all targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = Sequence[int] | NDArray[np.int32]
FIRST = 1 << 31
"""A token is its id, a pair (first + 1) * FIRST + second: no two phrases share a key."""


class Found(NamedTuple):
    """Phrases of one text, by their places in the table."""

    places: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Phrases:
    keys_F: NDArray[np.int64]
    """Ascending."""
    weight_FL: NDArray[np.float16]

    def logits(self, ids: Ids) -> NDArray[np.float64]:
        """(L,) of one text; zero where none of its phrases is known."""
        found = found_in(ids, self.keys_F)
        said: NDArray[np.float64] = found.values @ self.weight_FL[found.places].astype(np.float64)
        return said


def keys_of(ids: Ids) -> NDArray[np.int64]:
    """All tokens, then all pairs."""
    tokens = np.asarray(ids, dtype=np.int64)
    return np.concatenate([tokens, (tokens[:-1] + 1) * FIRST + tokens[1:]])


def found_in(ids: Ids, keys_F: NDArray[np.int64]) -> Found:
    keys, times = np.unique(keys_of(ids), return_counts=True)
    places = np.searchsorted(keys_F, keys)
    known = places < len(keys_F)
    known[known] = keys_F[places[known]] == keys[known]
    values = 1 + np.log(times[known])
    return Found(places[known], values / max(float(np.linalg.norm(values)), 1e-12))
