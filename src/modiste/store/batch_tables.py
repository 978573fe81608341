"""The tables of batches: many requests to one endpoint, and what they can be looked up by.

A batch is its own place in the queue, as a job is. Its requests are blobs, its results become files
like any other; nothing of a single request is in the database.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from modiste.store.columns import Noun, Time, Word
from modiste.store.tables import Base, Leased
from modiste.types import Batch, BatchCounts, BatchStatus, JobError


class BatchRow(Leased, Base):
    __tablename__ = "batches"
    org: Mapped[str] = mapped_column(sa.String(8))
    created_by: Mapped[str] = mapped_column(sa.String(40))
    status: Mapped[BatchStatus] = mapped_column(Word(BatchStatus), index=True)
    endpoint: Mapped[str] = mapped_column(sa.String(100))
    dialect: Mapped[str] = mapped_column(sa.String(20))
    input_files: Mapped[tuple[str, ...]] = mapped_column(Noun(tuple[str, ...]))
    blobs: Mapped[tuple[tuple[str, str], ...]] = mapped_column(Noun(tuple[tuple[str, str], ...]))
    """Name and sha256 of every input, in order: deleting a file does not pull it from under us."""
    private: Mapped[bool]
    """Results are for the key that asked alone, as one of its inputs is."""
    model: Mapped[str | None] = mapped_column(sa.String(400))
    batch_metadata: Mapped[dict[str, str]] = mapped_column(Noun(dict[str, str]))
    results_expire_s: Mapped[int | None]
    """Seconds that files of results live; NULL for ever."""
    counts: Mapped[BatchCounts] = mapped_column(Noun(BatchCounts))
    output_file: Mapped[str | None] = mapped_column(sa.String(36))
    error_file: Mapped[str | None] = mapped_column(sa.String(36))
    error: Mapped[JobError | None] = mapped_column(Noun(JobError))
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
    started_at: Mapped[datetime | None] = mapped_column(Time)
    finalizing_at: Mapped[datetime | None] = mapped_column(Time)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(Time)
    finished_at: Mapped[datetime | None] = mapped_column(Time)

    def noun(self) -> Batch:
        return Batch(
            id=self.id,
            status=self.status,
            endpoint=self.endpoint,
            dialect=self.dialect,
            input_files=self.input_files,
            model=self.model,
            created_at=self.created_at,
            created_by=self.created_by,
            expires_at=self.expires_at,
            counts=self.counts,
            metadata=self.batch_metadata,
            output_file=self.output_file,
            error_file=self.error_file,
            error=self.error,
            started_at=self.started_at,
            finalizing_at=self.finalizing_at,
            cancel_requested_at=self.cancel_requested_at,
            finished_at=self.finished_at,
        )


class BatchLabelRow(Base):
    """The metadata of a batch, to filter lists by."""

    __tablename__ = "batch_labels"
    batch_id: Mapped[str] = mapped_column(
        sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    value: Mapped[str] = mapped_column(sa.String(600))
