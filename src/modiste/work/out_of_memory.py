"""A trainer that runs out of memory begins anew with less of it, and says so.

Fewer samples computed at once, then activations computed twice: losses stay the same but for
rounding, so the run continues from its last checkpoint. It begins anew as a fresh program
(`StartAgain`), as what a failed attempt leaves behind, in pieces, may be as much as it lacked.
Where nothing is left to save, the error names what would be. The kernel kills without asking: then
the worker leaves a note (`note_kill`) and the next trainer begins with less. Several processes that
train together are not retried: they have to agree on everything.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from modiste.errors import TuningFailed
from modiste.nn.base import BaseInfo
from modiste.tune import fits
from modiste.tune.events import Event, Warned
from modiste.tune.memory import MICROBATCH_TOKENS, Load
from modiste.tune.spec import TuneSpec

if TYPE_CHECKING:
    from modiste.tune.machine import Machine

log = logging.getLogger(__name__)
NOTE = "killed-out-of-memory"
CODE = "out_of_memory"
T = TypeVar("T")


class StartAgain(Exception):
    """The run's machine was made smaller; this process has nothing to add."""


def note_kill(run_dir: Path) -> None:
    """The kernel killed the trainer of this run, because memory ran out."""
    (run_dir / NOTE).touch()


def with_less(
    train: Callable[[Machine, Callable[[Event], None]], T],
    machine: Machine,
    *,
    spec: TuneSpec,
    info: BaseInfo,
    run_dir: Path,
    on_event: Callable[[Event], None],
) -> T:
    """What `train` returns.

    Raises:
        StartAgain: memory ran out, and the next attempt has a machine that needs less.
        TuningFailed: what `train` raises; out of memory says what to change.
    """
    step = 0

    def hear(event: Event) -> None:
        nonlocal step
        step = getattr(event, "step", None) or step
        on_event(event)

    if (run_dir / NOTE).exists():
        machine = _smaller(machine, spec, run_dir) or machine
        (run_dir / NOTE).unlink()
        hear(Warned(0, CODE, f"The machine ran out of memory. {_how(machine, spec)}"))
    try:
        return train(machine, hear)
    except TuningFailed as error:
        if error.error_code != CODE:
            raise
        log.warning("%s", error.message)
        less = _smaller(machine, spec, run_dir)
        if less is None:
            raise TuningFailed(_nothing_left(machine, spec, info), code=CODE) from error
        hear(Warned(step, CODE, f"Memory ran out behind step {step}. {_how(less, spec)}"))
        raise StartAgain from error


def advice(
    spec: TuneSpec, info: BaseInfo, *, device: str, at_once: int | None, recompute: bool
) -> str:
    """What happened and which field makes it fit, in numbers. Needs no torch."""
    load = Load(spec.max_length or 0, (spec.max_length or 0) * (spec.batch_size or 1))
    twice = recompute or spec.gradient_checkpointing is True
    at_once = at_once or spec.microbatch_tokens or MICROBATCH_TOKENS[device]
    tried = spec.model_copy(update={"microbatch_tokens": at_once, "gradient_checkpointing": twice})
    return (
        f"Memory ran out, with samples computed together up to {at_once} tokens"
        f"{' and gradient checkpointing' if twice else ''}. "
        f"{fits.savings(tried, info, load, device=device)} Or free memory on this machine, which "
        "other programs use too."
    )


def advice_of_run(spec: TuneSpec, info: BaseInfo, run_dir: Path) -> str:
    """The same, of a run whose trainer is gone."""
    try:
        machine = json.loads((run_dir / "machine.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        machine = {}
    return advice(
        spec,
        info,
        device=machine.get("device", "cpu"),
        at_once=machine.get("at_once"),
        recompute=machine.get("recompute", False),
    )


def _nothing_left(machine: Machine, spec: TuneSpec, info: BaseInfo) -> str:
    return advice(
        spec,
        info,
        device=machine.device,
        at_once=machine.at_once,
        recompute=machine.recompute,
    )


def _smaller(machine: Machine, spec: TuneSpec, run_dir: Path) -> Machine | None:
    from modiste.tune.machine import keep

    less = machine.less(spec)
    if less is not None:
        keep(run_dir, less)
    return less


def _how(machine: Machine, spec: TuneSpec) -> str:
    twice = ", and their activations twice" if machine.recomputes(spec) else ""
    return (
        f"The run goes on from its last checkpoint; samples are now computed together up to "
        f"{machine.microbatch_tokens} tokens{twice}. Losses stay the same but for rounding."
    )
