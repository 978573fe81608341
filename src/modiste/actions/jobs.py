"""Jobs: what people do with fine-tuning jobs. What workers write about them is in `runs.py`.

A job row is also its place in the queue, so creating a job and queueing it is one write. Two
unfinished jobs that would make the same model are refused (Conflict). A job nobody works on is
cancelled at once; one that a worker holds goes through CANCELLATION_REQUESTED.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

import sqlalchemy as sa

from modiste.actions import file_checks, job_checks, job_plan, job_requests, runs
from modiste.actions.job_checks import DataFile
from modiste.actions.job_plan import Measure
from modiste.actions.job_requests import Request, Wanted
from modiste.actions.job_states import announce, move
from modiste.actions.keys import require
from modiste.actions.pages import page_of
from modiste.errors import BadRequest, Conflict, InvalidInput, NotFound
from modiste.store.database import Database, Tx
from modiste.store.sealed import seal
from modiste.store.tables import (
    CheckpointRow,
    JobEventRow,
    JobLabelRow,
    JobRow,
    JobSecretRow,
    MetricRow,
    Phase,
)
from modiste.tune.asked import from_hyperparameters
from modiste.types import Actor, Checkpoint, Job, JobEstimate, JobEvent, JobStatus, Page, Scope

ESTIMATE_BYTES = 8 << 20
"""A dry run reads this much of each training file, a few seconds' worth."""


def create(tx: Tx, actor: Actor, **wanted: Unpack[Wanted]) -> Job:
    """Queue a job for validation; with `auto_start` it trains right after.

    Raises:
        InvalidInput: everything wrong with the request, in one message.
        Conflict: an unfinished job would make the same model.
    """
    require(actor, Scope.TRAIN)
    request = job_requests.checked(tx, actor, wanted)
    similar = tx.session.scalar(
        sa.select(JobRow).where(
            JobRow.org == actor.org,
            JobRow.signature == request.signature,
            JobRow.finished_at.is_(None),
        )
    )
    if similar is not None:
        raise _similar(similar.id, similar.status)
    row = _new_row(tx, actor, request)
    try:
        with tx.session.begin_nested():
            tx.session.add(row)
    except sa.exc.IntegrityError:  # Created by somebody else since we looked (PostgreSQL).
        raise _similar("another job", JobStatus.QUEUED) from None
    for name, value in sorted(request.labels):
        tx.session.add(JobLabelRow(job_id=row.id, name=name, value=value))
    for name, secret in sorted(request.secrets.items()):
        sealed = seal(tx.settings, secret)
        tx.session.add(JobSecretRow(job_id=row.id, name=name, sealed=sealed))
    announce(tx, row, "Job queued.")
    return _whole(tx, row)


def estimate(
    database: Database, actor: Actor, *, measure: Measure | None = None, **wanted: Unpack[Wanted]
) -> JobEstimate:
    """What `create` would take, without creating anything (`dry_run`).

    Reads the files with the base's tokenizer, the first ESTIMATE_BYTES of each, so it takes the
    database and not a transaction. `measure` finds out how fast this machine trains, where that is
    not known and the job would take minutes.

    Raises:
        InvalidInput: as `create`, or the files hold nothing to train on.
    """
    require(actor, Scope.TRAIN)
    with database.transaction(write=False) as tx:
        request = job_requests.checked(tx, actor, wanted)
        speed = runs.measured_speed(tx, request.base.id)
    spec = from_hyperparameters(
        request.hyperparameters,
        model=request.base.id,
        training_files=request.training_files,
        validation_files=request.validation_files,
        checkpoint_steps=database.settings.checkpoint_interval_steps,
        integrations=request.integrations,
        classifier_targets=request.classifier_targets,
    )
    with ExitStack() as opened:
        read = job_checks.read(
            spec,
            Path(request.base.path),
            train=[_beginning(opened, database, request, *f) for f in request.training_files],
            validation=[_beginning(opened, database, request, f) for f in request.validation_files],
            fim_said=request.hyperparameters.fim_ratio is not None,
        )
    made = job_plan.planned(
        spec,
        read,
        Path(request.base.path),
        trainer=job_plan.trainer_of(database.settings, measure=measure),
        tokens_per_s=speed,
        price_micro_per_million_tokens=database.settings.price_micro_per_million_tokens,
    )
    of_targets = () if read.targets is None else read.targets.problems
    problems = (*read.purpose.problems, *of_targets, *made.problems)
    if problems:
        text = "; ".join(str(problem) for problem in problems)
        raise InvalidInput(text, param=problems[0].path, problems=problems)
    told = job_checks.estimate_of(
        made, currency=database.settings.currency, note=job_checks.basis(read)
    )
    return replace(told, spec=made.spec.model_dump(mode="json"))


def list_(
    tx: Tx,
    actor: Actor,
    *,
    page: int = 0,
    page_size: int = 100,
    after: str | None = None,
    limit: int | None = None,
    model: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    created_by_me: bool = False,
    status: JobStatus | Sequence[JobStatus] | None = None,
    auto_start_status: Sequence[JobStatus] | None = None,
    wandb_project: str | None = None,
    wandb_name: str | None = None,
    suffix: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page:
    """Newest first, without events and checkpoints. Pages as `files.list_` does.

    `auto_start_status` stands in for `status` where a job starts by itself: doors may show the
    status of such a job in another way.
    """
    require(actor, Scope.TRAIN)
    query = sa.select(JobRow).where(JobRow.org == actor.org)
    if model is not None:
        query = query.where(sa.or_(JobRow.model == model, JobRow.base == model))
    if created_after is not None:
        query = query.where(JobRow.created_at >= _utc(created_after))
    if created_before is not None:
        query = query.where(JobRow.created_at < _utc(created_before))
    if created_by_me:
        query = query.where(JobRow.created_by == actor.key_id)
    if status is not None:
        statuses = [status] if isinstance(status, str) else list(status)
        by_itself = statuses if auto_start_status is None else auto_start_status
        query = query.where(
            sa.case(
                (JobRow.auto_start, JobRow.status.in_(by_itself)),
                else_=JobRow.status.in_(statuses),
            )
        )
    if suffix is not None:
        query = query.where(JobRow.suffix == suffix)
    labels = {f"metadata.{key}": value for key, value in (metadata or {}).items()}
    labels |= {} if wandb_project is None else {"wandb_project": wandb_project}
    labels |= {} if wandb_name is None else {"wandb_name": wandb_name}
    for name, value in labels.items():
        query = query.where(
            sa.exists().where(
                JobLabelRow.job_id == JobRow.id,
                JobLabelRow.name == name,
                JobLabelRow.value == value,
            )
        )
    return page_of(tx, query, JobRow, page=page, page_size=page_size, after=after, limit=limit)


def get(tx: Tx, actor: Actor, job_id: str) -> Job:
    """One job with its events (oldest first) and checkpoints (newest first)."""
    require(actor, Scope.TRAIN)
    return _whole(tx, _row(tx, actor, job_id))


def cancel(tx: Tx, actor: Actor, job_id: str) -> Job:
    """Stop a job at any moment; asking again changes nothing.

    Raises:
        BadRequest: the job ended in another way; code `job_finished`.
    """
    row = _locked(tx, actor, job_id)
    if row.status in (JobStatus.CANCELLED, JobStatus.CANCELLATION_REQUESTED):
        return _whole(tx, row)
    _refuse_finished(row, "cancelled")
    if row.status not in (JobStatus.QUEUED, JobStatus.VALIDATED):
        move(tx, row, JobStatus.CANCELLATION_REQUESTED, "Cancellation requested.")
    if row.lease_worker is None:
        move(tx, row, JobStatus.CANCELLED, "Cancelled while no worker held it.")
    return _whole(tx, row)


def start(tx: Tx, actor: Actor, job_id: str) -> Job:
    """Let a validated job run; one still in validation starts once it is validated."""
    row = _locked(tx, actor, job_id)
    _refuse_finished(row, "started")
    row.start_requested = True
    if row.status is JobStatus.VALIDATED:
        row.queued_for, row.queued_at = Phase.TRAIN, tx.now()
        move(tx, row, JobStatus.QUEUED, "Started by request.")
    return _whole(tx, row)


def pause(tx: Tx, actor: Actor, job_id: str) -> Job:
    """Stop after a checkpoint and keep the place; a job that waits simply goes on waiting.

    A running job says `paused` once its worker has stopped it.
    """
    row = _locked(tx, actor, job_id)
    _refuse_finished(row, "paused")
    if row.status is JobStatus.CANCELLATION_REQUESTED:
        raise BadRequest(f"Job {row.id} is being cancelled.", code="job_not_running")
    if row.status in (JobStatus.STARTED, JobStatus.RUNNING):
        row.pause_requested = True
    else:
        row.paused = True
    row.modified_at = tx.now()
    return _whole(tx, row)


def resume(tx: Tx, actor: Actor, job_id: str) -> Job:
    """Undo `pause`: the job goes on from its last checkpoint."""
    row = _locked(tx, actor, job_id)
    _refuse_finished(row, "resumed")
    row.paused = row.pause_requested = False
    row.modified_at = tx.now()
    return _whole(tx, row)


def events(tx: Tx, actor: Actor, job_id: str, *, after: str | None = None, limit: int = 20) -> Page:
    """Newest first, as the OpenAI dialect pages them."""
    require(actor, Scope.TRAIN)
    query = sa.select(JobEventRow).where(JobEventRow.job_id == _row(tx, actor, job_id).id)
    return page_of(tx, query, JobEventRow, after=after, limit=limit)


def checkpoints(
    tx: Tx, actor: Actor, job_id: str, *, after: str | None = None, limit: int = 10
) -> Page:
    """Newest first."""
    require(actor, Scope.TRAIN)
    found = _checkpoints(tx, _row(tx, actor, job_id))
    if after is not None:
        ids = [checkpoint.id for checkpoint in found]
        if after not in ids:
            raise InvalidInput(
                f"after is {after!r}, which is no checkpoint of this job", param="after"
            )
        rest = found[ids.index(after) + 1 :]
    else:
        rest = found
    return Page(rest[:limit], len(found), has_more=len(rest) > limit)


def metrics(tx: Tx, actor: Actor, job_id: str, *, after_step: int = 0) -> tuple[MetricRow, ...]:
    """Every recorded training step after `after_step`, in order."""
    require(actor, Scope.TRAIN)
    query = sa.select(MetricRow).where(
        MetricRow.job_id == _row(tx, actor, job_id).id, MetricRow.step > after_step
    )
    return tuple(tx.session.scalars(query.order_by(MetricRow.step)))


def report(tx: Tx, actor: Actor, job_id: str) -> bytes:
    """What validation found in the job's files, as JSON.

    Raises:
        NotFound: the job was not validated yet; code `no_report`.
    """
    return _told(tx, actor, job_id, "report_sha256")


def preview(tx: Tx, actor: Actor, job_id: str) -> bytes:
    """A few rows of the job's files with the tokens it trains on, as JSON. Raises as `report`."""
    return _told(tx, actor, job_id, "preview_sha256")


def worst(tx: Tx, actor: Actor, job_id: str) -> bytes:
    """The rows the finished model finds hardest, as JSON. Raises NotFound before there are any."""
    row = _row(tx, actor, job_id)
    if row.worst_sha256 is None:
        raise NotFound(
            f"Job {job_id} has no list of hardest rows: it is made when training has ended.",
            param="job_id",
        )
    return tx.blobs.local(row.worst_sha256, tx.settings.cache_dir / "blobs").read_bytes()


def _told(tx: Tx, actor: Actor, job_id: str, column: str) -> bytes:
    require(actor, Scope.TRAIN)
    row = _row(tx, actor, job_id)
    sha256: str | None = getattr(row, column)
    if sha256 is None:
        when = "never" if row.status.final else "not yet"
        raise NotFound(
            f"Job {row.id} is {row.status}: its files were {when} read by a Modiste that keeps "
            "what it sees.",
            code="no_report",
        )
    return b"".join(tx.blobs.open(sha256))


def _beginning(
    opened: ExitStack, database: Database, request: Request, file_id: str, weight: float = 1.0
) -> DataFile:
    """The file, or whole rows from its beginning where it is large."""
    file = request.files[file_id]
    path = database.blobs.local(file.sha256, database.settings.cache_dir / "blobs")
    if file.size_bytes <= ESTIMATE_BYTES:
        return DataFile(file_id, path, file.filename, weight)
    rows = file_checks.first_rows(path, file.filename, max_bytes=ESTIMATE_BYTES)
    if rows is not None:
        receiving = database.blobs.receive(rows, max_bytes=2**63)
        share = len(rows) / max(len(rows), file.n_lines or 0)
        part = opened.enter_context(receiving).path
        return DataFile(file_id, part, file.filename, weight, share_read=share)
    part = opened.enter_context(database.blobs.beginning(path, max_bytes=ESTIMATE_BYTES))
    share = part.stat().st_size / file.size_bytes
    return DataFile(file_id, part, file.filename, weight, share_read=share)


def _utc(time: datetime) -> datetime:
    """Clients send times without a zone, too, and mean UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _new_row(tx: Tx, actor: Actor, request: Request) -> JobRow:
    return JobRow(
        id=str(uuid.uuid4()),
        org=actor.org,
        created_by=actor.key_id,
        status=JobStatus.QUEUED,
        model=request.model,
        base=request.base.id,
        training_files=request.training_files,
        validation_files=request.validation_files,
        blobs={id: file.sha256 for id, file in request.files.items()} | dict(request.start_blobs),
        rows={id: file.rows_sha256 for id, file in request.files.items() if file.rows_sha256},
        asked=request.hyperparameters,
        hyperparameters=request.hyperparameters,
        auto_start=request.auto_start,
        start_requested=request.auto_start,
        suffix=request.suffix,
        job_type=request.job_type,
        classifier_targets=request.classifier_targets or None,
        dataset=request.dataset,
        integrations=request.integrations,
        job_metadata=request.metadata,
        invalid_sample_skip_fraction=request.invalid_sample_skip_fraction,
        signature=request.signature,
        estimate=JobEstimate(),
        skip_lines={},
        created_at=tx.now(),
        modified_at=tx.now(),
        queued_for=Phase.VALIDATE,
        queued_at=tx.now(),
    )


def _row(tx: Tx, actor: Actor, job_id: str) -> JobRow:
    row = tx.session.scalar(sa.select(JobRow).where(JobRow.id == job_id, JobRow.org == actor.org))
    if row is None:
        raise NotFound("No fine tuning job matches the given query.", param="job_id")
    return row


def _locked(tx: Tx, actor: Actor, job_id: str) -> JobRow:
    """The row, held until the transaction ends."""
    require(actor, Scope.TRAIN)
    row = _row(tx, actor, job_id)
    tx.lock(row)
    return row


def _whole(tx: Tx, row: JobRow) -> Job:
    rows = tx.session.scalars(
        sa.select(JobEventRow).where(JobEventRow.job_id == row.id).order_by(JobEventRow.seq)
    )
    history: list[JobEvent] = [event.noun() for event in rows]
    return row.noun(events=history, checkpoints=_checkpoints(tx, row))


def _checkpoints(tx: Tx, row: JobRow) -> tuple[Checkpoint, ...]:
    rows = tx.session.scalars(
        sa.select(CheckpointRow)
        .where(CheckpointRow.job_id == row.id)
        .order_by(CheckpointRow.step.desc())
    )
    return tuple(checkpoint.noun() for checkpoint in rows)


def _refuse_finished(row: JobRow, verb: str) -> None:
    if row.status.final:
        raise BadRequest(
            f"Job {row.id} has already ended with {row.status}; it cannot be {verb}.",
            code="job_finished",
        )


def _similar(job_id: str, status: JobStatus) -> Conflict:
    return Conflict(
        f"A similar job is already there: {job_id} is {status}, with the same base, files, "
        "hyperparameters and suffix. Wait for it, cancel it, or change one of them "
        "(a different seed is enough).",
        code="similar_job",
    )
