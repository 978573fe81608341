"""The tables, one class each, and how a row becomes the noun that leaves the store.

`seq` orders rows in time where clocks may tie; ids are what people see. Rows of one organisation
carry its eight hex digits. The `jobs` table is also the queue: see `Leased` and `store/queue.py`.
What concerns data alone is in `data_tables.py`, names and spending of models in
`model_tables.py`, policies in `policy_tables.py`, SQL in `sql_tables.py`. A change here needs a
migration: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from modiste.store.columns import Noun, Time, Word
from modiste.types import (
    Abilities,
    Adapter,
    Checkpoint,
    ClassifierTarget,
    File,
    Hyperparameters,
    Job,
    JobError,
    JobEstimate,
    JobEvent,
    JobStatus,
    JobType,
    Key,
    Model,
    ModelKind,
    Parity,
    Problem,
    Progress,
    Purpose,
    Scope,
    Stale,
    TrainingFile,
    Upstream,
)


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class FactRow(Base):
    """Things that are true of this whole installation, such as its organisation."""

    __tablename__ = "facts"
    name: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    value: Mapped[str] = mapped_column(sa.Text)


class KeyRow(Base):
    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    prefix: Mapped[str] = mapped_column(sa.String(20))
    sha256: Mapped[str] = mapped_column(sa.String(64), unique=True)
    scopes: Mapped[frozenset[Scope]] = mapped_column(Noun(frozenset[Scope]))
    org: Mapped[str] = mapped_column(sa.String(8))
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str | None] = mapped_column(sa.String(40))
    revoked_at: Mapped[datetime | None] = mapped_column(Time)

    def noun(self) -> Key:
        return Key(
            id=self.id,
            name=self.name,
            prefix=self.prefix,
            scopes=self.scopes,
            created_at=self.created_at,
            revoked_at=self.revoked_at,
        )


class FileRow(Base):
    __tablename__ = "files"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(sa.String(36), unique=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    owner: Mapped[str] = mapped_column(sa.String(40))
    """The key that may see the file; empty when the whole workspace may."""
    filename: Mapped[str] = mapped_column(sa.Text)
    purpose: Mapped[Purpose] = mapped_column(Word(Purpose))
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    sha256: Mapped[str] = mapped_column(sa.String(64), index=True)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))
    sample_type: Mapped[str] = mapped_column(sa.String(40))
    source: Mapped[str] = mapped_column(sa.String(40))
    n_lines: Mapped[int | None] = mapped_column(sa.BigInteger)
    mimetype: Mapped[str | None] = mapped_column(sa.String(200))
    expires_at: Mapped[datetime | None] = mapped_column(Time)
    deleted_at: Mapped[datetime | None] = mapped_column(Time)
    problems: Mapped[tuple[Problem, ...]] = mapped_column(Noun(tuple[Problem, ...]))
    """Warnings only: a file with errors is refused."""
    format: Mapped[str | None] = mapped_column(sa.String(40))
    report_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    rows_sha256: Mapped[str | None] = mapped_column(sa.String(64))

    __table_args__ = (
        sa.Index(
            "uq_files_same_content_and_name",
            *("org", "owner", "sha256", "filename", "purpose"),
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        ),
    )

    def noun(self) -> File:
        return File(
            id=self.id,
            filename=self.filename,
            purpose=self.purpose,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            created_at=self.created_at,
            created_by=self.created_by,
            sample_type=self.sample_type,
            source=self.source,
            n_lines=self.n_lines,
            mimetype=self.mimetype,
            expires_at=self.expires_at,
            visibility="user" if self.owner else "workspace",
            deleted=self.deleted_at is not None,
            problems=self.problems,
            format=self.format,
            report_sha256=self.report_sha256,
            rows_sha256=self.rows_sha256,
        )


class Phase(StrEnum):
    """What a row waits for in the queue; NULL when nobody has to do anything."""

    VALIDATE = "validate"
    TRAIN = "train"
    CURATE = "curate"
    """Versions of datasets."""
    BATCH = "batch"
    """Batches of requests."""
    EVALUATE = "evaluate"
    """A model answers a suite."""


class Leased:
    """What makes a table a part of the queue: see `store/queue.py`."""

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(sa.String(36), unique=True)
    queued_for: Mapped[Phase | None] = mapped_column(Word(Phase), index=True)
    queued_at: Mapped[datetime] = mapped_column(Time)
    fence: Mapped[int] = mapped_column(default=0)
    lease_worker: Mapped[str | None] = mapped_column(sa.String(120))
    lease_host: Mapped[str | None] = mapped_column(sa.String(200))
    lease_pid: Mapped[int | None]
    lease_pid_started: Mapped[float | None]
    lease_expires_at: Mapped[datetime | None] = mapped_column(Time)
    attempts: Mapped[int] = mapped_column(default=0)
    """Claims since the row last got further; see `queue.MAX_ATTEMPTS`."""


class JobRow(Leased, Base):
    __tablename__ = "jobs"
    org: Mapped[str] = mapped_column(sa.String(8))
    created_by: Mapped[str] = mapped_column(sa.String(40))
    status: Mapped[JobStatus] = mapped_column(Word(JobStatus), index=True)
    model: Mapped[str] = mapped_column(sa.String(300))
    base: Mapped[str] = mapped_column(sa.String(300))
    training_files: Mapped[tuple[TrainingFile, ...]] = mapped_column(Noun(tuple[TrainingFile, ...]))
    validation_files: Mapped[tuple[str, ...]] = mapped_column(Noun(tuple[str, ...]))
    blobs: Mapped[dict[str, str]] = mapped_column(Noun(dict[str, str]))
    """File id to sha256, as of creation: deleting a file does not pull it from under a job."""
    asked: Mapped[Hyperparameters] = mapped_column(Noun(Hyperparameters))
    hyperparameters: Mapped[Hyperparameters] = mapped_column(Noun(Hyperparameters))
    """`asked`, with what validation computed filled in."""
    auto_start: Mapped[bool]
    start_requested: Mapped[bool]
    suffix: Mapped[str | None] = mapped_column(sa.String(64))
    integrations: Mapped[tuple[dict[str, Any], ...]] = mapped_column(
        Noun(tuple[dict[str, Any], ...])
    )
    job_metadata: Mapped[dict[str, str]] = mapped_column(Noun(dict[str, str]))
    invalid_sample_skip_fraction: Mapped[float]
    signature: Mapped[str] = mapped_column(sa.String(64))
    """Equal for jobs that would make the same model; see `actions.jobs.create`."""
    estimate: Mapped[JobEstimate] = mapped_column(Noun(JobEstimate))
    spec: Mapped[dict[str, Any] | None] = mapped_column(Noun(dict[str, Any]))
    """The complete TuneSpec that validation planned; the trainer runs exactly this."""
    skip_lines: Mapped[dict[str, list[int]]] = mapped_column(Noun(dict[str, list[int]]))
    """File id to the invalid lines that training leaves out."""
    fine_tuned_model: Mapped[str | None] = mapped_column(sa.String(400))
    trained_tokens: Mapped[int | None] = mapped_column(sa.BigInteger)
    adapter: Mapped[Adapter | None] = mapped_column(Noun(Adapter))
    """Set once training ended, before the parity check: a new worker need not train again."""
    parity: Mapped[Parity | None] = mapped_column(Noun(Parity))
    progress: Mapped[Progress | None] = mapped_column(Noun(Progress))
    error: Mapped[JobError | None] = mapped_column(Noun(JobError))
    job_type: Mapped[JobType] = mapped_column(Word(JobType), server_default=JobType.COMPLETION)
    classifier_targets: Mapped[tuple[ClassifierTarget, ...] | None] = mapped_column(
        Noun(tuple[ClassifierTarget, ...])
    )
    """As asked for; once the files were read, as they are trained."""
    dataset: Mapped[str | None] = mapped_column(sa.String(220))
    report_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    preview_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    rows: Mapped[dict[str, str] | None] = mapped_column(Noun(dict[str, str]))
    """File id to the blob that knows the file's rows, as of validation."""
    code_version: Mapped[str | None] = mapped_column(sa.String(40))
    """The Modiste that validated it."""
    worst_sha256: Mapped[str | None] = mapped_column(sa.String(64))
    """The blob that names the rows its model finds hardest."""
    created_at: Mapped[datetime] = mapped_column(Time)
    modified_at: Mapped[datetime] = mapped_column(Time)
    started_at: Mapped[datetime | None] = mapped_column(Time)
    finished_at: Mapped[datetime | None] = mapped_column(Time)

    events_offset: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """Bytes of the trainer's events.jsonl that are already in the database."""
    pause_requested: Mapped[bool] = mapped_column(default=False)
    paused: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (
        sa.Index(
            "uq_jobs_active_signature",
            *("org", "signature"),
            unique=True,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        ),
    )

    def noun(
        self, *, events: Iterable[JobEvent] = (), checkpoints: Iterable[Checkpoint] = ()
    ) -> Job:
        return Job(
            id=self.id,
            status=self.status,
            model=self.model,
            base=self.base,
            training_files=self.training_files,
            validation_files=self.validation_files,
            hyperparameters=self.hyperparameters,
            auto_start=self.auto_start,
            created_at=self.created_at,
            modified_at=self.modified_at,
            created_by=self.created_by,
            org=self.org,
            suffix=self.suffix,
            job_type=self.job_type,
            classifier_targets=self.classifier_targets or (),
            dataset=self.dataset,
            report_sha256=self.report_sha256,
            preview_sha256=self.preview_sha256,
            integrations=self.integrations,
            metadata=self.job_metadata,
            invalid_sample_skip_fraction=self.invalid_sample_skip_fraction,
            estimate=self.estimate,
            fine_tuned_model=self.fine_tuned_model,
            trained_tokens=self.trained_tokens,
            started_at=self.started_at,
            finished_at=self.finished_at,
            paused=self.paused,
            error=self.error,
            progress=self.progress,
            events=tuple(events),
            checkpoints=tuple(checkpoints),
        )


def _of_job() -> Mapped[str]:
    return mapped_column(sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


class JobLabelRow(Base):
    """What jobs can be looked up by, beside their columns: `wandb_project`, `metadata.<key>`."""

    __tablename__ = "job_labels"
    job_id: Mapped[str] = _of_job()
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    value: Mapped[str] = mapped_column(sa.String(600), primary_key=True)


class JobSecretRow(Base):
    """What a job needs and nobody may read, sealed (`store/sealed.py`); gone when the job ends.

    The name is the environment variable that the trainer gets it in."""

    __tablename__ = "job_secrets"
    job_id: Mapped[str] = _of_job()
    name: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    sealed: Mapped[str] = mapped_column(sa.Text)


class JobEventRow(Base):
    __tablename__ = "job_events"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(sa.String(60), unique=True)
    job_id: Mapped[str] = mapped_column(sa.ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    status: Mapped[JobStatus] = mapped_column(Word(JobStatus))
    created_at: Mapped[datetime] = mapped_column(Time)
    message: Mapped[str] = mapped_column(sa.Text)
    level: Mapped[str] = mapped_column(sa.String(10))

    def noun(self) -> JobEvent:
        return JobEvent(
            id=self.id,
            status=self.status,
            created_at=self.created_at,
            message=self.message,
            level=self.level,
        )


class CheckpointRow(Base):
    __tablename__ = "checkpoints"
    job_id: Mapped[str] = _of_job()
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(Time)
    train_loss: Mapped[float | None]
    valid_loss: Mapped[float | None]
    valid_token_accuracy: Mapped[float | None]

    def noun(self) -> Checkpoint:
        return Checkpoint(
            id=f"ftckpt-{self.job_id}-{self.step}",
            step=self.step,
            created_at=self.created_at,
            train_loss=self.train_loss,
            valid_loss=self.valid_loss,
            valid_token_accuracy=self.valid_token_accuracy,
        )


class MetricRow(Base):
    """Every training step, whole: charts and speed estimates read it."""

    __tablename__ = "job_metrics"
    job_id: Mapped[str] = _of_job()
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(Time)
    loss: Mapped[float | None]
    learning_rate: Mapped[float | None]
    grad_norm: Mapped[float | None]
    n_tokens: Mapped[int | None] = mapped_column(sa.BigInteger)
    n_trained_tokens: Mapped[int | None] = mapped_column(sa.BigInteger)
    tokens_per_s: Mapped[float | None]
    trained_tokens_per_s: Mapped[float | None]
    valid_loss: Mapped[float | None]
    valid_token_accuracy: Mapped[float | None]
    measures: Mapped[dict[str, float] | None] = mapped_column(Noun(dict[str, float]))
    """What the objective tells beside its loss: of pairs, rewards and how often they are right."""
    valid_measures: Mapped[dict[str, float] | None] = mapped_column(Noun(dict[str, float]))


class ModelRow(Base):
    __tablename__ = "models"
    id: Mapped[str] = mapped_column(sa.String(400), primary_key=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    kind: Mapped[ModelKind] = mapped_column(Word(ModelKind))
    created_at: Mapped[datetime] = mapped_column(Time)
    max_context_length: Mapped[int]
    path: Mapped[str] = mapped_column(sa.Text)
    owned_by: Mapped[str] = mapped_column(sa.String(60))
    name: Mapped[str | None] = mapped_column(sa.String(300))
    description: Mapped[str | None] = mapped_column(sa.Text)
    root: Mapped[str | None] = mapped_column(sa.String(300))
    base: Mapped[str | None] = mapped_column(sa.String(300))
    job_id: Mapped[str | None] = mapped_column(sa.String(36), unique=True)
    archived: Mapped[bool] = mapped_column(default=False)
    adapter: Mapped[Adapter | None] = mapped_column(Noun(Adapter))
    parity: Mapped[Parity | None] = mapped_column(Noun(Parity))
    stale: Mapped[Stale | None] = mapped_column(Noun(Stale))
    upstream: Mapped[Upstream | None] = mapped_column(Noun(Upstream))
    abilities: Mapped[Abilities | None] = mapped_column(Noun(Abilities))
    """NULL is filled at the next start: a release that reads more formats sets it so in its
    migration."""
    classifier_targets: Mapped[tuple[ClassifierTarget, ...] | None] = mapped_column(
        Noun(tuple[ClassifierTarget, ...])
    )
    """NULL where it writes text."""

    def noun(self) -> Model:
        return Model(
            id=self.id,
            kind=self.kind,
            created_at=self.created_at,
            max_context_length=self.max_context_length,
            path=self.path,
            owned_by=self.owned_by,
            name=self.name,
            description=self.description,
            root=self.root,
            base=self.base,
            job_id=self.job_id,
            archived=self.archived,
            adapter=self.adapter,
            parity=self.parity,
            stale=self.stale,
            upstream=self.upstream,
            abilities=self.abilities,
            classifier_targets=self.classifier_targets or (),
        )


class WorkerRow(Base):
    """Who works now. A worker that has not spoken for a lease's length is not counted."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(sa.String(120), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(200))
    pid: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(Time)
    heartbeat_at: Mapped[datetime] = mapped_column(Time)
    job_id: Mapped[str | None] = mapped_column(sa.String(36))
