"""Which cells of a base's key/value memory belong to which sequence, and how many are in use.

A slot is one contiguous range as long as the context, so a sequence grows in its place and is never
moved. That costs addresses, not memory: the system gives memory to cells as they are written
(`serve.cells`). What is counted is cells in use, which all slots together hold `n_cells` of at
most. Counts only; no tensors.

Slots start on multiples of `ALIGNMENT`, so the memory alignment of a sequence's keys, and with it
the last bit of its attention, never varies.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

ALIGNMENT = 16


class Slot(NamedTuple):
    first: int
    size: int


class Slots:
    def __init__(self, n_slots: int, *, size: int, n_cells: int) -> None:
        """`size` cells for each slot; all that are in use never hold more than `n_cells`."""
        self.size = _aligned(size)
        self.n_cells = self.n_free = n_cells - n_cells % ALIGNMENT
        self._idle = [n * self.size for n in range(n_slots)]
        self._held: dict[Slot, int] = {}

    @property
    def n_addressed(self) -> int:
        """Cells of all slots, in use or not."""
        return self.size * (len(self._idle) + len(self._held))

    def reserve(self, n_tokens: int) -> Slot | None:
        """The first idle slot, with room for `n_tokens`; None while there is none."""
        if not self._idle or _aligned(n_tokens) > self.n_free:
            return None
        slot = Slot(heapq.heappop(self._idle), self.size)
        self._held[slot] = 0
        self.grow(slot, n_tokens)
        return slot

    def grow(self, slot: Slot, n_tokens: int) -> bool:
        """Whether the slot has room for `n_tokens` now."""
        more = _aligned(n_tokens) - self._held[slot]
        if more > self.n_free:
            return False
        if more > 0:
            self._held[slot] += more
            self.n_free -= more
        return True

    def release(self, slot: Slot) -> int:
        """Give a slot back; how many cells it had in use."""
        held = self._held.pop(slot)
        self.n_free += held
        heapq.heappush(self._idle, slot.first)
        return held


def _aligned(n_tokens: int) -> int:
    return max(1, -(-n_tokens // ALIGNMENT)) * ALIGNMENT
