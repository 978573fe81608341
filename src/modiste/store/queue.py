"""The queue is the `jobs` table: a lease says who works on a job, a fence says since when.

Versions of datasets, batches of requests and runs of suites wait in their own tables under the same
rules; "job" below means all of them.

A worker claims a job for `lease_s` and prolongs the lease while it works. Every claim raises the
job's fence by one, and every write about a job names the fence it was claimed with: a worker that
slept through its lease finds a higher fence and gets LeaseLost, so two workers never write about
one job. SQLite serialises claims by its write lock, PostgreSQL by FOR UPDATE SKIP LOCKED.

A lease is over when its time is up, and at once when its holder provably died: same kernel, same
process namespace, and no process of that pid and start time. That is safe because the trainer dies
with its worker (parent-death signal) and holds a file lock that the next trainer waits for, and
because a write by anyone else is fenced off in any case.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeVar

import psutil
import sqlalchemy as sa

from modiste.errors import LeaseLost
from modiste.store.batch_tables import BatchRow
from modiste.store.data_tables import DatasetVersionRow
from modiste.store.database import Tx
from modiste.store.eval_tables import EvalRunRow
from modiste.store.tables import JobRow, Leased, Phase, WorkerRow
from modiste.types import JobStatus

L = TypeVar("L", bound=Leased)
TABLES: Mapping[type[Leased], frozenset[Phase]] = {
    JobRow: frozenset({Phase.VALIDATE, Phase.TRAIN}),
    DatasetVersionRow: frozenset({Phase.CURATE}),
    BatchRow: frozenset({Phase.BATCH}),
    EvalRunRow: frozenset({Phase.EVALUATE}),
}
MAX_ATTEMPTS = 5
"""Claims without progress after which a job is given up: it kills whoever touches it."""


@dataclass(frozen=True)
class WorkerId:
    """One worker process, so precisely that a later process cannot be taken for it."""

    id: str
    host: str
    pid: int
    pid_started: float

    @staticmethod
    def of_this_process(name: str = "") -> WorkerId:
        pid, started = os.getpid(), psutil.Process().create_time()
        label = name or f"{socket.gethostname()[:60]}-{pid}-{int(started)}"
        return WorkerId(label, this_host(), pid, started)


@dataclass(frozen=True)
class Claim:
    """The right to work on one job until somebody claims it with a higher fence."""

    job_id: str
    fence: int
    worker_id: str
    phase: Phase
    taken_over: bool
    """True when an earlier claim ended without saying so."""


def claim(tx: Tx, worker: WorkerId, phases: Collection[Phase] = tuple(Phase)) -> Claim | None:
    """The job that waits longest and that nobody holds, now held by `worker`."""
    row = _free(tx, worker, phases)
    if row is None or row.queued_for is None:
        return None
    taken_over = row.lease_worker is not None
    row.fence += 1
    row.attempts += 1
    row.lease_worker, row.lease_host = worker.id, worker.host
    row.lease_pid, row.lease_pid_started = worker.pid, worker.pid_started
    row.lease_expires_at = tx.now() + timedelta(seconds=tx.settings.lease_s)
    tx.session.flush()
    return Claim(row.id, row.fence, worker.id, row.queued_for, taken_over)


def waiting(tx: Tx, worker: WorkerId, phases: Collection[Phase] = tuple(Phase)) -> bool:
    """Whether `claim` would find a job. For a reading transaction: polling keeps nobody waiting."""
    return _free(tx, worker, phases) is not None


def _free(tx: Tx, worker: WorkerId, phases: Collection[Phase]) -> Leased | None:
    found = [
        row
        for table, of_table in TABLES.items()
        if (wanted := of_table & frozenset(phases))
        and (row := _free_in(tx, worker, table, wanted)) is not None
    ]
    return min(found, key=lambda row: row.queued_at, default=None)


def _free_in(tx: Tx, worker: WorkerId, table: type[L], phases: Collection[Phase]) -> L | None:
    queued = (
        sa.select(table)
        .where(table.queued_for.in_(list(phases)))
        .order_by(table.queued_at, table.seq)
        .with_for_update(skip_locked=True)
    )
    if issubclass(table, JobRow):
        cancelled = table.status == JobStatus.CANCELLATION_REQUESTED
        queued = queued.where(sa.or_(table.paused.is_(False), cancelled))
    over = sa.or_(table.lease_expires_at.is_(None), table.lease_expires_at <= tx.now())
    row = tx.session.scalar(queued.where(over).limit(1))
    if row is not None:
        return row
    held_here = tx.session.scalars(queued.where(table.lease_host == worker.host))
    return next((job for job in held_here if _holder_died(job)), None)


def held(tx: Tx, claim: Claim) -> JobRow:
    """The job's row, locked, if the claim still stands. Every write about a job begins here.

    Raises:
        LeaseLost: somebody else claimed the job, or it was taken out of the queue.
    """
    return _held_in(tx, claim, JobRow)


def held_version(tx: Tx, claim: Claim) -> DatasetVersionRow:
    """The same for a version of a dataset."""
    return _held_in(tx, claim, DatasetVersionRow)


def held_batch(tx: Tx, claim: Claim) -> BatchRow:
    """The same for a batch."""
    return _held_in(tx, claim, BatchRow)


def held_eval(tx: Tx, claim: Claim) -> EvalRunRow:
    """The same for a run of a suite."""
    return _held_in(tx, claim, EvalRunRow)


def _held_in(tx: Tx, claim: Claim, table: type[L]) -> L:
    row = tx.session.scalar(
        sa.select(table)
        .where(table.id == claim.job_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None or row.fence != claim.fence or row.lease_worker != claim.worker_id:
        now = f"fence {row.fence}, held by {row.lease_worker or 'nobody'}" if row else "gone"
        raise LeaseLost(
            f"Job {claim.job_id} was claimed with fence {claim.fence} and is now {now}: "
            "stop working on it."
        )
    return row


def _any_held(tx: Tx, claim: Claim) -> Leased:
    table = next(table for table, phases in TABLES.items() if claim.phase in phases)
    return _held_in(tx, claim, table)


def heartbeat(tx: Tx, claim: Claim) -> Leased:
    """Prolong the lease. An expired lease nobody took is simply prolonged."""
    row = _any_held(tx, claim)
    row.lease_expires_at = tx.now() + timedelta(seconds=tx.settings.lease_s)
    return row


def release(tx: Tx, claim: Claim) -> None:
    """Give the job back as it is: whoever claims next goes on with it."""
    row = _any_held(tx, claim)
    row.attempts = max(0, row.attempts - 1)
    drop(row)


def drop(row: Leased) -> None:
    """Nobody holds this job any more; a late write of the former holder is LeaseLost."""
    row.lease_worker = row.lease_host = row.lease_pid = row.lease_pid_started = None
    row.lease_expires_at = None


def worker_seen(tx: Tx, worker: WorkerId, *, job_id: str | None = None) -> None:
    """Note that this worker lives."""
    row = tx.session.get(WorkerRow, worker.id)
    if row is None:
        row = WorkerRow(
            id=worker.id, host=worker.host, pid=worker.pid, started_at=tx.now(), job_id=job_id
        )
        tx.session.add(row)
    row.heartbeat_at, row.job_id = tx.now(), job_id
    long_gone = tx.now() - timedelta(days=1)
    tx.session.execute(sa.delete(WorkerRow).where(WorkerRow.heartbeat_at < long_gone))


def worker_gone(tx: Tx, worker: WorkerId) -> None:
    tx.session.execute(sa.delete(WorkerRow).where(WorkerRow.id == worker.id))


def living_workers(tx: Tx) -> tuple[WorkerRow, ...]:
    """Workers that spoke within the length of a lease."""
    since = tx.now() - timedelta(seconds=tx.settings.lease_s)
    rows = tx.session.scalars(sa.select(WorkerRow).where(WorkerRow.heartbeat_at >= since))
    return tuple(row for row in rows if row.host != this_host() or _lives(row.pid))


@cache
def this_host() -> str:
    """Names one process table: kernel boot and, where there are such, process namespace.

    A host name alone would take a container's dead pid for that of a living one next door.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    booted = boot.read_text().strip() if boot.exists() else str(int(psutil.boot_time()))
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()[:60]}/{booted}/{namespace}"


def _holder_died(row: Leased) -> bool:
    if row.lease_pid is None or row.lease_pid_started is None:
        return False
    return not _lives(row.lease_pid, row.lease_pid_started)


def _lives(pid: int, started: float | None = None) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Start times are rounded to clock ticks; a pid is not used again within a second.
        return started is None or abs(process.create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
