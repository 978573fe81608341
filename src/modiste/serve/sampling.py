"""From logits to one token per row, with a random number that only seed and position decide.

There is no generator state: the n-th token of a request with seed s is drawn with
splitmix64(s, n), so a request gives the same tokens whatever else is served, and after a restart.
Tokens are drawn by inverting the cumulated probability of those that may be drawn, in the order of
their ids; which may be drawn goes by falling logit, ties by id.

Legend: M rows that need a token, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modiste.nn import native
from modiste.nn.native import address
from modiste.serve.sequence import Logprob, Sampling

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15

COLDEST = 1e-300
"""A temperature below it is taken for it, so that its inverse is a number."""


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
    compiled = native.library()
    numbers = [
        uniform(draw.seed, draw.position) if draw.sampling.temperature else 0.0 for draw in draws
    ]
    if compiled is None or logits_MV.dtype != torch.float32:
        rows = logits_MV.float().numpy()
        each = zip(rows, draws, numbers, strict=True)
        return [pick(logits_V, draw.sampling, u) for logits_V, draw, u in each]
    logits_MV = logits_MV.contiguous()
    asked = (native.CDraw * len(draws))()
    for row, (draw, u) in enumerate(zip(draws, numbers, strict=True)):
        how = draw.sampling
        asked[row] = native.CDraw(row, how.temperature, how.top_p, how.min_p, u, how.top_k or 0)
    tokens = np.empty(len(draws), dtype=np.int64)
    vocabulary = logits_MV.shape[1]
    if compiled.sample(vocabulary, address(logits_MV), len(draws), asked, tokens.ctypes.data):
        raise MemoryError("no memory for choosing tokens")
    return tokens.tolist()


def pick(logits_V: npt.NDArray[np.float32], how: Sampling, u: float) -> int:
    """The token at `u` (0 to 1) of the cumulated probability of those that may be drawn.

    `top_k` and `min_p` cut first, then `top_p` takes its share of what they leave. This is what
    `nn/native/sampling.h` computes for all rows at once; it is used where nothing was compiled.
    """
    best = logits_V.max()
    if how.temperature == 0 or best == np.inf:
        return int(logits_V.argmax())
    scale = 1 / max(how.temperature, COLDEST)
    weights = np.exp((logits_V.astype(np.float64) - float(best)) * scale)
    if how.top_k is not None and how.top_k < len(logits_V):
        _keep(weights, _head(logits_V, np.ones_like(weights), how.top_k))
    weights[weights < how.min_p] = 0
    if how.top_p < 1:
        _keep(weights, _head(logits_V, weights, how.top_p * float(weights.sum())))
    mass = np.cumsum(weights)
    at = int(np.searchsorted(mass, u * mass[-1], side="right"))
    return at if at < len(mass) else int(np.flatnonzero(weights)[-1])


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


def _head(
    logits_V: npt.NDArray[np.float32], amounts_V: npt.NDArray[np.float64], wanted: float
) -> npt.NDArray[np.int64]:
    """The most likely tokens whose amounts together reach `wanted`; ties by token id."""
    order = np.argsort(-logits_V, kind="stable")
    end = int(np.searchsorted(np.cumsum(amounts_V[order]), wanted))
    return order[: end + 1]


def _keep(weights_V: npt.NDArray[np.float64], tokens: npt.NDArray[np.int64]) -> None:
    """Takes all others away."""
    kept = weights_V[tokens]
    weights_V[:] = 0
    weights_V[tokens] = kept
