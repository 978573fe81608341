"""Conversations longer than a sequence: refused, or cut between turns; never in silence.

A piece opens with the system messages of the row and goes from a user message to the answer before
the next one, as many such exchanges as fit. It is a shorter conversation, and its answers are
trained without what was said in the pieces before: that is the price, and why it has to be asked
for. An exchange that is too long by itself is refused either way.

Checks and training cut here, so what was counted is what is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

from modiste.prepare.render import Rendered, Renderer
from modiste.types import Example, Message, OverLength, Role, SampleType

__all__ = ["Cut", "OverLength", "cut", "exchanges", "pieces"]


class Cut(NamedTuple):
    samples: list[Rendered]
    n_pieces: int
    """1 for a row that was left whole."""
    longest: int
    """Tokens of the longest sample; more than asked for where nothing could be done."""


def cut(
    example: Example, renderer: Renderer, *, max_length: int | None, over_length: OverLength
) -> Cut:
    """The samples of a row, cut if it is too long and if that is wished.

    Raises:
        InvalidInput: as `Renderer.training_samples`.
    """
    whole = renderer.training_samples(example, max_length=max_length)
    longest = _longest(whole)
    if max_length is None or longest <= max_length or over_length is OverLength.REFUSE:
        return Cut(whole, 1, longest)
    if example.sample_type is not SampleType.INSTRUCT:
        return Cut(whole, 1, longest)
    rendered: list[Rendered] = []
    parts = pieces(example, lambda part: _longest(renderer.training_samples(part)) <= max_length)
    for part in parts:
        rendered += renderer.training_samples(part)
    longest = _longest(rendered)
    return Cut(rendered, len(parts), longest) if longest <= max_length else Cut(whole, 1, longest)


def pieces(example: Example, fits: Callable[[Example], bool]) -> list[Example]:
    """The row as conversations of as many exchanges as fit, at least one each."""
    opening = list(takewhile(lambda m: m.role is Role.SYSTEM, example.messages))
    waiting = exchanges(example.messages[len(opening) :])
    found: list[Example] = []
    taken: list[Message] = []
    for exchange in waiting:
        more = replace(example, messages=(*opening, *taken, *exchange))
        if taken and not fits(more):
            found.append(replace(example, messages=(*opening, *taken)))
            taken = []
        taken += exchange
    return [*found, replace(example, messages=(*opening, *taken))]


def exchanges(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """Runs of messages that end with an answer; tool calls stay with their results."""
    found: list[tuple[Message, ...]] = []
    first = 0
    for at in range(1, len(messages)):
        begins = messages[at].role in (Role.USER, Role.SYSTEM)
        if begins and messages[at - 1].role is Role.ASSISTANT:
            found.append(tuple(messages[first:at]))
            first = at
    return [*found, tuple(messages[first:])]


def _longest(samples: Sequence[Rendered]) -> int:
    return max([sample.n_tokens for sample in samples], default=0)
