"""A trainer that is one of several processes: who speaks, and whose failure becomes everybody's.

The first process (rank 0) holds the run's lock and writes all files and events. What another one
has to say is that it failed: it leaves its words in the run's folder and goes; the first notices
the lost connection, finds them and says them as its own. A process killed without a word leaves
none: the first ends with EXIT_LOST, and the run goes on from its last checkpoint when whoever
started it starts it again.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modiste.errors import InvalidInput, ModisteError, ProcessLost
from modiste.settings import Sharding

if TYPE_CHECKING:
    from modiste.nn.base import BaseInfo
    from modiste.tune.group import Group
    from modiste.tune.machine import Machine
    from modiste.tune.spec import TuneSpec

log = logging.getLogger("modiste.trainer")

EXIT_LOST = 76
"""EX_PROTOCOL of sysexits.h: the others are gone."""
HEARD_WITHIN_S = 5.0
LOOK_S = 0.05


class Words(NamedTuple):
    code: str
    message: str


class NoSignals:
    """Of several processes none is cancelled by a signal: the file `cancel` reaches all of them."""

    received = False


def several() -> bool:
    """Whether this process was started as one of several, by torchrun or by Ray Train."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    return int(os.environ.get("RANK", "0")) if several() else 0


def join() -> Group:
    """Everybody that trains this run. Imports torch."""
    from modiste.tune.group import Alone

    if not several():
        return Alone()
    from modiste.tune.processes import joined

    return joined()


def machine_of(
    group: Group,
    run_dir: Path,
    info: BaseInfo,
    *,
    threads: int | None = None,
    spec: TuneSpec | None = None,
) -> Machine:
    """The same for all processes: the first one's notes of it, or its choice."""
    from modiste.tune.machine import Machine, for_run

    mine = for_run(run_dir, info, threads=_each(threads), spec=spec) if group.speaks else None
    return Machine(**group.agree(asdict(mine) if mine else {}))


def _each(threads: int | None) -> int | None:
    """Torch threads of one of several processes on a machine, which share its cores."""
    from modiste.tune.machine import DEFAULT_THREADS

    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if threads is not None or beside == 1:
        return threads
    return max(1, min(DEFAULT_THREADS, (os.cpu_count() or 1) // beside))


def spreads(group: Group, wanted: str, *, spec: TuneSpec, info: BaseInfo, machine: Machine) -> bool:
    """Whether the processes of a group share out the base's weights too, not the samples alone.

    Raises:
        InvalidInput: it is wanted, and the method cannot.
    """
    from modiste.nn.sharded import fits_beside
    from modiste.tune.memory import SHARE_OF_A_GPU
    from modiste.tune.spec import Method

    if group.size == 1 or wanted == Sharding.NEVER:
        return False
    if wanted == Sharding.ALWAYS and spec.method is not Method.LORA:
        raise InvalidInput(
            f"shard_base: a base that learns with {spec.method} cannot be spread over processes; "
            "use method lora, or set MODISTE_SHARD_BASE=never"
        )
    if wanted == Sharding.ALWAYS:
        return True
    if machine.device == "cpu" or spec.method is not Method.LORA:
        return False
    return group.agree(not fits_beside(info.n_parameters, share=SHARE_OF_A_GPU))


def follow(run_dir: Path, train: Callable[[], object]) -> int:
    """Train as one of those that do not speak. Rank 0 decides how the run ended."""
    path = _words_file(run_dir, rank())
    path.unlink(missing_ok=True)
    try:
        train()
    except ProcessLost as error:
        log.warning("process %d: %s", rank(), error.message)
    except Exception as error:  # This process's edge: it records.
        log.exception("process %d failed", rank())
        _leave_words(path, error)
    return 0


def words_of_others(run_dir: Path, *, size: int | None = None) -> Words | None:
    """Why another process gave up, if one of them said so. Waits for it a moment."""
    n_processes = size or os.environ.get("WORLD_SIZE", "?")
    deadline = time.monotonic() + HEARD_WITHIN_S / 2
    while time.monotonic() < deadline:
        for path in sorted(run_dir.glob("gave-up-*.json")):
            number = path.stem.rpartition("-")[2]
            said = json.loads(path.read_text(encoding="utf-8"))
            path.unlink()
            return Words(said["code"], f"{said['message']} (process {number} of {n_processes})")
        time.sleep(LOOK_S)
    return None


def unheard(run_dir: Path) -> bool:
    """Whether this process left words that rank 0 does not find within a moment."""
    path, deadline = _words_file(run_dir, rank()), time.monotonic() + HEARD_WITHIN_S
    while path.exists() and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return path.exists()


def forget_words(run_dir: Path) -> None:
    """Of processes of an earlier attempt, before any process of a new one starts."""
    for path in run_dir.glob("gave-up-*.json"):
        path.unlink()


def _leave_words(path: Path, error: Exception) -> None:
    """Before rank 0 notices that this process is gone."""
    from modiste.tune.processes import leave

    if isinstance(error, ModisteError):
        said = Words(error.error_code, error.message)
    else:
        said = Words("internal", f"the trainer failed: {type(error).__name__}: {error}")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(said._asdict()), encoding="utf-8")
    partial.replace(path)
    leave()


def _words_file(run_dir: Path, number: int) -> Path:
    return run_dir / f"gave-up-{number}.json"
