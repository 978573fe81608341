"""Memory for keys and values: addresses for every slot at full length, memory for what is written.

Where the system cannot take pages back (not Linux), memory that was used once stays taken; nothing
else changes.

Legend: L layers, C cells, K key/value heads, E head size.
"""

from __future__ import annotations

import mmap

import torch

from modiste.nn.parts import KeyValues
from modiste.nn.shape import DecoderShape
from modiste.serve.slots import Slot

LAZY = (
    mmap.MAP_PRIVATE
    | mmap.MAP_ANONYMOUS
    # Addresses beyond the machine's memory are refused otherwise. Named in Python 3.13 only.
    | getattr(mmap, "MAP_NORESERVE", 0x4000 if hasattr(mmap, "MADV_NOHUGEPAGE") else 0)
)


class Cells:
    def __init__(self, shape: DecoderShape, n_cells: int) -> None:
        self._n_layers, self._n_cells = shape.n_layers, n_cells
        size = (shape.n_layers, n_cells, shape.n_kv_heads, shape.head_size)
        self._row_bytes = shape.n_kv_heads * shape.head_size * torch.float32.itemsize
        n_bytes = shape.n_layers * n_cells * self._row_bytes
        self._maps = [mmap.mmap(-1, max(1, n_bytes), flags=LAZY) for _ in range(2)]
        for one in self._maps:
            if hasattr(mmap, "MADV_NOHUGEPAGE"):  # A huge page would be taken for one cell.
                one.madvise(mmap.MADV_NOHUGEPAGE)
        keys, values = (
            torch.frombuffer(one, dtype=torch.float32, count=n_bytes // 4).view(size)
            for one in self._maps
        )
        self.key_values = KeyValues(keys, values)

    def give_back(self, slot: Slot, n_cells: int) -> None:
        """The memory of the first cells of a slot; what they held is gone."""
        if not hasattr(mmap, "MADV_NOHUGEPAGE"):
            return
        page = mmap.PAGESIZE
        for layer in range(self._n_layers):
            first = (layer * self._n_cells + slot.first) * self._row_bytes
            # Pages that another slot's cells share stay.
            start, end = -(-first // page) * page, first + n_cells * self._row_bytes
            if (length := end // page * page - start) > 0:
                for one in self._maps:
                    one.madvise(mmap.MADV_DONTNEED, start, length)
