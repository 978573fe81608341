"""From words to numbers, for thousands of words at once: a hash table in numpy.

A word is known by 16 bytes in two numbers: its first 8 bytes, and its next 7 with its length above.
Nothing is left to a hash being lucky: two words have the same key when they are the same word.
Words of more than `LONGEST_KEY` bytes have no key of their own; who asks leaves them out.

Shapes: B bytes, W words in them, D distinct words.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indexes = NDArray[np.int64]

LONGEST_KEY = 15

_FIRST = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(LONGEST_KEY + 2)], dtype=np.uint64)
_REST = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(LONGEST_KEY + 2)], dtype=np.uint64)
"""Masks for the bytes of a word by its length."""
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
"""Odd numbers with bits spread evenly: the golden ratio's, and xxHash's second prime."""


class Keys(NamedTuple):
    first: NDArray[np.uint64]
    rest: NDArray[np.uint64]

    def at(self, which: Indexes) -> Keys:
        return Keys(self.first[which], self.rest[which])


class Distinct(NamedTuple):
    keys: Keys
    seen_at: Indexes
    """Where each distinct key was seen."""
    which: Indexes
    """Which of the distinct keys each key was."""


class WordTable:
    """Numbers from 1 for words; open addressing, at most half full."""

    def __init__(self, capacity: int) -> None:
        bits = (2 * capacity - 1).bit_length()
        self._shift = np.uint64(64 - bits)
        self._last_slot = (1 << bits) - 1
        self._slots = np.zeros(1 << bits, dtype=np.int32)
        self._keys = Keys(np.zeros(capacity, np.uint64), np.zeros(capacity, np.uint64))

    def find(self, keys_W: Keys) -> Indexes:
        """Numbers of words, 0 where there is none. All words take their steps together."""
        slots_W = self._slot(keys_W)
        found_W = self._slots[slots_W].astype(np.int64)
        lost = np.flatnonzero(self._is_other(found_W, keys_W))
        while len(lost):
            slots_W[lost] = (slots_W[lost] + 1) & self._last_slot
            found_W[lost] = self._slots[slots_W[lost]]
            lost = lost[self._is_other(found_W[lost], keys_W.at(lost))]
        return found_W

    def put(self, keys_D: Keys, numbers_D: Indexes) -> None:
        """Words that are not there yet; of several that want a slot, the last to write has it."""
        self._keys.first[numbers_D], self._keys.rest[numbers_D] = keys_D
        slots_D = self._slot(keys_D)
        left = np.arange(len(numbers_D))
        while len(left):
            free = left[self._slots[slots_D[left]] == 0]
            self._slots[slots_D[free]] = numbers_D[free]
            left = left[self._slots[slots_D[left]] != numbers_D[left]]
            slots_D[left] = (slots_D[left] + 1) & self._last_slot

    def _is_other(self, numbers: Indexes, keys: Keys) -> NDArray[np.bool_]:
        """Which slots belong to another word."""
        other: NDArray[np.bool_] = self._keys.first[numbers] != keys.first
        other |= self._keys.rest[numbers] != keys.rest
        other &= numbers != 0
        return other

    def _slot(self, keys: Keys) -> Indexes:
        mixed = keys.first * _MIX[0]
        mixed ^= keys.rest * _MIX[1]
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MIX[0]
        mixed >>= self._shift
        return mixed.astype(np.int64)


def keys_of(data: bytes, starts_W: Indexes, lengths_W: Indexes) -> Keys:
    """16 bytes from where each word starts, what is beyond its end masked out."""
    padded = data + bytes(16)
    eight_B = np.ndarray(len(data) + 9, dtype="<u8", buffer=padded, strides=(1,))
    lengths_W = np.minimum(lengths_W, LONGEST_KEY + 1)
    rest_W = eight_B[starts_W + 8] & _REST[lengths_W]
    rest_W |= lengths_W.astype(np.uint64) << np.uint64(56)
    return Keys(eight_B[starts_W] & _FIRST[lengths_W], rest_W)


def distinct(keys: Keys) -> Distinct:
    order = np.lexsort(keys)
    first, rest = keys.at(order)
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (first[1:] != first[:-1]) | (rest[1:] != rest[:-1])
    which = np.empty(len(order), dtype=np.int64)
    which[order] = np.cumsum(is_new) - 1
    return Distinct(Keys(first[is_new], rest[is_new]), order[is_new], which)
