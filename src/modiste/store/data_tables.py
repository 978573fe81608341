"""The tables of data that is curated and traced: datasets, their versions, rows to be forgotten.

A version is its own place in the queue while its stages run, as a job is. The names of its files
and where its rows came from are columns and blobs here; the bytes are files like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from modiste.store.columns import Noun, Time, Word
from modiste.store.tables import Base, Leased
from modiste.types import (
    Dataset,
    DatasetFile,
    DatasetVersion,
    Forgotten,
    JobError,
    VersionStatus,
)


class DatasetRow(Base):
    __tablename__ = "datasets"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(sa.String(36), unique=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    name: Mapped[str] = mapped_column(sa.String(200))
    description: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))
    deleted_at: Mapped[datetime | None] = mapped_column(Time)

    __table_args__ = (
        sa.Index(
            "uq_datasets_living_name",
            *("org", "name"),
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        ),
    )

    def noun(self, versions: Iterable[DatasetVersion] = ()) -> Dataset:
        return Dataset(
            id=self.id,
            name=self.name,
            created_at=self.created_at,
            created_by=self.created_by,
            description=self.description,
            versions=tuple(versions),
        )


class DatasetVersionRow(Leased, Base):
    __tablename__ = "dataset_versions"
    dataset_id: Mapped[str] = mapped_column(
        sa.ForeignKey("datasets.id", ondelete="CASCADE"), index=True
    )
    org: Mapped[str] = mapped_column(sa.String(8))
    name: Mapped[str] = mapped_column(sa.String(200))
    """Of its dataset."""
    version: Mapped[int]
    status: Mapped[VersionStatus] = mapped_column(Word(VersionStatus))
    inputs: Mapped[tuple[DatasetFile, ...]] = mapped_column(Noun(tuple[DatasetFile, ...]))
    stages: Mapped[tuple[dict[str, Any], ...]] = mapped_column(Noun(tuple[dict[str, Any], ...]))
    files: Mapped[tuple[DatasetFile, ...]] = mapped_column(Noun(tuple[DatasetFile, ...]))
    code_version: Mapped[str] = mapped_column(sa.String(40))
    manifest_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    report_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    error: Mapped[JobError | None] = mapped_column(Noun(JobError))
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))
    finished_at: Mapped[datetime | None] = mapped_column(Time)

    __table_args__ = (
        sa.UniqueConstraint("dataset_id", "version", name="uq_dataset_versions_number"),
    )

    def noun(self) -> DatasetVersion:
        return DatasetVersion(
            id=self.id,
            dataset=self.name,
            version=self.version,
            status=self.status,
            inputs=self.inputs,
            stages=self.stages,
            files=self.files,
            code_version=self.code_version,
            created_at=self.created_at,
            created_by=self.created_by,
            finished_at=self.finished_at,
            manifest_sha256=self.manifest_sha256,
            report_sha256=self.report_sha256,
            error=self.error,
        )


class ForgottenRow(Base):
    """Rows that no model of the organisation may learn from; there is no way back."""

    __tablename__ = "forgotten_rows"
    org: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    row_id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    reason: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))

    def noun(self) -> Forgotten:
        return Forgotten(self.row_id, self.reason, self.created_at, self.created_by)
