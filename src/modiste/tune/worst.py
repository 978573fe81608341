"""The rows a finished model finds hardest: often the broken, the mislabelled and the odd ones.

Every row counts with its mean loss per trained token (of pairs: with its loss), in the weights that
are kept. Measuring is bounded by a share of the training itself; where it does not reach all rows,
a part drawn by the seed is measured and the count says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import NamedTuple, cast

import numpy as np

from modiste.tune.mixture import Origin, Sample, Samples, Source, shuffled
from modiste.tune.objective import Objective

LISTED = 20
"""Of each part."""
SHARE = 5
"""A fifth of the tokens trained, forward only: at most a tenth of the time."""
LEAST_TOKENS = 4096
VALIDATION_KEY = 0x776F7273


class Ranked(NamedTuple):
    origin: Origin
    loss: float
    n_units: int


class Worst(NamedTuple):
    """Of one part: `training` or `validation`."""

    part: str
    rows: list[Ranked]
    """Highest loss first."""
    mean_loss: float
    """Over the rows measured, each counting once."""
    n_measured: int
    n_rows: int


def worst(
    objective: Objective,
    sources: Sequence[Source],
    validation: Samples,
    *,
    n_tokens: int,
    seed: int,
    tell: Callable[[str, int, int], None],
) -> list[Worst]:
    """Of training and validation, where their rows are known by file and line."""
    room = max(LEAST_TOKENS, n_tokens // SHARE)
    parts = [("validation", [validation]), ("training", [source.samples for source in sources])]
    found = []
    for part, data in parts:
        places = [(s, i) for s in data if s.origins for i in _useful(objective, s)]
        if not places:
            continue
        order = shuffled(range(len(places)), seed, VALIDATION_KEY)
        chosen = _within([places[i] for i in order], room // 2 if part == "validation" else room)
        ranked = []
        samples = [s[i] for s, i in chosen]
        losses = losses_of(objective, samples)
        for n, ((s, i), (loss, n_units)) in enumerate(zip(chosen, losses, strict=True)):
            ranked.append(Ranked(cast(Origin, s.origin(i)), loss, n_units))
            tell("worst rows", n, len(chosen))
        # A loss that is no number is the hardest, and compares with nothing.
        ranked.sort(key=lambda row: (-row.loss if row.loss < inf else -inf, row.origin))
        mean = sum(row.loss for row in ranked) / len(ranked)
        found.append(Worst(part, ranked[:LISTED], mean, len(ranked), len(places)))
    return found


def losses_of(objective: Objective, samples: Sequence[Sample]) -> Iterator[tuple[float, int]]:
    """Mean loss and units of each sample, in order, each as if it were alone."""
    for batch in objective.batches(samples):
        yield from objective.losses(batch)


def _useful(objective: Objective, samples: Samples) -> list[int]:
    return [int(i) for i in np.flatnonzero(objective.n_units(samples) > 0)]


def _within(places: list[tuple[Samples, int]], room: int) -> list[tuple[Samples, int]]:
    """From the beginning, up to `room` tokens, at least one."""
    sizes = np.cumsum([int(samples.lengths[i]) for samples, i in places])
    return places[: max(1, int(np.searchsorted(sizes, room, side="right")))]
