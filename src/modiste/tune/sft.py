"""Supervised fine-tuning with LoRA: the recipe, top to bottom.

It gets a spec, tokenised samples and a folder, and knows no users, files or database. Each step
trains on whole samples, its loss averaged over the trained tokens of the whole step. Everything it
says goes through `on_event`; everything that must survive is in a checkpoint before it is said.
Killed at any moment and started again with the same arguments, it ends with the same losses and, on
a CPU, the same bytes of adapter as if nothing had happened.

It refuses, as TuningFailed: nothing to train on, samples longer than a sequence, a loss that is not
a number, a full disk, too little memory.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modiste.errors import TuningFailed
from modiste.nn.base import Layout, describe_base, safetensors_header, weight_files
from modiste.tune import resume
from modiste.tune.events import (
    Checkpointed,
    Evaluated,
    Event,
    Preparing,
    Resumed,
    Started,
    Step,
)
from modiste.tune.group import Alone, Group, Round, check_same_run, rounds
from modiste.tune.machine import Machine, memory_explained
from modiste.tune.mixture import Mixture, Pack, Samples, Source
from modiste.tune.objective import NextToken, Objective, summed
from modiste.tune.plan import plan
from modiste.tune.preference import Preference
from modiste.tune.resume import Counters
from modiste.tune.spec import Objective as Wanted
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned, evaluate, load

BETAS = (0.9, 0.95)
EPSILON = 1e-8
SPEED_WINDOW_STEPS = 20
PREPARING_S = 5.0
"""Between words about a preparation; a trainer that says nothing for long is taken for stuck."""


class Stop(StrEnum):
    """Why a run should end before its last step."""

    CANCEL = "cancel"
    PAUSE = "pause"


class _Interrupted(Exception):
    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self.stop = stop


class Done(NamedTuple):
    result_dir: Path
    tuned: Tuned
    counters: Counters


class Stopped(NamedTuple):
    """Cancelled (nothing was saved) or paused (a checkpoint of `step` was)."""

    stop: Stop
    step: int


def finetune(
    spec: TuneSpec,
    base_path: Path,
    *,
    sources: Sequence[Source],
    validation: Samples,
    run_dir: Path,
    machine: Machine,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], Stop | None] = lambda: None,
    group: Group | None = None,
) -> Done | Stopped:
    """Train adapters for `base_path` and leave them in `run_dir/adapter` in PEFT layout.

    Raises:
        TuningFailed: with a stable code and a message that says what to do.
        InvalidInput: the base cannot be loaded, or the spec names layers it does not have.
    """
    machine.use()
    with memory_explained(spec):
        run = _begin(spec, base_path, sources, validation, run_dir, machine, group or Alone())
        stop = run.prepare(on_event, should_stop)
        if stop is not None:
            return Stopped(stop, 0)
        on_event(run.started())
        if run.counters.step:
            on_event(Resumed(step=run.counters.step))
            run.say_checkpoint_again(on_event)
        for packs in run.mixture.steps(first=run.counters.step + 1):
            if run.counters.step == run.total_steps:
                break
            wish = run.group.agree(should_stop())
            stop = None if wish is None else Stop(wish)
            if stop is Stop.PAUSE:
                run.save_checkpoint()
                return Stopped(stop, run.counters.step)
            if stop is Stop.CANCEL or not run.learn(packs, on_event, should_stop):
                return Stopped(Stop.CANCEL, run.counters.step)
            if run.due(run.eval_steps) and len(validation):
                run.evaluate(on_event)
            if run.due(run.checkpoint_steps):
                run.checkpoint(on_event)
        result_dir = run.save_result()
    return Done(result_dir, run.tuned, run.counters)


def learning_rate(spec: TuneSpec, step: int, total_steps: int) -> float:
    """Linear warm-up, then half a cosine down to just above zero; steps count from 1."""
    warmup = round(spec.warmup_ratio * total_steps)
    if step <= warmup:
        return spec.learning_rate * step / warmup
    done = (step - 1 - warmup) / max(1, total_steps - warmup)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


@dataclass
class _Run:
    """What the steps of the recipe share."""

    spec: TuneSpec
    mixture: Mixture
    validation: Samples
    tuned: Tuned
    objective: Objective
    units: tuple[NDArray[np.int64], ...]
    """Of each source's samples."""
    targets: tuple[NDArray[np.int64], ...]
    """Trained tokens of each source's samples."""
    optimizer: torch.optim.AdamW
    counters: Counters
    machine: Machine
    group: Group
    run_dir: Path
    belongs_to: str
    saved_step: int
    """Of the newest checkpoint on disk."""

    def __post_init__(self) -> None:
        self.total_steps = cast(int, self.spec.max_steps)
        self.checkpoint_steps = cast(int, self.spec.checkpoint_steps)
        self.eval_steps = cast(int, self.spec.eval_steps)
        self.pace: deque[tuple[float, int, int]] = deque(maxlen=SPEED_WINDOW_STEPS)

    def started(self) -> Started:
        return Started(
            total_steps=self.total_steps,
            batch_size=self.mixture.batch_size,
            max_length=cast(int, self.spec.max_length),
            n_samples=sum(len(source.samples) for source in self.mixture.sources),
            n_unused_samples=self.mixture.n_unused,
            data_tokens=self.mixture.n_tokens,
            n_validation_samples=len(self.validation),
            device=self.machine.device,
            dtype=self.machine.dtype,
            threads=self.machine.threads,
            packed=self.tuned.scorer.packs,
        )

    def prepare(
        self, on_event: Callable[[Event], None], should_stop: Callable[[], Stop | None]
    ) -> Stop | None:
        """What the objective needs to know of the model as it is now; then the last checkpoint."""
        told = time.monotonic()

        def tell(n_done: int, n_samples: int) -> None:
            nonlocal told
            stop = should_stop() if self.group.size == 1 else None
            if stop is not None:
                raise _Interrupted(stop)
            if time.monotonic() - told > PREPARING_S:
                on_event(Preparing(n_done, n_samples))
                told = time.monotonic()

        data = [*(source.samples for source in self.mixture.sources), self.validation]
        try:
            self.objective.prepare(
                data,
                run_dir=self.run_dir,
                belongs_to=self.belongs_to,
                group=self.group,
                tell=tell,
            )
        except _Interrupted as end:
            return end.stop
        state = resume.load_checkpoint(self.run_dir / "checkpoints", belongs_to=self.belongs_to)
        check_same_run(self.group, self.belongs_to, step=state.counters.step if state else 0)
        if state is not None:
            self.restore(state)
        return None

    def due(self, every: int) -> bool:
        return self.counters.step % every == 0 or self.counters.step == self.total_steps

    def learn(
        self,
        packs: Sequence[Pack],
        on_event: Callable[[Event], None],
        should_stop: Callable[[], Stop | None],
    ) -> bool:
        """One step; False when it was cancelled half way, with nothing changed."""
        began = time.monotonic()
        step = self.counters.step + 1
        n_tokens = sum(int(self._lengths(p.source)[list(p.samples)].sum()) for p in packs)
        n_units = sum(int(self.units[p.source][list(p.samples)].sum()) for p in packs)
        self.tuned.learned.zero_grad()
        total = 0.0
        measures = dict.fromkeys(self.objective.measures, 0.0)
        for batch, counts in self._batches(packs):
            # Alone only: processes that cannot ask each other here must all reach the sum below.
            if self.group.size == 1 and should_stop() is Stop.CANCEL:
                return False
            loss, sums = self.objective.loss(batch)
            (loss / n_units).backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            measures = summed([measures, sums]) if counts else measures
        self.group.sum_(cast(Tensor, self.tuned.learned.flat.grad))
        total, *sums_of_all = self.group.total(total, *measures.values())
        measures = dict(zip(measures, sums_of_all, strict=True))
        rate = learning_rate(self.spec, step, self.total_steps)
        norm = self._update(total / n_units, rate, step)
        n_trained = sum(int(self.targets[p.source][list(p.samples)].sum()) for p in packs)
        self._count(step, total, n_units, n_tokens, n_trained)
        self.pace.append((time.monotonic() - began, n_tokens, n_trained))
        means = {name: value / n_units for name, value in measures.items()}
        on_event(replace(self._step_event(total / n_units, rate, norm), measures=means))
        return True

    def _batches(self, packs: Sequence[Pack]) -> Iterator[Round]:
        """This process's share of the step."""
        drawn = [self.mixture.sources[p.source].samples[i] for p in packs for i in p.samples]
        mine = self.objective.batches(self.group.share(drawn, [len(s.ids) for s in drawn]))
        return rounds(self.group, mine, idle=lambda: self.objective.batches(drawn[:1]))

    def _lengths(self, source: int) -> NDArray[np.int64]:
        return self.mixture.sources[source].samples.lengths

    def evaluate(self, on_event: Callable[[Event], None]) -> None:
        """Token-weighted mean over the whole validation file."""
        measured = evaluate(self.objective, self.validation, group=self.group)
        loss, correct = measured.nll / measured.n, measured.n_correct
        accuracy = None if correct is None else correct / measured.n
        means = {name: value / measured.n for name, value in measured.measures.items()}
        self.counters = replace(self.counters, valid_loss=loss, valid_token_accuracy=accuracy)
        on_event(Evaluated(self.counters.step, loss, accuracy, measured.n, means))

    def checkpoint(self, on_event: Callable[[Event], None]) -> None:
        """Save first, then say so."""
        counters = self.counters
        self.counters = replace(
            counters,
            train_loss=counters.loss_since / max(1, counters.targets_since),
            loss_since=0.0,
            targets_since=0,
        )
        self.save_checkpoint()
        self.say_checkpoint_again(on_event)

    def say_checkpoint_again(self, on_event: Callable[[Event], None]) -> None:
        """A run killed between saving and saying has the checkpoint, but nobody knows of it."""
        counters = self.counters
        if counters.train_loss is not None and self.due(self.checkpoint_steps):
            on_event(
                Checkpointed(
                    counters.step,
                    counters.train_loss,
                    counters.valid_loss,
                    counters.valid_token_accuracy,
                )
            )

    def save_checkpoint(self) -> None:
        if self.counters.step == self.saved_step:
            return
        if not self.group.speaks:
            self.saved_step = self.counters.step
            return
        tensors = resume.take_out(self.tuned.learned.flat, self.optimizer)
        resume.save_checkpoint(
            self.run_dir / "checkpoints", self.counters, tensors, belongs_to=self.belongs_to
        )
        self.saved_step = self.counters.step

    def restore(self, state: resume.State) -> None:
        resume.put_back(state.tensors, self.tuned.learned.flat, self.optimizer)
        self.counters = state.counters
        self.saved_step = state.counters.step

    def save_result(self) -> Path:
        folder = self.run_dir / "adapter"
        if not self.group.speaks:
            return folder
        try:
            self.tuned.learned.save(folder, base=self.spec.model)
        except OSError as error:
            raise resume.cannot_write(error, "the adapter", folder) from error
        return folder

    def _update(self, loss: float, rate: float, step: int) -> float:
        """Clip, check, move; the gradient's norm before clipping."""
        gradient = cast(Tensor, self.tuned.learned.flat.grad)
        norm = float(torch.linalg.vector_norm(gradient))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TuningFailed(
                f"step {step}: the loss is {loss} and the gradient's norm {norm} at learning rate "
                f"{rate:g}; lower learning_rate (it is {self.spec.learning_rate:g}) and look for "
                "broken samples in the data",
                code="loss_not_finite",
            )
        if norm > self.spec.max_grad_norm:
            gradient.mul_(self.spec.max_grad_norm / norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return norm

    def _count(
        self, step: int, loss_sum: float, n_units: int, n_tokens: int, n_trained: int
    ) -> None:
        self.counters = replace(
            self.counters,
            step=step,
            n_tokens=self.counters.n_tokens + n_tokens,
            n_trained_tokens=self.counters.n_trained_tokens + n_trained,
            loss_since=self.counters.loss_since + loss_sum,
            targets_since=self.counters.targets_since + n_units,
        )

    def _step_event(self, loss: float, rate: float, norm: float) -> Step:
        seconds = max(1e-9, sum(s for s, _, _ in self.pace))
        steps_left = self.total_steps - self.counters.step
        return Step(
            step=self.counters.step,
            total_steps=self.total_steps,
            loss=loss,
            learning_rate=rate,
            grad_norm=norm,
            n_tokens=self.counters.n_tokens,
            n_trained_tokens=self.counters.n_trained_tokens,
            tokens_per_s=sum(n for _, n, _ in self.pace) / seconds,
            trained_tokens_per_s=sum(n for _, _, n in self.pace) / seconds,
            eta_s=steps_left * seconds / len(self.pace),
        )


def _begin(
    spec: TuneSpec,
    base_path: Path,
    sources: Sequence[Source],
    validation: Samples,
    run_dir: Path,
    machine: Machine,
    group: Group,
) -> _Run:
    spec = _completed(spec, base_path, sources)
    belongs_to = _fingerprint(spec, base_path, sources, validation, machine)
    torch.manual_seed(spec.seed)
    tuned = load(spec, base_path, machine)
    wanted = spec.objective or _objective_of(sources)
    objective: Objective = (
        Preference(tuned.scorer, machine, spec.dpo)
        if wanted is Wanted.DPO
        else NextToken(tuned.scorer, machine)
    )
    units = tuple(objective.n_units(source.samples) for source in sources)
    mixture = Mixture(
        sources,
        units=units,
        seed=spec.seed,
        max_length=cast(int, spec.max_length) * objective.conversations,
        batch_size=cast(int, spec.batch_size),
    )
    optimizer = torch.optim.AdamW(
        [tuned.learned.flat],
        lr=spec.learning_rate,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=spec.weight_decay,
        fused=True,
    )
    return _Run(
        spec=spec,
        mixture=mixture,
        validation=validation,
        tuned=tuned,
        objective=objective,
        units=units,
        targets=tuple(source.samples.n_targets() for source in sources),
        optimizer=optimizer,
        counters=Counters(),
        machine=machine,
        group=group,
        run_dir=run_dir,
        belongs_to=belongs_to,
        saved_step=0,
    )


def _objective_of(sources: Sequence[Source]) -> Wanted:
    """What samples are for, where the spec leaves it open."""
    pairs = any(source.samples.has_pairs for source in sources)
    return Wanted.DPO if pairs else Wanted.SFT


def _completed(spec: TuneSpec, base_path: Path, sources: Sequence[Source]) -> TuneSpec:
    """The plan's spec, for callers that come without one."""
    if None not in (spec.max_steps, spec.batch_size, spec.max_length, spec.checkpoint_steps):
        return (
            spec
            if spec.eval_steps
            else spec.model_copy(update={"eval_steps": spec.checkpoint_steps})
        )
    lengths = [length for source in sources for length in source.samples.lengths.tolist()]
    return plan(
        spec,
        n_tokens=sum(lengths),
        n_examples=len(lengths),
        longest=max(lengths, default=0),
        base=describe_base(base_path),
    ).spec


def _fingerprint(
    spec: TuneSpec,
    base_path: Path,
    sources: Sequence[Source],
    validation: Samples,
    machine: Machine,
) -> str:
    """Of all that the numbers depend on; weight files by size and header, as hashing gigabytes
    would cost more than it protects."""
    info = describe_base(base_path)
    files = weight_files(base_path, Layout(info.layout))
    parts: list[object] = [spec.model_dump(mode="json"), str(machine)]
    parts += [[file.stat().st_size, safetensors_header(file)] for file in files]
    for samples in (*(source.samples for source in sources), validation):
        flat = (samples.ids, samples.mask, samples.lengths, samples.splits)
        parts += [array.tobytes() for array in flat]
    return resume.fingerprint_of([source.weight for source in sources], *parts)
