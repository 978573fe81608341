"""Batches and their labels, as both databases keep them."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from modiste.store.batch_tables import BatchLabelRow, BatchRow
from modiste.store.database import Database, Tx
from modiste.store.tables import Phase
from modiste.types import BatchCounts, BatchStatus, JobError, Problem


def row(tx: Tx, batch_id: str = "b") -> BatchRow:
    return BatchRow(
        id=batch_id,
        org="0",
        created_by="key_1",
        status=BatchStatus.QUEUED,
        endpoint="/v1/chat/completions",
        dialect="mistral",
        input_files=("f1", "f2"),
        blobs=(("a.jsonl", "0" * 64), ("b.jsonl", "1" * 64)),
        private=False,
        batch_metadata={"k": "v"},
        counts=BatchCounts(total=3, succeeded=1, failed=1, input_tokens=10**12),
        created_at=tx.now(),
        expires_at=tx.now() + timedelta(hours=24),
        queued_for=Phase.BATCH,
        queued_at=tx.now(),
    )


def test_a_batch_comes_back_as_it_was_written(database: Database) -> None:
    problem = Problem("a.jsonl", 3, "body", "body_invalid", "body is not there")
    with database.transaction() as tx:
        new = row(tx)
        new.error = JobError("invalid_lines", "3 lines", problems=(problem,))
        tx.session.add(new)
    with database.transaction(write=False) as tx:
        kept = tx.session.scalars(sa.select(BatchRow)).one()
        batch = kept.noun()
    assert (batch.input_files, batch.metadata) == (("f1", "f2"), {"k": "v"})
    assert (batch.counts.completed, batch.counts.input_tokens) == (2, 10**12)
    assert batch.error is not None
    assert batch.error.problems == (problem,)
    assert list(map(tuple, kept.blobs)) == [("a.jsonl", "0" * 64), ("b.jsonl", "1" * 64)]
    assert batch.expires_at - batch.created_at == timedelta(hours=24)


def test_labels_go_with_their_batch(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(row(tx))
        tx.session.flush()
        tx.session.add(BatchLabelRow(batch_id="b", name="k", value="v"))
    with database.transaction() as tx:
        tx.session.execute(sa.delete(BatchRow))
    with database.transaction(write=False) as tx:
        assert tx.session.scalars(sa.select(BatchLabelRow)).all() == []
