"""Rows made from templates: requests that violate a category, and harmless ones in the same words.

Each category has what is asked for (`acts`) and harmless matters that share its words (`near`).
Frames put them into questions and orders. A fifth of the acts, of the near ones and of the frames
is held out: no row that is asked has an act or a near one that was learned. Nothing here says how a
thing is done. They teach words, so figures on them flatter, and the card keeps them apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from modiste.bases.moderation.made_words import FRAMES, HARMLESS, MATTERS

EVERY = 5
"""One in so many is held out."""


class Made(NamedTuple):
    text: str
    labels: tuple[str, ...]


def made(*, held_out: bool, per_matter: int, seed: int = 0) -> list[Made]:
    """In an order of its own; the same for the same seed.

    Args:
        per_matter: at most so many of each act and each harmless matter.
    """
    draw = random.Random(f"{seed}/{held_out}")  # noqa: S311 - the recipe must repeat itself
    frames = _share(FRAMES, held_out)
    found: dict[str, Made] = {}
    for labels, phrase in _phrases(held_out):
        for frame in draw.sample(frames, min(per_matter, len(frames))):
            text = _spelled(frame.replace("{}", phrase), draw)
            found.setdefault(text, Made(text, labels))
    rows = list(found.values())
    draw.shuffle(rows)
    return rows


def _phrases(held_out: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    for matter in MATTERS:
        for act in _share(matter.acts, held_out):
            yield matter.labels, act
        for near in _share(matter.near, held_out):
            yield (), near
    for phrase in _share(HARMLESS, held_out):
        yield (), phrase


def _share(of: tuple[str, ...], held_out: bool) -> list[str]:
    return [each for at, each in enumerate(of) if (at % EVERY == EVERY - 1) is held_out]


def _spelled(text: str, draw: random.Random) -> str:
    """As people type: some in small letters, some without the last sign."""
    if draw.random() < 0.25:
        text = text.lower()
    if draw.random() < 0.2:
        text = text.rstrip("?.!")
    return text
