"""Notices: who is told that a job ended, whether that worked, and when it is tried again.

Rows come with the end of a job (`job_states`). Whoever sends them claims them for LEASE_S under a
lease, so that several fronts do not send the same one, and says what became of it. A process that
dies in between leaves a row that is due again: a receiver may hear twice, never not at all. After
the last attempt the row is failed and the job's events say so; the job itself is as it was.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from modiste.actions.job_states import announce
from modiste.actions.keys import require
from modiste.store.database import Tx
from modiste.store.notice_tables import NoticeRow
from modiste.store.tables import JobRow, MetricRow
from modiste.types import Actor, Job, Notice, NoticeChannel, NoticeStatus, Scope

LEASE_S = 180.0
"""Longer than any attempt takes; who is silent for so long has ended."""
RETRY_AFTER_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
"""Pauses between attempts, 16 hours in all."""
MOST_ATTEMPTS = len(RETRY_AFTER_S) + 1
MOST_LISTED = 100
GONE = "The server ended while it was sent."


@dataclass(frozen=True)
class Errand:
    """A notice that its holder has to send, and to `sent` or `failed`."""

    notice: Notice
    lease: str
    job: Job
    valid_loss: float | None
    """The last that was measured."""


def due(tx: Tx) -> bool:
    """Whether there is anything for `claim`."""
    return tx.session.scalar(_due(tx).limit(1)) is not None


def claim(tx: Tx, limit: int) -> tuple[Errand, ...]:
    """Up to `limit` notices to send now, oldest first, on channels that are set here."""
    tx.alone("notices")
    found = []
    for row in tx.session.scalars(_due(tx).order_by(NoticeRow.seq).limit(limit)).all():
        tx.lock(row)
        if row.status is not NoticeStatus.WAITING:
            continue
        job = _job(tx, row)
        if row.attempts >= MOST_ATTEMPTS:
            _give_up(tx, row, job, row.error or GONE)
            continue
        row.attempts += 1
        row.lease = str(uuid.uuid4())
        row.due_at = tx.now() + timedelta(seconds=LEASE_S)
        found.append(Errand(row.noun(), row.lease, job.noun(), _valid_loss(tx, job)))
    return tuple(found)


def sent(tx: Tx, errand: Errand) -> None:
    """The receiver has it, whoever else may be sending it by now."""
    row = _held(tx, errand)
    if row is not None and row.status is NoticeStatus.WAITING:
        row.status, row.ended_at = NoticeStatus.SENT, tx.now()
        row.due_at = row.lease = row.error = None


def failed(tx: Tx, errand: Errand, error: str) -> None:
    """Try again later, or give up. Nothing is written where somebody else sends it by now."""
    row = _held(tx, errand)
    if row is None or row.lease != errand.lease:
        return
    if row.attempts >= MOST_ATTEMPTS:
        _give_up(tx, row, _job(tx, row), error)
        return
    row.error, row.lease = error.replace("\x00", "\\0"), None
    row.due_at = tx.now() + timedelta(seconds=RETRY_AFTER_S[row.attempts - 1])


def list_(tx: Tx, actor: Actor) -> tuple[Notice, ...]:
    """The newest first, MOST_LISTED at most."""
    require(actor, Scope.ADMIN)
    query = (
        sa.select(NoticeRow)
        .join(JobRow, JobRow.id == NoticeRow.job_id)
        .where(JobRow.org == actor.org)
        .order_by(NoticeRow.seq.desc())
        .limit(MOST_LISTED)
    )
    return tuple(row.noun() for row in tx.session.scalars(query))


def _due(tx: Tx) -> sa.Select[NoticeRow]:
    channels = {channel for channel, _ in tx.settings.told}
    return sa.select(NoticeRow).where(
        NoticeRow.due_at <= tx.now(), NoticeRow.channel.in_(sorted(channels))
    )


def _held(tx: Tx, errand: Errand) -> NoticeRow | None:
    row = tx.session.scalar(sa.select(NoticeRow).where(NoticeRow.id == errand.notice.id))
    if row is not None:
        tx.lock(row)
    return row


def _job(tx: Tx, row: NoticeRow) -> JobRow:
    return tx.session.scalars(sa.select(JobRow).where(JobRow.id == row.job_id)).one()


def _give_up(tx: Tx, row: NoticeRow, job: JobRow, error: str) -> None:
    """Everybody who sees the job sees that somebody was not told; why, and whom, admins see."""
    row.status, row.ended_at = NoticeStatus.FAILED, tx.now()
    row.due_at = row.lease = None
    row.error = error.replace("\x00", "\\0")
    what = "mail" if row.channel is NoticeChannel.EMAIL else "webhook"
    announce(
        tx,
        job,
        f"The {what} about the end of this job could not be delivered in {row.attempts} attempts; "
        "`modiste notifications list` tells an administrator why.",
        level="warning",
    )


def _valid_loss(tx: Tx, job: JobRow) -> float | None:
    measured = MetricRow.job_id == job.id, MetricRow.valid_loss.is_not(None)
    query = sa.select(MetricRow.valid_loss).where(*measured).order_by(MetricRow.step.desc())
    return tx.session.scalar(query.limit(1))
