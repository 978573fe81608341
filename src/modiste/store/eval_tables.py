"""The table of evaluations: one row per model and suite, which is its own place in the queue.

A suite is kept as it was asked for, figures as they were computed; samples are one blob per run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from modiste.store.columns import Noun, Time, Word
from modiste.store.tables import Base, Leased
from modiste.types import EvalCounts, EvalRun, EvalStatus, JobError


class EvalRunRow(Leased, Base):
    __tablename__ = "eval_runs"
    org: Mapped[str] = mapped_column(sa.String(8))
    created_by: Mapped[str] = mapped_column(sa.String(40))
    status: Mapped[EvalStatus] = mapped_column(Word(EvalStatus), index=True)
    suite: Mapped[str] = mapped_column(sa.String(100), index=True)
    subject: Mapped[str] = mapped_column(sa.String(100))
    model: Mapped[str] = mapped_column(sa.String(400))
    model_id: Mapped[str] = mapped_column(sa.String(400))
    spec: Mapped[dict[str, Any]] = mapped_column(Noun(dict[str, Any]))
    blobs: Mapped[dict[str, tuple[str, str]]] = mapped_column(Noun(dict[str, tuple[str, str]]))
    """File id to name and sha256: deleting a file does not pull it from under a run."""
    private: Mapped[bool]
    """Samples are for the key that asked alone, as one of its files is."""
    run_group: Mapped[str | None] = mapped_column(sa.String(36), index=True)
    source: Mapped[str | None] = mapped_column(sa.String(36))
    counts: Mapped[EvalCounts] = mapped_column(Noun(EvalCounts))
    record: Mapped[dict[str, Any] | None] = mapped_column(Noun(dict[str, Any]))
    metrics: Mapped[tuple[dict[str, Any], ...]] = mapped_column(Noun(tuple[dict[str, Any], ...]))
    samples_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    error: Mapped[JobError | None] = mapped_column(Noun(JobError))
    created_at: Mapped[datetime] = mapped_column(Time)
    started_at: Mapped[datetime | None] = mapped_column(Time)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(Time)
    finished_at: Mapped[datetime | None] = mapped_column(Time)

    def noun(self) -> EvalRun:
        return EvalRun(
            id=self.id,
            status=self.status,
            suite=self.suite,
            subject=self.subject,
            model=self.model,
            model_id=self.model_id,
            spec=self.spec,
            created_at=self.created_at,
            created_by=self.created_by,
            counts=self.counts,
            group=self.run_group,
            source=self.source,
            record=self.record,
            metrics=self.metrics,
            samples_sha256=self.samples_sha256,
            error=self.error,
            started_at=self.started_at,
            cancel_requested_at=self.cancel_requested_at,
            finished_at=self.finished_at,
        )
