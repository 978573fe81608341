"""The plan of a job on the machine that will train it: whether it fits there, how long it takes.

The speed is what was measured on that machine for such a job, by a calibration or by an earlier
job; where nothing was and the job takes minutes, a calibration is asked for. No database here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from modiste.actions import job_checks
from modiste.actions.job_checks import Found
from modiste.settings import Settings
from modiste.tune import room, speeds
from modiste.tune.plan import Plan
from modiste.tune.room import DEFAULT_THREADS, Room
from modiste.tune.spec import TuneSpec
from modiste.tune.speeds import Speeds

WORTH_MEASURING_S = 120.0
"""Of a shorter job the duration is assumed: measuring takes some seconds itself."""
KEPT = "measured on this machine"


class Measure(Protocol):
    """A calibration; takes some seconds. None where it could not be done."""

    def __call__(
        self, made: Plan, base_path: Path, *, mean_tokens: int, threads: int
    ) -> Speeds | None: ...


@dataclass(frozen=True)
class Trainer:
    """The machine that will train."""

    room: Room | None
    """None where it is another machine than this one."""
    threads: int
    speeds_dir: Path
    """What was measured before."""
    measure: Measure | None = None


def trainer_of(settings: Settings, *, measure: Measure | None = None) -> Trainer:
    """This machine, as its settings say it trains."""
    processes = settings.train_processes or 1
    here = None
    if settings.executor != "ray" or settings.ray_address is None:
        here = room.look(settings.runs_dir)
        if settings.executor != "local":  # Both start a process for each GPU.
            processes = settings.train_processes or max(1, here.n_gpus)
        here = replace(here, processes=processes, shard_base=settings.shard_base.value)
    return Trainer(
        room=here,
        threads=settings.train_threads or DEFAULT_THREADS,
        speeds_dir=settings.cache_dir / "speeds",
        measure=measure if processes == 1 else None,
    )


def planned(
    spec: TuneSpec,
    found: Found,
    base_path: Path,
    *,
    trainer: Trainer,
    tokens_per_s: float | None,
    price_micro_per_million_tokens: int,
) -> Plan:
    """What the job will take; `tokens_per_s` is that of the last job on this base."""

    def made(last: float | None, measured: Speeds | None) -> Plan:
        return job_checks.planned(
            spec,
            found,
            tokens_per_s=last,
            measured=measured,
            room=trainer.room,
            price_micro_per_million_tokens=price_micro_per_million_tokens,
        )

    first = made(tokens_per_s, None)
    if trainer.room is None:
        return first
    key = speeds.key(first.spec, found.base, first.load, trainer.room, threads=trainer.threads)
    measured = speeds.recall(trainer.speeds_dir, key)
    takes_minutes = first.duration.total_s > WORTH_MEASURING_S
    if measured is None and trainer.measure and takes_minutes and not first.problems:
        mean = max(1, round(found.n_tokens / max(1, found.n_examples)))
        measured = trainer.measure(first, base_path, mean_tokens=mean, threads=trainer.threads)
        if measured is not None:
            speeds.remember(trainer.speeds_dir, key, replace(measured, rests_on=KEPT))
    plan = first if measured is None else made(None, measured)
    return replace(plan, speed_key=key)
