"""What a row renders to: token ids, and which of them are trained.

Checks and statistics ask for counts alone, of millions of rows, so a sample that was made of arrays
stays one until somebody wants its lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Span(NamedTuple):
    first: int
    end: int


class Rendered:
    """A token sequence and, for each token, whether the loss counts it as a target.

    Unpacks into its two lists: `ids, mask = rendered`.
    """

    __slots__ = ("_ids", "_mask", "_spans", "n_tokens")

    def __init__(self, ids: list[int], mask: list[bool]) -> None:
        self._ids: list[int] | NDArray[np.int32] = ids
        self._mask: list[bool] | None = mask
        self._spans: Sequence[Span] = ()
        self.n_tokens = len(ids)

    @classmethod
    def of_spans(cls, ids: NDArray[np.int32], spans: Sequence[Span]) -> Rendered:
        """From an array, and the stretches of it that are trained, in order."""
        made = cls.__new__(cls)
        made._ids, made._mask, made._spans = ids, None, spans
        made.n_tokens = len(ids)
        return made

    @property
    def ids(self) -> list[int]:
        if isinstance(self._ids, np.ndarray):
            listed: list[int] = self._ids.tolist()
            self._ids = listed
        return self._ids

    @property
    def mask(self) -> list[bool]:
        if self._mask is None:
            mask: list[bool] = []
            for first, end in self._spans:
                mask += [False] * (first - len(mask))
                mask += [True] * (end - first)
            self._mask = mask + [False] * (self.n_tokens - len(mask))
        return self._mask

    @property
    def n_trained(self) -> int:
        if self._mask is None:
            return sum([end - first for first, end in self._spans])
        return self._mask.count(True)

    def __iter__(self) -> Iterator[Any]:
        yield self.ids
        yield self.mask

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rendered | tuple):
            return NotImplemented
        return [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Rendered(ids={self.ids}, mask={self.mask})"
