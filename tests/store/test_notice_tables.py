"""Notices on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from modiste.store.database import Database
from modiste.store.notice_tables import NoticeRow
from modiste.store.tables import JobRow
from modiste.types import Hyperparameters, JobEstimate, JobStatus, NoticeChannel, NoticeStatus

AT = datetime(2026, 11, 30, tzinfo=UTC)


def ended_job(name: str) -> JobRow:
    return JobRow(
        id=name, org="0" * 8, created_by="k", model="m", base="m", status=JobStatus.CANCELLED,
        training_files=(), validation_files=(), integrations=(), blobs={}, job_metadata={},
        skip_lines={}, asked=Hyperparameters(), hyperparameters=Hyperparameters(), signature=name,
        auto_start=True, start_requested=True, invalid_sample_skip_fraction=0.0,
        estimate=JobEstimate(), created_at=AT, modified_at=AT, queued_at=AT, finished_at=AT,
    )  # fmt: skip


def row(job_id: str, number: str, target: str = "a@example.org") -> NoticeRow:
    return NoticeRow(
        id=number, job_id=job_id, channel=NoticeChannel.EMAIL, target=target,
        status=NoticeStatus.WAITING, attempts=0, due_at=AT, created_at=AT,
    )  # fmt: skip


def test_a_receiver_has_one_notice_of_a_job_and_no_job_means_no_notice(
    database: Database,
) -> None:
    job = "5e2f9a5e-0000-4000-8000-000000000001"
    with database.transaction() as tx:
        tx.session.add(ended_job(job))
        tx.session.flush()
        tx.session.add(row(job, "msg_1"))
    with database.transaction() as tx:
        found = tx.session.scalars(sa.select(NoticeRow)).one().noun()
        assert (found.job_id, found.due_at, found.ended_at) == (job, AT, None)
        for twice in (row(job, "msg_2"), row(job, "msg_1", "b@example.org"), row("none", "msg_3")):
            with pytest.raises(sa.exc.IntegrityError), tx.session.begin_nested():
                tx.session.add(twice)
