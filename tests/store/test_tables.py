"""What the tables themselves refuse, whoever writes to them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import sqlalchemy as sa

from modiste.store.database import Database, Tx
from modiste.store.tables import CheckpointRow, FileRow, JobEventRow, JobRow, KeyRow, ModelRow
from modiste.types import File, Hyperparameters, Job, JobEstimate, JobStatus, Key, Model, Purpose


def file_row(tx: Tx, name: str, **changes: Any) -> FileRow:
    values: dict[str, Any] = {
        "id": name,
        "org": "0" * 8,
        "owner": "",
        "filename": "a.jsonl",
        "purpose": Purpose.FINE_TUNE,
        "size_bytes": 1,
        "sha256": "f" * 64,
        "created_at": tx.now(),
        "created_by": "key",
        "sample_type": "instruct",
        "source": "upload",
        "problems": (),
    }
    return FileRow(**(values | changes))


def job_row(tx: Tx, name: str, **changes: Any) -> JobRow:
    values: dict[str, Any] = {
        "id": name,
        "org": "0" * 8,
        "created_by": "key",
        "status": JobStatus.QUEUED,
        "model": "m",
        "base": "m",
        "training_files": (),
        "validation_files": (),
        "blobs": {},
        "asked": Hyperparameters(),
        "hyperparameters": Hyperparameters(),
        "auto_start": True,
        "start_requested": True,
        "integrations": (),
        "job_metadata": {},
        "invalid_sample_skip_fraction": 0.0,
        "signature": name,
        "estimate": JobEstimate(),
        "skip_lines": {},
        "created_at": tx.now(),
        "modified_at": tx.now(),
        "queued_at": tx.now(),
    }
    return JobRow(**(values | changes))


def test_two_living_files_cannot_have_the_same_content_and_name(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(file_row(tx, "1"))
        tx.session.add(file_row(tx, "2", deleted_at=tx.now()))
        tx.session.add(file_row(tx, "3", filename="b.jsonl"))
        tx.session.add(file_row(tx, "4", owner="key"))
        tx.session.flush()
        tx.session.add(file_row(tx, "5"))
        with pytest.raises(sa.exc.IntegrityError):
            tx.session.flush()
        tx.session.rollback()


def test_two_unfinished_jobs_cannot_have_the_same_signature(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(job_row(tx, "1", signature="s", finished_at=tx.now()))
        tx.session.add(job_row(tx, "2", signature="s"))
        tx.session.flush()
        tx.session.add(job_row(tx, "3", signature="s"))
        with pytest.raises(sa.exc.IntegrityError):
            tx.session.flush()
        tx.session.rollback()


def test_events_and_checkpoints_belong_to_a_job(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(CheckpointRow(job_id="nobody", step=1, created_at=tx.now()))
        with pytest.raises(sa.exc.IntegrityError):
            tx.session.flush()
        tx.session.rollback()


@pytest.mark.parametrize(
    ("noun", "row", "elsewhere"),
    [
        (Key, KeyRow, set()),
        (File, FileRow, {"visibility", "deleted"}),
        (Job, JobRow, {"metadata", "events", "checkpoints"}),
        (Model, ModelRow, {"aliases", "makes_embeddings"}),
    ],
)
def test_every_field_of_a_noun_is_kept(noun: type, row: type, elsewhere: set[str]) -> None:
    """`elsewhere` are columns of another name, rows of their own, or follow from others."""
    names = {field.name for field in fields(noun)}
    assert names - elsewhere <= set(row.__table__.columns.keys())  # type: ignore[attr-defined]


def test_events_are_numbered_in_the_order_of_writing(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(job_row(tx, "1"))
        tx.session.flush()
        for number in range(3):
            tx.session.add(
                JobEventRow(
                    id=f"e{number}",
                    job_id="1",
                    status=JobStatus.QUEUED,
                    created_at=tx.now(),
                    message="",
                    level="info",
                )
            )
            tx.session.flush()
        rows = tx.session.scalars(sa.select(JobEventRow).order_by(JobEventRow.seq))
        assert [row.id for row in rows] == ["e0", "e1", "e2"]
