"""What a run will do and take, said before it starts: steps, tokens, minutes, memory, money.

`plan` fills in what the spec leaves open (packed length, sequences per step, steps) and returns
the completed spec with the figures that follow from it; the trainer runs that spec and decides
nothing again. Impossible wishes come back as `problems`, all of them. Needs no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from modiste.nn.base import BaseInfo
from modiste.tune.spec import TuneSpec
from modiste.types import Problem

DEFAULT_EPOCHS = 3.0
DEFAULT_LONGEST = 8_192
SHORTEST_PACK = 256
STEPS_WORTH_TAKING = 200
"""Data is cut into about this many steps by default: fewer, larger ones leave LoRA half-trained."""
MOST_TOKENS_PER_STEP = 65_536
MOST_STEPS = 10_000
"""Bound of the defaults only; who asks for more steps gets them."""
EPOCHS_TO_WARN = 20

FLOPS_PER_TOKEN_AND_PARAMETER = 4
"""Forward and input gradients; the base is frozen and has no weight gradients."""
ASSUMED_FLOPS = 9e10
"""Of two current x86 cores in fp32 on a small base; a measured speed replaces it."""
START_S = 8.0
EVALUATION_SHARE = 1 / 3
"""A forward costs about a third of a training step."""


@dataclass(frozen=True)
class Plan:
    spec: TuneSpec
    """The wish with max_steps, batch_size, max_length and checkpoint_steps filled in."""
    training_steps: int
    epochs: float
    """Training tokens over data tokens."""
    train_tokens_per_step: int
    """Expected: packs are not quite full."""
    train_tokens: int
    data_tokens: int
    expected_duration_s: int
    peak_memory_bytes: int
    cost_micro: int
    details: str
    """One paragraph for people: what was chosen, and what the figures rest on."""
    problems: tuple[Problem, ...]
    """Non-empty: do not start."""


def longest_allowed(spec: TuneSpec, base: BaseInfo) -> int:
    """Tokens of the longest sample that validation should let through."""
    if spec.max_length is not None:
        return spec.max_length
    return min(base.max_context_length, DEFAULT_LONGEST)


def plan(
    spec: TuneSpec,
    *,
    n_tokens: int,
    n_examples: int,
    base: BaseInfo,
    longest: int | None = None,
    n_trained_tokens: int | None = None,
    n_validation_tokens: int = 0,
    tokens_per_s: float | None = None,
    price_micro_per_million_tokens: int = 0,
) -> Plan:
    """Complete the spec for this data on this base.

    `n_tokens`, `n_examples`, `longest` (tokens of the longest sample) and `n_trained_tokens`
    describe the training files together; `tokens_per_s` is a speed measured here, if any.
    """
    said: list[str] = []
    filled, per_step = _filled(spec, base, n_tokens, n_examples, longest, said)
    steps = filled.max_steps or 0
    train_tokens = steps * per_step
    epochs = train_tokens / n_tokens if n_tokens else 0.0
    said += _sizes(filled, steps, per_step, epochs)
    speed = tokens_per_s or ASSUMED_FLOPS / (FLOPS_PER_TOKEN_AND_PARAMETER * base.n_parameters)
    rests_on = "measured on this machine" if tokens_per_s else "assumed from the size of the base"
    said.append(f"Duration from {speed:,.0f} tokens/s, {rests_on}.")
    evaluations = math.ceil(steps / (filled.eval_steps or steps))
    work = train_tokens + evaluations * n_validation_tokens * EVALUATION_SHARE
    return Plan(
        spec=filled,
        training_steps=steps,
        epochs=epochs,
        train_tokens_per_step=per_step,
        train_tokens=train_tokens,
        data_tokens=n_tokens,
        expected_duration_s=math.ceil(START_S + work / speed),
        peak_memory_bytes=peak_memory_bytes(filled, base),
        cost_micro=math.ceil(train_tokens * price_micro_per_million_tokens / 1_000_000),
        details=" ".join(said),
        problems=_problems(spec, base, n_tokens, n_examples, n_trained_tokens),
    )


def peak_memory_bytes(spec: TuneSpec, base: BaseInfo) -> int:
    """Weights in fp32 as stored and as packed for both directions, adapters with gradient and two
    moments, and the activations of one packed sequence. Within about a third of what was measured.
    """
    weights = base.n_parameters * 4 * 3
    adapters = spec.lora.rank * base.linear_inputs_and_outputs * 4 * 4
    kept = base.n_layers * (14 * base.hidden_size + 5 * base.intermediate_size)
    activations = max(spec.max_length or 0, MICROBATCH_TOKENS) * kept * 4
    head = 2 * 128 * base.vocab_size * 4
    return RUNTIME_BYTES + weights + adapters + activations + head


RUNTIME_BYTES = 600_000_000
"""The interpreter with torch and transformers loaded."""
MICROBATCH_TOKENS = 2_048
"""Samples are computed together up to this many tokens: twice as many are not faster, and take a
third more memory."""


class _Filled(NamedTuple):
    spec: TuneSpec
    tokens_per_step: int


def _filled(
    spec: TuneSpec,
    base: BaseInfo,
    n_tokens: int,
    n_examples: int,
    longest: int | None,
    said: list[str],
) -> _Filled:
    """Length, then sequences per step, then steps: each follows from the ones before."""
    length = spec.max_length or _pack_length(spec, base, longest)
    fill = _tokens_per_pack(n_tokens, n_examples, length)
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
    return _Filled(spec.model_copy(update=chosen), per_step)


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


def _sizes(spec: TuneSpec, steps: int, per_step: int, epochs: float) -> list[str]:
    said = [
        f"{steps} steps of {spec.batch_size} packed sequences of at most {spec.max_length} tokens, "
        f"about {per_step:,} tokens a step, {epochs:.3g} epochs."
    ]
    if epochs > EPOCHS_TO_WARN:
        said.append(
            f"That repeats the data {epochs:.0f} times and may learn it by heart; "
            "ask for fewer steps or add data."
        )
    files = spec.data.train
    if len(files) > 1:
        total = sum(file.weight for file in files)
        shares = ", ".join(
            f"{file.path or file.file_id} {file.weight / total:.0%}" for file in files
        )
        said.append(f"Share of the training tokens by weight: {shares}.")
    return said


def _problems(
    spec: TuneSpec, base: BaseInfo, n_tokens: int, n_examples: int, n_trained_tokens: int | None
) -> tuple[Problem, ...]:
    found: list[Problem] = []

    def say(path: str, code: str, message: str, hint: str) -> None:
        found.append(
            Problem(file="job", line=None, path=path, code=code, message=message, hint=hint)
        )

    if n_examples == 0:
        say(
            "training_files",
            "no_examples",
            "the training files hold no usable example",
            "add at least one conversation that ends with an assistant message",
        )
    elif n_trained_tokens == 0:
        say(
            "training_files",
            "no_trainable_tokens",
            f"none of the {n_tokens} tokens is a training target",
            "give at least one assistant message a weight other than 0",
        )
    if spec.max_length is not None and spec.max_length > base.max_context_length:
        say(
            "hyperparameters.seq_len",
            "seq_len_too_long",
            f"seq_len is {spec.max_length}, the base reads at most "
            f"{base.max_context_length} tokens",
            f"set it to {base.max_context_length} or less",
        )
    return tuple(found)
