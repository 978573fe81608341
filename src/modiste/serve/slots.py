"""Which cells of a base's key/value memory belong to which sequence. Counts only; no tensors.

A slot is one contiguous range, reserved whole when a sequence starts, so a sequence that has begun
can always end: there is no eviction and no moving. Ranges start on multiples of `ALIGNMENT`, so
the memory alignment of a sequence's keys, and with it the last bit of its attention, never varies.
"""

from __future__ import annotations

import bisect
from typing import NamedTuple

ALIGNMENT = 16


class Slot(NamedTuple):
    first: int
    size: int


class Slots:
    def __init__(self, n_cells: int) -> None:
        self.n_cells = n_cells - n_cells % ALIGNMENT
        self._free = [Slot(0, self.n_cells)] if self.n_cells else []

    @property
    def n_free(self) -> int:
        return sum(slot.size for slot in self._free)

    def reserve(self, n_tokens: int) -> Slot | None:
        """The first free range of at least `n_tokens` cells; None while there is none."""
        size = max(1, -(-n_tokens // ALIGNMENT)) * ALIGNMENT
        for index, (first, free) in enumerate(self._free):
            if free >= size:
                rest = [Slot(first + size, free - size)] if free > size else []
                self._free[index : index + 1] = rest
                return Slot(first, size)
        return None

    def release(self, slot: Slot) -> None:
        """Give a reserved slot back; it joins its free neighbours."""
        index = bisect.bisect(self._free, slot)
        first, size = slot
        if index < len(self._free) and first + size == self._free[index].first:
            size += self._free.pop(index).size
        if index and sum(self._free[index - 1]) == first:
            index -= 1
            before = self._free.pop(index)
            first, size = before.first, before.size + size
        self._free.insert(index, Slot(first, size))
