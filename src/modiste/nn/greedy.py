"""Greedy answers by whole forwards: guess the answer, look what was likeliest at each place, go on.

What comes out is what drawing token by token gives, for a model of which only whole forwards are at
hand (the trainer's, which keeps no keys and values). A token is right once all before it are, so a
forward settles at least one; where the guess is right, one forward settles all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Likeliest(NamedTuple):
    """Behind each token of a sequence."""

    ids: list[int]
    margins: list[float]
    """By how much the likeliest token leads the second, in nats."""


Look = Callable[[Sequence[int]], Likeliest]


def continued(
    look: Look, prompt: Sequence[int], *, n_tokens: int, guess: Sequence[int] = ()
) -> Likeliest:
    """The `n_tokens` most likely tokens behind `prompt`, one after the other.

    Args:
        guess: what they may be; it changes how many forwards it takes and nothing else.
    """
    first = len(prompt) - 1
    ids = [*guess[:n_tokens], *[prompt[-1]] * (n_tokens - len(guess))]
    margins: list[float] = []
    for _ in range(n_tokens):
        told = look([*prompt, *ids[:-1]])
        said, margins = told.ids[first:], told.margins[first:]
        right = next((i for i in range(n_tokens) if said[i] != ids[i]), n_tokens)
        ids = said
        if right >= n_tokens - 1:
            break
    return Likeliest(ids, margins)


def likeliest(logits_NV: Tensor) -> Likeliest:
    """Of the logits behind each token."""
    best_N2 = logits_NV.float().topk(2, dim=-1)
    margins_N = best_N2.values[:, 0] - best_N2.values[:, 1]
    return Likeliest(best_N2.indices[:, 0].tolist(), margins_N.tolist())
