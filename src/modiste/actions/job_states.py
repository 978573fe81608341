"""The state machine of a job: which status may follow which, and the one place that moves it.

QUEUED → VALIDATING → VALIDATED → QUEUED → STARTED → RUNNING → SUCCESS, with failures, cancellation
and, while paused, a way back to QUEUED. Every change writes exactly one event, in the same
transaction. A final status is never left, and with it go the job's secrets, and come the notices to
whoever is to be told of the end (`notices`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import sqlalchemy as sa

from modiste.errors import ModisteError
from modiste.store.database import Tx
from modiste.store.notice_tables import NoticeRow
from modiste.store.tables import JobEventRow, JobRow, JobSecretRow
from modiste.types import JobStatus, NoticeStatus

S = JobStatus
NEXT: Mapping[JobStatus, frozenset[JobStatus]] = {
    S.QUEUED: frozenset({S.VALIDATING, S.STARTED, S.CANCELLED, S.FAILED, S.FAILED_VALIDATION}),
    S.VALIDATING: frozenset({S.VALIDATED, S.FAILED_VALIDATION, S.CANCELLATION_REQUESTED}),
    S.VALIDATED: frozenset({S.QUEUED, S.CANCELLED}),
    S.STARTED: frozenset({S.RUNNING, S.QUEUED, S.FAILED, S.CANCELLATION_REQUESTED}),
    S.RUNNING: frozenset({S.SUCCESS, S.QUEUED, S.FAILED, S.CANCELLATION_REQUESTED}),
    S.CANCELLATION_REQUESTED: frozenset({S.CANCELLED}),
    S.FAILED_VALIDATION: frozenset(),
    S.SUCCESS: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}


class WrongMove(ModisteError):
    """A status that cannot follow: a mistake of ours, never of a caller."""

    code = "wrong_move"


def move(tx: Tx, job: JobRow, status: JobStatus, message: str = "", *, level: str = "info") -> None:
    """Set the status and write its event; moving to the present status does nothing."""
    if job.status is status:
        return
    if status not in NEXT[job.status]:
        raise WrongMove(f"job {job.id} is {job.status}, which cannot become {status}")
    job.status = status
    if status.final:
        job.finished_at = tx.now()
        job.queued_for = None
        job.pause_requested = job.paused = False
        tx.session.execute(sa.delete(JobSecretRow).where(JobSecretRow.job_id == job.id))
        _tell(tx, job)
    announce(tx, job, message, level=level)


def announce(tx: Tx, job: JobRow, message: str, *, level: str = "info") -> None:
    """Write the event of the present status."""
    job.modified_at = tx.now()
    tx.session.add(
        JobEventRow(
            id=f"ftevent-{uuid.uuid4().hex}",
            job_id=job.id,
            status=job.status,
            created_at=tx.now(),
            message=message.replace("\x00", "\\0"),  # Quoted from data; no database holds NUL.
            level=level,
        )
    )
    tx.session.flush()


def _tell(tx: Tx, job: JobRow) -> None:
    """One row for each receiver; a front sends them."""
    for channel, target in tx.settings.told:
        tx.session.add(
            NoticeRow(
                id=f"msg_{uuid.uuid4().hex}",
                job_id=job.id,
                channel=channel,
                target=target,
                status=NoticeStatus.WAITING,
                attempts=0,
                due_at=tx.now(),
                created_at=tx.now(),
            )
        )
