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

from modiste.serve.sequence import Logprob, Sampling

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15

LOWEST = np.finfo(np.float32).min
HEADS_NATS = (5.0, 12.0, -float(LOWEST) / 2)
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
    allowed_V: npt.NDArray[np.bool_] | None = None
    """The only tokens that may be drawn, at least one; None allows all."""
    prompt: Sequence[int] = ()
    """Its tokens; read only where repetition is penalised."""


class Chosen(NamedTuple):
    token: int
    logprob: Logprob | None
    """Where the request asks for it."""


def choose(logits_MV: Tensor, draws: Sequence[Draw]) -> list[Chosen]:
    """One token per row. May write to `logits_MV`."""
    asked = [draw.sampling.logprobs for draw in draws]
    told = [
        None if n is None else torch.log_softmax(row_V, -1).numpy()
        for row_V, n in zip(logits_MV, asked, strict=True)
    ]
    for logits_V, draw in zip(logits_MV, draws, strict=True):
        _change(logits_V, draw)
    tokens = _tokens(logits_MV, draws)
    return [
        Chosen(token, None if told_V is None else logprob(told_V, token, n or 0))
        for token, told_V, n in zip(tokens, told, asked, strict=True)
    ]


def logprob(logprobs_V: npt.NDArray[np.float32], token: int, n_top: int) -> Logprob:
    """The token's own, and the `n_top` most likely."""
    top: list[tuple[int, float]] = []
    if n_top:
        n = min(n_top, len(logprobs_V))
        among = np.flatnonzero(logprobs_V >= np.partition(logprobs_V, -n)[-n])
        ids = among[np.argsort(-logprobs_V[among], kind="stable")][:n]
        top = [(int(token), float(logprobs_V[token])) for token in ids]
    return Logprob(float(logprobs_V[token]), tuple(top))


def _tokens(logits_MV: Tensor, draws: Sequence[Draw]) -> list[int]:
    warm = [row for row, draw in enumerate(draws) if draw.sampling.temperature > 0]
    chosen: list[int] = logits_MV.argmax(-1).tolist()
    if warm:
        temperatures = torch.tensor([draws[row].sampling.temperature for row in warm])
        scaled = logits_MV if len(warm) == len(draws) else logits_MV[warm]
        logprobs = torch.log_softmax(scaled / temperatures[:, None], dim=-1).numpy()
        for logprobs_V, row in zip(logprobs, warm, strict=True):
            how, u = draws[row].sampling, uniform(draws[row].seed, draws[row].position)
            chosen[row] = pick(logprobs_V, how.top_p, u, top_k=how.top_k, min_p=how.min_p)
    return chosen


def pick(
    logprobs_V: npt.NDArray[np.float32],
    top_p: float,
    u: float,
    *,
    top_k: int | None = None,
    min_p: float = 0.0,
) -> int:
    """The token at `u` (0 to 1) of the cumulated probability of those that may be drawn.

    `top_k` and `min_p` cut first, then `top_p` takes its share of what they leave.
    """
    if top_k is None and not min_p:
        ids, mass = _most_likely_first(logprobs_V, reach=u if top_p >= 1 else top_p)
        whole = 1.0
    else:
        ids, mass = _cut(logprobs_V, top_k, min_p)
        whole = mass[-1]
    # Rounding may leave the whole mass a hair under top_p; the last token ends the nucleus then.
    last = len(mass) - 1
    end = min(int(np.searchsorted(mass, top_p * whole)), last) if top_p < 1 else last
    total = mass[end] if top_p < 1 else whole
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


def _change(logits_V: Tensor, draw: Draw) -> None:
    """Penalties, biases and the grammar, in place."""
    if (repetition := draw.sampling.repetition_penalty) != 1.0:
        ids = torch.tensor(sorted({*draw.prompt, *draw.counts}))
        met = logits_V[ids]
        logits_V[ids] = torch.where(met > 0, met / repetition, met * repetition)
    presence, frequency = draw.sampling.presence_penalty, draw.sampling.frequency_penalty
    if draw.counts and (presence or frequency):
        ids = torch.tensor(list(draw.counts))
        times = torch.tensor(list(draw.counts.values()), dtype=torch.float32)
        logits_V[ids] -= presence + frequency * times
    if bias := draw.sampling.logit_bias:
        logits_V[torch.tensor(list(bias))] += torch.tensor(list(bias.values()), dtype=torch.float32)
    if draw.allowed_V is not None:
        logits_V[torch.from_numpy(~draw.allowed_V)] = -torch.inf


def _most_likely_first(
    logprobs_V: npt.NDArray[np.float32], *, reach: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Token ids in falling probability, at least until their cumulated probability passes `reach`
    or there are no more; and that cumulated probability."""
    best = logprobs_V.max()
    for nats in HEADS_NATS:
        ids, mass = _sorted(logprobs_V, np.flatnonzero(logprobs_V >= best - nats))
        if mass[-1] > reach:
            break
    return ids, mass


def _cut(
    logprobs_V: npt.NDArray[np.float32], top_k: int | None, min_p: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The same of all tokens that both leave."""
    n = len(logprobs_V) if top_k is None else min(top_k, len(logprobs_V))
    least = max(np.partition(logprobs_V, -n)[-n], LOWEST)
    if min_p:
        least = max(least, logprobs_V.max() + np.float32(np.log(min_p)))
    ids, mass = _sorted(logprobs_V, np.flatnonzero(logprobs_V >= least))
    return ids[:n], mass[:n]


def _sorted(
    logprobs_V: npt.NDArray[np.float32], among: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    ids = among[np.argsort(-logprobs_V[among], kind="stable")]
    return ids, np.cumsum(np.exp(logprobs_V[ids].astype(np.float64)))
