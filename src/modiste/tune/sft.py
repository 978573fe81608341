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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modiste.tune import best, gauges, resume, watch
from modiste.tune.events import (
    Checkpointed,
    Evaluated,
    Event,
    Preparing,
    Resumed,
    Started,
    Step,
    StoppedEarly,
    Warned,
)
from modiste.tune.gauges import Heartbeat, Pace
from modiste.tune.group import Alone, Group, Round, check_same_run, rounds
from modiste.tune.lanes import Lanes
from modiste.tune.machine import Machine, memory_explained
from modiste.tune.mixture import Pack, Sample, Samples, Source
from modiste.tune.objective import summed
from modiste.tune.outset import Outset, begin
from modiste.tune.resume import Counters
from modiste.tune.schedule import learning_rate
from modiste.tune.spec import TuneSpec
from modiste.tune.tuned import Tuned, evaluate
from modiste.tune.watch import LossWatch, Suspect
from modiste.tune.worst import Worst, losses_of, worst


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
    worst: list[Worst]
    """In the process that speaks."""
    kept_step: int
    """Whose weights these are."""


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
    group = group or Alone()
    machine.use()
    with memory_explained(spec):
        begun = begin(
            spec,
            base_path,
            sources=sources,
            validation=validation,
            machine=machine,
            sharded=group.lockstep,
        )
        run = _Run(begun, validation, machine, group, run_dir)
        stop = run.prepare(on_event, should_stop)
        if stop is not None:
            return Stopped(stop, 0)
        on_event(run.started())
        if run.counters.step:
            on_event(Resumed(step=run.counters.step))
            run.say_checkpoint_again(on_event)
        elif len(validation):
            run.evaluate_base(on_event)
        for packs in run.mixture.steps(first=run.counters.step + 1):
            if run.ended:
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
        run.lanes.close()
        run.settle_on_the_best(on_event)
        result_dir = run.save_result()
        found = run.worst(on_event)
        kept = run.kept_step
    return Done(result_dir, run.tuned, run.counters, found, kept)


@dataclass
class _Run:
    """What the steps of the recipe share."""

    outset: Outset
    validation: Samples
    machine: Machine
    group: Group
    run_dir: Path

    def __post_init__(self) -> None:
        begun = self.outset
        self.spec, self.base, self.belongs_to = begun.spec, begun.base, begun.belongs_to
        self.mixture, self.units, self.targets = begun.mixture, begun.units, begun.targets
        self.tuned, self.objective, self.optimizer = begun.tuned, begun.objective, begun.optimizer
        # Processes that share a base must ask for its parts in one order.
        n_lanes = 1 if self.group.lockstep else self.machine.lanes
        self.lanes = Lanes[Round](
            n_lanes, self.tuned.learned.flat, threads=self.machine.threads, alone=self._fills
        )
        self.total_steps = cast(int, self.spec.max_steps)
        self.checkpoint_steps = cast(int, self.spec.checkpoint_steps)
        self.eval_steps = cast(int, self.spec.eval_steps)
        self.counters = Counters()
        self.saved_step = 0  # of the newest checkpoint on disk
        self.pace = Pace()
        self.watch = LossWatch(self.spec.learning_rate, keeps_best=best.keeps_best(self.spec))

    @property
    def ended(self) -> bool:
        return self.counters.step == self.total_steps or self.counters.stopped_early

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
            if time.monotonic() - told > gauges.HEARTBEAT_S:
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

    @property
    def kept_step(self) -> int:
        counters = self.counters
        if not best.keeps_best(self.spec) or counters.best_step is None:
            return counters.step
        return counters.best_step

    def due(self, every: int) -> bool:
        return self.counters.step % every == 0 or self.ended

    def learn(
        self,
        packs: Sequence[Pack],
        on_event: Callable[[Event], None],
        should_stop: Callable[[], Stop | None],
    ) -> bool:
        """One step; False when it was cancelled half way, with nothing changed."""
        began, alive = time.monotonic(), Heartbeat(on_event)
        step = self.counters.step + 1
        n_tokens = sum(int(self._lengths(p.source)[list(p.samples)].sum()) for p in packs)
        n_units = sum(int(self.units[p.source][list(p.samples)].sum()) for p in packs)
        self.tuned.learned.zero_grad()

        def compute(number: int, batch: Round) -> tuple[float, Mapping[str, float]]:
            with self.tuned.learned.training(step, self.group.rank, number):
                loss, sums = self.objective.loss(batch.batch)
                (loss * batch.counts / n_units).backward()  # type: ignore[no-untyped-call]
            return (loss.item(), sums) if batch.counts else (0.0, {})

        total = 0.0
        measures = dict.fromkeys(self.objective.measures, 0.0)
        with closing(self.lanes.each(self._batches(packs), compute)) as computed:
            for number, (loss, sums) in enumerate(computed):
                total += loss
                measures = summed([measures, sums])
                alive(f"step {step}, batches", number + 1, 0)
                # Alone only: processes that cannot ask each other here must all reach the sum below
                if self.group.size == 1 and should_stop() is Stop.CANCEL:
                    return False
        self.group.sum_(cast(Tensor, self.tuned.learned.flat.grad))
        total, *sums_of_all = self.group.total(total, *measures.values())
        measures = dict(zip(measures, sums_of_all, strict=True))
        rate = learning_rate(self.spec, step, self.total_steps)
        norm = self._update(total / n_units, rate, step, packs)
        n_trained = sum(int(self.targets[p.source][list(p.samples)].sum()) for p in packs)
        self._count(step, total, n_units, n_tokens, n_trained)
        self.pace.add(time.monotonic() - began, n_tokens, n_trained)
        means = {name: value / n_units for name, value in measures.items()}
        on_event(replace(self._step_event(total / n_units, rate, norm), measures=means))
        self._warn(self.watch.step(step, total / n_units), on_event)
        return True

    def _drawn(self, packs: Sequence[Pack]) -> list[Sample]:
        return [self.mixture.sources[p.source].samples[i] for p in packs for i in p.samples]

    def _batches(self, packs: Sequence[Pack]) -> Iterator[Round]:
        """This process's share of the step."""
        drawn = self._drawn(packs)
        mine = self.objective.batches(self.group.share(drawn, [len(s.ids) for s in drawn]))
        return rounds(self.group, mine, idle=lambda: self.objective.batches(drawn[:1]))

    def _fills(self, batch: Round) -> bool:
        """Whether it leaves no room for another beside it."""
        return self.machine.is_filled_by(self.objective.n_tokens(batch.batch))

    def _lengths(self, source: int) -> NDArray[np.int64]:
        return self.mixture.sources[source].samples.lengths

    def evaluate(self, on_event: Callable[[Event], None]) -> None:
        """What it says decides about the best weights and an early end, so it is in the counters
        before it is said."""
        found = self._evaluated(on_event)
        loss, accuracy = found.valid_loss, found.valid_token_accuracy
        self.counters = replace(self.counters, valid_loss=loss, valid_token_accuracy=accuracy)
        self.counters = best.judged(self.counters, self.spec, loss)
        is_best = self.counters.best_step == self.counters.step
        if is_best and best.keeps_best(self.spec) and self.group.speaks:
            best.keep(self.run_dir / "best", self.counters.step, self.tuned.learned.flat)
        on_event(found)
        self._warn(self.watch.evaluation(self.counters.step, loss), on_event)

    def evaluate_base(self, on_event: Callable[[Event], None]) -> None:
        """What the model can before it learned anything: no candidate for the best."""
        found = self._evaluated(on_event)
        self.counters = replace(self.counters, base_valid_loss=found.valid_loss)
        on_event(found)

    def _evaluated(self, on_event: Callable[[Event], None]) -> Evaluated:
        """Means over all units of the validation files."""
        alive = Heartbeat(on_event)
        measured = evaluate(
            self.objective,
            self.validation,
            group=self.group,
            lanes=self.lanes,
            tell=lambda done, n: alive("evaluation", done, n),
        )
        correct = measured.n_correct
        return Evaluated(
            self.counters.step,
            measured.nll / measured.n,
            None if correct is None else correct / measured.n,
            measured.n,
            {name: value / measured.n for name, value in measured.measures.items()},
        )

    def _warn(self, warned: Warned | None, on_event: Callable[[Event], None]) -> None:
        if warned is not None:
            on_event(warned)

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
        known = [about.get("best_step") for about in resume.saved(self.run_dir / "checkpoints")]
        best.forget(self.run_dir / "best", but=known)

    def restore(self, state: resume.State) -> None:
        resume.put_back(state.tensors, self.tuned.learned.flat, self.optimizer)
        self.counters = state.counters
        self.saved_step = state.counters.step

    def settle_on_the_best(self, on_event: Callable[[Event], None]) -> None:
        """The weights that are kept from here on, where they are not those of the last step."""
        counters = self.counters
        step, loss, base = counters.best_step, counters.best_loss, counters.base_valid_loss
        if step is None or loss is None:
            return
        if counters.stopped_early:
            on_event(StoppedEarly(counters.step, step, loss))
        if base is not None and loss >= base:
            text = (
                f"no evaluation was better than the base itself: {loss:.3f} at best, {base:.3f} "
                "before the first step; lower learning_rate, or look at the data"
            )
            on_event(Warned(counters.step, "not_better_than_base", text))
        if self.kept_step != counters.step and self.group.speaks:
            best.put_back(self.run_dir / "best", self.kept_step, self.tuned.learned.flat)

    def worst(self, on_event: Callable[[Event], None]) -> list[Worst]:
        """Where the base is spread over processes, all must compute it."""
        if not (self.group.speaks or self.group.lockstep):
            return []
        return worst(
            self.objective,
            self.mixture.sources,
            self.validation,
            n_tokens=self.counters.n_tokens,
            seed=self.spec.seed,
            tell=Heartbeat(on_event),
        )

    def save_result(self) -> Path:
        folder = self.run_dir / "adapter"
        if not self.group.speaks:
            return folder
        try:
            self.tuned.learned.save(folder, base=self.spec.model)
        except OSError as error:
            raise resume.cannot_write(error, "the adapter", folder) from error
        return folder

    def _update(self, loss: float, rate: float, step: int, packs: Sequence[Pack]) -> float:
        """Clip, check, move; the gradient's norm before clipping."""
        gradient = cast(Tensor, self.tuned.learned.flat.grad)
        norm = float(torch.linalg.vector_norm(gradient))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise watch.not_finite(
                step=step,
                loss=loss,
                norm=norm,
                rate=rate,
                asked_rate=self.spec.learning_rate,
                suspects=self._suspects(packs),
            )
        if norm > self.spec.max_grad_norm:
            gradient.mul_(self.spec.max_grad_norm / norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        learned = self.tuned.learned
        with torch.no_grad():  # AdamW's own decay would reach lengths and norms too
            learned.flat[: learned.n_decayed].mul_(1 - rate * self.spec.weight_decay)
        self.optimizer.step()
        return norm

    def _suspects(self, packs: Sequence[Pack]) -> list[Suspect]:
        """Samples of a step that alone give no number."""
        if not (self.group.speaks or self.group.lockstep):
            return []
        names = [
            str(source.samples.origin(i) or f"{source.name} sample {i + 1}")
            for p in packs
            for source in [self.mixture.sources[p.source]]
            for i in p.samples
        ]
        losses = [loss for loss, _ in losses_of(self.objective, self._drawn(packs))]
        found = [Suspect(name, loss) for name, loss in zip(names, losses, strict=True)]
        return [suspect for suspect in found if not math.isfinite(suspect.loss)]

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
        speed, memory = self.pace.speed, gauges.memory(self.machine.device)
        return Step(
            step=self.counters.step,
            total_steps=self.total_steps,
            loss=loss,
            learning_rate=rate,
            grad_norm=norm,
            n_tokens=self.counters.n_tokens,
            n_trained_tokens=self.counters.n_trained_tokens,
            tokens_per_s=speed.tokens_per_s,
            trained_tokens_per_s=speed.trained_tokens_per_s,
            eta_s=(self.total_steps - self.counters.step) * speed.step_s,
            epoch=self.counters.n_tokens / self.mixture.n_tokens,
            memory_bytes=memory.resident_bytes,
            peak_memory_bytes=memory.peak_resident_bytes,
            gpu_memory_bytes=memory.gpu_bytes,
            peak_gpu_memory_bytes=memory.peak_gpu_bytes,
            mfu=gauges.mfu(self.spec, self.base, self.machine.device, speed.tokens_per_s),
        )
