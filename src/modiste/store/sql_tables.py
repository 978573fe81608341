"""The tables behind the SQL door: what its statements name, and the versions of its models.

A model's `active_version` is the one that answers to its bare name, so activation is one write and
nobody sees none or two. `next_version` only grows: a number is never used again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from modiste.store.columns import Noun, Time, Word
from modiste.store.tables import Base
from modiste.types import (
    Actor,
    DataSource,
    PredictorStatus,
    PredictorVersion,
    SqlEngine,
    SqlJob,
    SqlJobRun,
    SqlUnit,
    SqlView,
)

JSON = Mapping[str, Any]


class SqlProjectRow(Base):
    __tablename__ = "sql_projects"
    org: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))


class SqlEngineRow(Base):
    __tablename__ = "sql_engines"
    org: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    handler: Mapped[str] = mapped_column(sa.String(100))
    parameters: Mapped[JSON] = mapped_column(Noun(JSON))
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))

    def noun(self) -> SqlEngine:
        return SqlEngine(self.name, self.handler, self.parameters)


class SqlSourceRow(Base):
    __tablename__ = "sql_sources"
    org: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    engine: Mapped[str] = mapped_column(sa.String(40))
    parameters: Mapped[JSON] = mapped_column(Noun(JSON))
    """Secrets blotted out."""
    sealed: Mapped[str] = mapped_column(sa.Text)
    """All parameters."""
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))

    def noun(self) -> DataSource:
        return DataSource(self.name, self.engine, self.parameters, self.created_at)


class SqlViewRow(Base):
    __tablename__ = "sql_views"
    org: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    project: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    query: Mapped[str] = mapped_column(sa.Text)
    source: Mapped[str | None] = mapped_column(sa.String(100))
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))

    def noun(self) -> SqlView:
        return SqlView(self.project, self.name, self.query, self.source)


class SqlJobRow(Base):
    __tablename__ = "sql_jobs"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    project: Mapped[str] = mapped_column(sa.String(100))
    name: Mapped[str] = mapped_column(sa.String(100))
    query: Mapped[str] = mapped_column(sa.Text)
    """As it may be shown."""
    if_query: Mapped[str | None] = mapped_column(sa.Text)
    sealed: Mapped[str] = mapped_column(sa.Text)
    """Both, as they run."""
    dialect: Mapped[str] = mapped_column(sa.String(20))
    start_at: Mapped[datetime] = mapped_column(Time)
    end_at: Mapped[datetime | None] = mapped_column(Time)
    every_n: Mapped[int | None] = mapped_column(sa.Integer)
    every_unit: Mapped[SqlUnit | None] = mapped_column(Word(SqlUnit))
    next_run_at: Mapped[datetime | None] = mapped_column(Time)
    """NULL where no run follows."""
    last_run_at: Mapped[datetime | None] = mapped_column(Time)
    last: Mapped[JSON] = mapped_column(Noun(JSON))
    """What LAST stands for in the next run, by its place in the statements."""
    actor: Mapped[Actor] = mapped_column(Noun(Actor))
    created_at: Mapped[datetime] = mapped_column(Time)
    lease: Mapped[str | None] = mapped_column(sa.String(36))
    """Of the run under way."""
    lease_until: Mapped[datetime | None] = mapped_column(Time)

    __table_args__ = (
        sa.UniqueConstraint("org", "project", "name", name="uq_sql_jobs_name"),
        sa.Index("ix_sql_jobs_next", "next_run_at"),
    )

    @property
    def every(self) -> tuple[int, SqlUnit] | None:
        return None if self.every_n is None or self.every_unit is None else (
            self.every_n, self.every_unit
        )  # fmt: skip

    def noun(self) -> SqlJob:
        return SqlJob(
            self.project,
            self.name,
            self.query,
            self.if_query,
            self.start_at,
            self.end_at,
            self.every,
            self.next_run_at,
        )


class SqlJobRunRow(Base):
    __tablename__ = "sql_job_runs"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    project: Mapped[str] = mapped_column(sa.String(100))
    name: Mapped[str] = mapped_column(sa.String(100))
    job_seq: Mapped[int] = mapped_column(sa.Integer)
    """The job may be gone."""
    due_at: Mapped[datetime] = mapped_column(Time)
    run_start: Mapped[datetime] = mapped_column(Time)
    run_end: Mapped[datetime | None] = mapped_column(Time)
    error: Mapped[str | None] = mapped_column(sa.Text)
    query: Mapped[str] = mapped_column(sa.Text)

    __table_args__ = (
        sa.UniqueConstraint("job_seq", "due_at", name="uq_sql_job_runs_due"),
        sa.Index("ix_sql_job_runs_org", "org", "seq"),
    )

    def noun(self) -> SqlJobRun:
        return SqlJobRun(
            self.project, self.name, self.query, self.run_start, self.run_end, self.error
        )


class SqlModelRow(Base):
    __tablename__ = "sql_models"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    project: Mapped[str] = mapped_column(sa.String(100))
    name: Mapped[str] = mapped_column(sa.String(100))
    engine: Mapped[str] = mapped_column(sa.String(100))
    next_version: Mapped[int] = mapped_column(sa.Integer)
    active_version: Mapped[int | None] = mapped_column(sa.Integer)

    __table_args__ = (sa.UniqueConstraint("org", "project", "name", name="uq_sql_models_name"),)


class SqlVersionRow(Base):
    __tablename__ = "sql_versions"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    model_seq: Mapped[int] = mapped_column(
        sa.ForeignKey("sql_models.seq", name="fk_sql_versions_model", ondelete="CASCADE")
    )
    version: Mapped[int] = mapped_column(sa.Integer)
    status: Mapped[PredictorStatus] = mapped_column(Word(PredictorStatus))
    error: Mapped[str | None] = mapped_column(sa.Text)
    predict: Mapped[str] = mapped_column(sa.String(100))
    options: Mapped[JSON] = mapped_column(Noun(JSON))
    query: Mapped[str | None] = mapped_column(sa.Text)
    source: Mapped[str | None] = mapped_column(sa.String(100))
    base_version: Mapped[int | None] = mapped_column(sa.Integer)
    model: Mapped[str | None] = mapped_column(sa.String(400))
    job_id: Mapped[str | None] = mapped_column(sa.String(36))
    tag: Mapped[str | None] = mapped_column(sa.Text)
    activate: Mapped[bool] = mapped_column(sa.Boolean)
    training: Mapped[JSON] = mapped_column(Noun(JSON))
    actor: Mapped[Actor] = mapped_column(Noun(Actor))
    """In whose name the rows are read and the job is made, also after a restart."""
    created_at: Mapped[datetime] = mapped_column(Time)
    finished_at: Mapped[datetime | None] = mapped_column(Time)
    alive_at: Mapped[datetime | None] = mapped_column(Time)
    """When whoever reads its rows last said so; NULL where nobody has to."""

    __table_args__ = (sa.UniqueConstraint("model_seq", "version", name="uq_sql_versions_version"),)

    def noun(self, of: SqlModelRow) -> PredictorVersion:
        return PredictorVersion(
            project=of.project,
            name=of.name,
            version=self.version,
            active=of.active_version == self.version,
            engine=of.engine,
            status=self.status,
            predict=self.predict,
            options=self.options,
            created_at=self.created_at,
            finished_at=self.finished_at,
            error=self.error,
            query=self.query,
            source=self.source,
            base_version=self.base_version,
            model=self.model,
            job_id=self.job_id,
            tag=self.tag,
            activate=self.activate,
            training=self.training,
        )
