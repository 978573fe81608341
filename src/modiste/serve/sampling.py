"""From logits to one token per row, with a random number that only seed and position decide.

There is no generator state: the n-th token of a request with seed s is drawn with
splitmix64(s, n), so a request gives the same tokens whatever else is served, and after a restart.
Tokens are drawn by inverting the cumulated probability, most likely first, ties by token id.

Legend: M rows that need a token, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modiste.serve.sequence import Sampling

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15

HEADS_NATS = (5.0, 12.0, np.inf)
"""Tokens less likely than the best by exp(-5) are sorted only where a draw needs them, and so on.
The order of the likelier ones is the same either way, and so is what is drawn."""


class Draw(NamedTuple):
    """What one row needs to choose its token."""

    sampling: Sampling
    seed: int
    position: int
    """How many tokens this request has drawn before."""
    counts: Mapping[int, int]
    """How often each token was drawn before; read only where there are penalties."""


def choose(logits_MV: Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token id per row. May write to `logits_MV`."""
    for logits_V, draw in zip(logits_MV, draws, strict=True):
        _penalise(logits_V, draw)
    warm = [row for row, draw in enumerate(draws) if draw.sampling.temperature > 0]
    chosen: list[int] = logits_MV.argmax(-1).tolist()
    if warm:
        temperatures = torch.tensor([draws[row].sampling.temperature for row in warm])
        scaled = logits_MV if len(warm) == len(draws) else logits_MV[warm]
        logprobs = torch.log_softmax(scaled / temperatures[:, None], dim=-1).numpy()
        for logprobs_V, row in zip(logprobs, warm, strict=True):
            draw = draws[row]
            chosen[row] = pick(logprobs_V, draw.sampling.top_p, uniform(draw.seed, draw.position))
    return chosen


def pick(logprobs_V: npt.NDArray[np.float32], top_p: float, u: float) -> int:
    """The token at `u` (0 to 1) of the cumulated probability of the nucleus."""
    ids, mass = _most_likely_first(logprobs_V, reach=u if top_p >= 1 else top_p)
    # Rounding may leave the whole mass a hair under top_p; the last token ends the nucleus then.
    end = min(int(np.searchsorted(mass, top_p)), len(mass) - 1) if top_p < 1 else len(mass) - 1
    total = mass[end] if top_p < 1 else 1.0
    return int(ids[min(int(np.searchsorted(mass, u * total, side="right")), end)])


def uniform(seed: int, position: int) -> float:
    """The `position`-th number, 0 <= u < 1, of the splitmix64 stream that `seed` starts."""
    bits = _mix((_mix(seed & MASK) + (position + 1) * GOLDEN) & MASK)
    return (bits >> 11) * 2.0**-53


def _mix(z: int) -> int:
    """splitmix64's finaliser (Steele, Lea, Flood 2014; constants of Stafford's variant 13)."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def _penalise(logits_V: Tensor, draw: Draw) -> None:
    presence, frequency = draw.sampling.presence_penalty, draw.sampling.frequency_penalty
    if draw.counts and (presence or frequency):
        ids = torch.tensor(list(draw.counts))
        times = torch.tensor(list(draw.counts.values()), dtype=torch.float32)
        logits_V[ids] -= presence + frequency * times


def _most_likely_first(
    logprobs_V: npt.NDArray[np.float32], *, reach: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Token ids in falling probability, at least until their cumulated probability passes `reach`
    or there are no more; and that cumulated probability."""
    best = logprobs_V.max()
    for nats in HEADS_NATS:
        among = np.flatnonzero(logprobs_V >= best - nats)
        ids = among[np.argsort(-logprobs_V[among], kind="stable")]
        mass = np.cumsum(np.exp(logprobs_V[ids].astype(np.float64)))
        if mass[-1] > reach:
            break
    return ids, mass
