"""Keys and values of prompts that were met before: copied instead of computed again.

A block is one whole granule of a prompt as it was computed, known by everything its bits depend
on: the adapter's version and all tokens up to its end. So a sequence that copies has the bits it
would have computed, and an adapter never sees what another one made. Rows that were generated are
no blocks: they were computed one by one, which gives other last bits than a piece.

What is used least recently goes first, ends of prompts before their beginnings.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor

from modiste.nn.parts import KeyValues
from modiste.serve.scheduler import GRANULE

IDS = struct.Struct(f"<{GRANULE}I")


class PrefixBlocks:
    """Of one base. Owned by one thread."""

    def __init__(self, limit_bytes: int) -> None:
        """0 keeps nothing."""
        self._limit = limit_bytes
        self._blocks: OrderedDict[bytes, Tensor] = OrderedDict()  # Least recently used first.
        self.n_bytes = 0

    @property
    def enabled(self) -> bool:
        return self._limit > 0

    def known(self, keys: Sequence[bytes]) -> list[Tensor]:
        """The blocks of the first keys, as far as they are all here."""
        return [self._blocks[key] for key in takewhile(self._blocks.__contains__, keys)]

    def keep(self, key: bytes, cells: KeyValues, first_cell: int) -> None:
        """Copy the granule that begins at `first_cell`."""
        if key in self._blocks:
            return
        span = slice(first_cell, first_cell + GRANULE)
        block = torch.stack((cells.keys_LCKE[:, span], cells.values_LCKE[:, span]))
        if block.nbytes > self._limit:
            return
        self._blocks[key] = block
        self.n_bytes += block.nbytes
        while self.n_bytes > self._limit:
            _, gone = self._blocks.popitem(last=False)
            self.n_bytes -= gone.nbytes

    def used(self, keys: Sequence[bytes]) -> None:
        """A prompt with these blocks was read just now."""
        for key in reversed(keys):
            if key in self._blocks:
                self._blocks.move_to_end(key)


def write(block: Tensor, cells: KeyValues, first_cell: int) -> None:
    span = slice(first_cell, first_cell + GRANULE)
    cells.keys_LCKE[:, span].copy_(block[0])
    cells.values_LCKE[:, span].copy_(block[1])


def block_keys(ids: Sequence[int], *, adapter: tuple[str, str] | None) -> list[bytes]:
    """One key for each whole granule of a prompt; `adapter` is its folder and version."""
    parent = hashlib.blake2b(repr(adapter).encode(), digest_size=16).digest()
    keys = []
    for start in range(0, len(ids) - GRANULE + 1, GRANULE):
        granule = IDS.pack(*ids[start : start + GRANULE])
        parent = hashlib.blake2b(parent + granule, digest_size=16).digest()
        keys.append(parent)
    return keys
