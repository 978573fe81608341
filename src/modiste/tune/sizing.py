"""How long packed sequences are, how many make a step, and how many steps a run has.

Each follows from the ones before and from what the spec leaves open. Few, large steps leave LoRA
half-trained, so data is cut into about STEPS_WORTH_TAKING of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from modiste.nn.base import BaseInfo
from modiste.tune.spec import Objective, TuneSpec

DEFAULT_EPOCHS = 3.0
DEFAULT_LONGEST = 8_192
SHORTEST_PACK = 256
STEPS_WORTH_TAKING = 200
MOST_TOKENS_PER_STEP = 65_536
MOST_STEPS = 10_000
"""Bound of the defaults only; who asks for more steps gets them."""


class Sized(NamedTuple):
    spec: TuneSpec
    """With max_length, batch_size, max_steps, checkpoint_steps and eval_steps."""
    tokens_per_step: int
    """Expected: packs are not quite full."""
    said: tuple[str, ...]


def conversations(spec: TuneSpec) -> int:
    """In each sample: a pair of answers is two, and a sequence has room for both."""
    return 2 if spec.objective is Objective.DPO else 1


def longest_allowed(spec: TuneSpec, base: BaseInfo) -> int:
    """Tokens of the longest sample that validation should let through."""
    if spec.max_length is not None:
        return spec.max_length
    return min(base.max_context_length, DEFAULT_LONGEST)


def sized(
    spec: TuneSpec, base: BaseInfo, *, n_tokens: int, n_examples: int, longest: int | None
) -> Sized:
    """What the spec leaves open; `n_tokens`, `n_examples` and `longest` describe the data."""
    said: list[str] = []
    length = spec.max_length or _pack_length(spec, base, longest)
    fill = _tokens_per_pack(n_tokens, n_examples, length * conversations(spec))
    batch = spec.batch_size or _batch_size(spec, n_tokens, fill)
    per_step = max(1, round(batch * fill))
    steps = _steps(spec, n_tokens, per_step, said)
    every = spec.checkpoint_steps or max(10, math.ceil(steps / 10))
    chosen = {
        "max_steps": steps,
        "batch_size": batch,
        "max_length": length,
        "checkpoint_steps": every,
        "eval_steps": spec.eval_steps or every,
    }
    return Sized(spec.model_copy(update=chosen), per_step, tuple(said))


def _pack_length(spec: TuneSpec, base: BaseInfo, longest: int | None) -> int:
    """Room for the longest sample, rounded up to a power of two: packs need not be longer."""
    allowed = longest_allowed(spec, base)
    if longest is None:
        return allowed
    return min(allowed, max(SHORTEST_PACK, 1 << max(0, longest - 1).bit_length()))


def _tokens_per_pack(n_tokens: int, n_examples: int, length: int) -> float:
    """Packs hold whole samples: on average half a sample's room stays free at the end."""
    if not n_tokens or not n_examples:
        return float(length)
    room = max(1.0, length - 0.25 * min(length, n_tokens / n_examples))
    return n_tokens / math.ceil(n_tokens / room)


def _batch_size(spec: TuneSpec, n_tokens: int, fill: float) -> int:
    steps = max(spec.max_steps or 0, STEPS_WORTH_TAKING)
    epochs = spec.epochs or DEFAULT_EPOCHS
    per_step = min(MOST_TOKENS_PER_STEP, epochs * n_tokens / steps)
    return max(1, round(per_step / fill))


def _steps(spec: TuneSpec, n_tokens: int, per_step: int, said: list[str]) -> int:
    if spec.max_steps is not None:
        if spec.epochs is not None:
            said.append("Steps and epochs were both given: steps decide.")
        return spec.max_steps
    if spec.epochs is not None:
        return max(1, math.ceil(spec.epochs * n_tokens / per_step))
    steps = max(1, math.ceil(DEFAULT_EPOCHS * n_tokens / per_step))
    if steps > MOST_STEPS:
        said.append(
            f"No length was given: {DEFAULT_EPOCHS:g} epochs, bounded to {MOST_STEPS} steps."
        )
        return MOST_STEPS
    said.append(f"No length was given: {DEFAULT_EPOCHS:g} epochs.")
    return steps
