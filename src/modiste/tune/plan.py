"""What a run will do and take, said before it starts: steps, tokens, minutes, memory, disk, money.

`plan` fills in what the spec leaves open (packed length, sequences per step, steps, and what makes
it fit the machine) and returns the completed spec with the figures that follow from it; the trainer
runs that spec and decides nothing again. Impossible wishes and what will not fit come back as
`problems`, all of them, each with what to change. Needs no torch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from modiste.nn.base import BaseInfo
from modiste.tune import fits, flops, memory, speeds
from modiste.tune.fits import gigabytes
from modiste.tune.memory import Load, Need
from modiste.tune.room import Room
from modiste.tune.sizing import conversations, sized
from modiste.tune.sizing import longest_allowed as longest_allowed
from modiste.tune.spec import Objective, TuneSpec
from modiste.tune.speeds import Duration, Speeds, Work
from modiste.types import Problem

EPOCHS_TO_WARN = 20


@dataclass(frozen=True)
class Plan:
    spec: TuneSpec
    """The wish with max_steps, batch_size, max_length, checkpoint_steps and what fits filled in."""
    training_steps: int
    epochs: float
    """Training tokens over data tokens."""
    train_tokens_per_step: int
    """Expected: packs are not quite full."""
    train_tokens: int
    data_tokens: int
    duration: Duration
    speeds: Speeds
    load: Load
    need: Need
    room: Room | None
    disk_bytes: int
    flops: float
    """Useful operations of the whole training."""
    cost_micro: int
    details: str
    """One paragraph for people: what was chosen, and what the figures rest on."""
    problems: tuple[Problem, ...]
    """Non-empty: do not start."""
    speed_key: str = ""
    """Under which the speed of this run is kept (`speeds`)."""

    @property
    def expected_duration_s(self) -> int:
        return math.ceil(self.duration.total_s)

    @property
    def peak_memory_bytes(self) -> int:
        return self.need.peak_bytes

    def figures(self) -> dict[str, Any]:
        """What a table shows beside steps, tokens and cost, as JSON."""
        peak = None if self.room is None else flops.peak_of(self.room.name)
        reached = self.speeds.tokens_per_s * self.flops / max(1, self.train_tokens)
        return {
            "memory": {
                "peak_bytes": self.need.peak_bytes,
                "parts": dict(self.need.parts),
                "when": self.need.when,
                "dtype": self.need.dtype,
            },
            "room": None if self.room is None else asdict(self.room),
            "disk_bytes": self.disk_bytes,
            "duration": {"total_s": self.duration.total_s, **asdict(self.duration)},
            "speed": asdict(self.speeds) | {"key": self.speed_key},
            "flops": self.flops,
            "flops_per_s": reached,
            "mfu": None if peak is None else reached / peak,
            "gradient_checkpointing": self.spec.gradient_checkpointing,
            "microbatch_tokens": self.spec.microbatch_tokens,
            "max_length": self.spec.max_length,
            "batch_size": self.spec.batch_size,
        }


def plan(
    spec: TuneSpec,
    *,
    n_tokens: int,
    n_examples: int,
    base: BaseInfo,
    longest: int | None = None,
    n_trained_tokens: int | None = None,
    n_validation_tokens: int = 0,
    n_reference_tokens: int = 0,
    tokens_per_s: float | None = None,
    measured: Speeds | None = None,
    room: Room | None = None,
    price_micro_per_million_tokens: int = 0,
) -> Plan:
    """Complete the spec for this data on this base.

    Args:
        n_tokens: with `n_examples`, `longest` (tokens of the longest sample) and
            `n_trained_tokens`, what the training files come to together.
        n_reference_tokens: go through the bare base once, before the first step.
        tokens_per_s: of the last job on this base, if any.
        measured: by a calibration of this spec on this machine, if any; wins over the last job.
        room: what the machine has; without one, nothing is too large.
    """
    filled, per_step, said = sized(
        spec, base, n_tokens=n_tokens, n_examples=n_examples, longest=longest
    )
    together = min(longest or filled.max_length or 0, filled.max_length or 0) * conversations(spec)
    load = Load(together, per_step, n_tokens)
    fitted = fits.fitted(filled, base, load, room)
    filled = fitted.spec
    steps = filled.max_steps or 0
    train_tokens = steps * per_step
    epochs = train_tokens / n_tokens if n_tokens else 0.0
    speed = measured
    if speed is None and tokens_per_s:
        speed = speeds.of_last_job(tokens_per_s, filled, base)
    speed = speed or speeds.assumed(filled, base, room)
    work = Work(
        train_tokens=train_tokens,
        steps=steps,
        n_evaluations=1 + math.ceil(steps / (filled.eval_steps or steps)),
        n_validation_tokens=n_validation_tokens,
        n_checkpoints=math.ceil(steps / (filled.checkpoint_steps or steps)),
        checkpoint_bytes=memory.checkpoint_bytes(filled, base),
        data_tokens=n_tokens,
        reference_tokens=n_reference_tokens,
    )
    words = [*said, *_sizes(filled, steps, per_step, epochs), *fitted.said]
    words.append(f"Duration from {speed.tokens_per_s:,.0f} tokens/s, {speed.rests_on}.")
    words.append(
        f"At most {gigabytes(fitted.need.peak_bytes)} of memory, {gigabytes(fitted.disk_bytes)} "
        "of disk."
    )
    wrong = _problems(spec, base, n_tokens, n_examples, n_trained_tokens)
    return Plan(
        spec=filled,
        training_steps=steps,
        epochs=epochs,
        train_tokens_per_step=per_step,
        train_tokens=train_tokens,
        data_tokens=n_tokens,
        duration=speeds.duration(work, base, speed),
        speeds=speed,
        load=load,
        need=fitted.need,
        room=room,
        disk_bytes=fitted.disk_bytes,
        flops=train_tokens * flops.per_token(filled, base),
        cost_micro=math.ceil(train_tokens * price_micro_per_million_tokens / 1_000_000),
        details=" ".join(words),
        problems=(*wrong, *fitted.problems),
    )


def _sizes(spec: TuneSpec, steps: int, per_step: int, epochs: float) -> list[str]:
    said = [
        f"{steps} steps of {spec.batch_size} packed sequences of at most {spec.max_length} tokens, "
        f"about {per_step:,} tokens a step, {epochs:.3g} epochs."
    ]
    if spec.objective is Objective.DPO:
        said.append(
            f"Pairs of answers, compared by dpo (beta {spec.dpo.beta:g}) with what the model says "
            "of them before the first step."
        )
    if spec.objective is Objective.CLASSIFY:
        told = ", ".join(
            f"{target.name} ({len(target.labels)} labels, {target.loss_function})"
            for target in spec.classifier_targets
        )
        said.append(f"A classifier on the {spec.classifier.pooling} state, for {told}.")
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
