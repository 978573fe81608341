"""Samples into sequences of `seq_len` tokens, best fit, no sample ever split.

A split sample would be trained on an answer without its prompt. Every sample lies in exactly one
pack, and attention is later kept within samples, so a pack trains as its samples would alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from modiste.errors import InvalidInput


def pack(
    lengths: Sequence[int], seq_len: int, *, order: Iterable[int] | None = None
) -> list[list[int]]:
    """Indices of samples, grouped so that each group's lengths add up to at most `seq_len`.

    Each sample goes, in the given order, to the fullest open pack that still has room for it.

    Args:
        lengths: tokens of each sample.
        order: the indices to pack, each at most once; default all, as they come. Samples of one
            pack keep this order, and packs come in the order of their first sample, so a shuffled
            order gives shuffled packs and the same order always the same packs.

    Raises:
        InvalidInput: samples longer than `seq_len`, all of them named.
    """
    chosen = range(len(lengths)) if order is None else list(order)
    too_long = [at for at in chosen if lengths[at] > seq_len]
    if too_long:
        shown = ", ".join(f"{at} ({lengths[at]} tokens)" for at in too_long[:10])
        more = f" and {len(too_long) - 10} more" if len(too_long) > 10 else ""
        raise InvalidInput(
            f"samples longer than a sequence of {seq_len} tokens: {shown}{more}. "
            "Raise the sequence length or leave them out",
            code="too_long",
        )
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []
    """(free tokens, pack), ascending: the first that fits is the fullest."""
    for at in chosen:
        length = lengths[at]
        fit = bisect_left(room, (length, -1))
        if fit == len(room):
            packs.append([at])
            free, number = seq_len - length, len(packs) - 1
        else:
            free, number = room.pop(fit)
            packs[number].append(at)
            free -= length
        if free > 0:
            insort(room, (free, number))
    return packs
