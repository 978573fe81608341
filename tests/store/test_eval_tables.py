"""A run of a suite is kept as it was asked for, and its figures as they were computed."""

from __future__ import annotations

import uuid

from modiste.store.database import Database
from modiste.store.eval_tables import EvalRunRow
from modiste.types import EvalCounts, EvalRun, EvalStatus, JobError


def test_a_run_reads_back_as_it_was_written(database: Database) -> None:
    run_id = str(uuid.uuid4())
    spec = {"name": "s", "models": {"ü": {"sampling": {"temperature": 0.1 + 0.2}}}}
    metrics = ({"name": "mean", "estimate": {"value": 1 / 3}, "table": {"a": [None, 1]}},)
    with database.transaction() as tx:
        now = tx.now()
        tx.session.add(
            EvalRunRow(
                id=run_id, org="o", created_by="key", status=EvalStatus.FAILED, suite="s",
                subject="ü", model="m", model_id="m", spec=spec, blobs={"f": ("n", "a" * 64)},
                private=True, counts=EvalCounts(9, 8, 7, 6, 5, 4), metrics=metrics,
                record={"primary": "x"}, samples_sha256="b" * 64, created_at=now, queued_at=now,
                error=JobError("c", "m"),
            )
        )  # fmt: skip
    with database.transaction(write=False) as tx:
        row = tx.session.query(EvalRunRow).filter_by(id=run_id).one()
        assert (row.blobs["f"], row.private) == (("n", "a" * 64), True)
        assert row.noun() == EvalRun(
            id=run_id, status=EvalStatus.FAILED, suite="s", subject="ü", model="m", model_id="m",
            spec=spec, created_at=now, created_by="key", counts=EvalCounts(9, 8, 7, 6, 5, 4),
            record={"primary": "x"}, metrics=metrics, samples_sha256="b" * 64,
            error=JobError("c", "m"),
        )  # fmt: skip
