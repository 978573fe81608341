"""Runs: what a worker reads and writes about a job it holds.

Every write names the claim it is made under and starts by checking its fence, so a worker whose
lease went to somebody else gets LeaseLost and changes nothing. Training events may be replayed from
any offset: steps and checkpoints are kept by step number, the last word about a step wins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from modiste import __version__
from modiste.actions import forgetting, models
from modiste.actions.job_states import announce, move
from modiste.errors import NotFound
from modiste.store import queue
from modiste.store.database import Tx
from modiste.store.queue import Claim, WorkerId
from modiste.store.sealed import opened
from modiste.store.tables import (
    CheckpointRow,
    FileRow,
    JobEventRow,
    JobRow,
    JobSecretRow,
    MetricRow,
    ModelRow,
    Phase,
)
from modiste.types import (
    Adapter,
    ClassifierTarget,
    Hyperparameters,
    Job,
    JobError,
    JobEstimate,
    JobStatus,
    Model,
    Parity,
    Progress,
    Upstream,
)

TARGETS: TypeAdapter[tuple[ClassifierTarget, ...]] = TypeAdapter(tuple[ClassifierTarget, ...])
PHASES = (Phase.VALIDATE, Phase.TRAIN)
"""Those of jobs."""


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to know about the job it holds."""

    claim: Claim
    job: Job
    base_path: Path
    blobs: Mapping[str, str]
    """File id to sha256."""
    filenames: Mapping[str, str]
    rows: Mapping[str, str]
    """File id to the blob that knows its rows, where there is one."""
    asked: Hyperparameters
    spec: Mapping[str, Any] | None
    """The complete TuneSpec, once the job is validated."""
    skip_lines: Mapping[str, list[int]]
    events_offset: int
    adapter: Adapter | None
    tokens_per_s: float | None
    """Measured in the last job on this base; None before there was one."""
    upstream: Upstream | None
    """The server that computes the base in place of the built-in engine."""
    given_up: bool
    """Too many claims without progress: say so instead of trying again."""


class Wish(StrEnum):
    """What the people behind a job want of whoever runs it."""

    GO_ON = "go on"
    PAUSE = "pause"
    CANCEL = "cancel"


def take(tx: Tx, worker: WorkerId) -> Assignment | None:
    """Claim the next job and move it on, in one transaction."""
    claim = queue.claim(tx, worker, PHASES)
    return None if claim is None else taken(tx, claim)


def taken(tx: Tx, claim: Claim) -> Assignment:
    """The job behind a claim that was just made, moved on."""
    row = queue.held(tx, claim)
    if row.status is JobStatus.QUEUED and claim.phase is Phase.VALIDATE:
        move(tx, row, JobStatus.VALIDATING, "Validating the files.")
    elif row.status is JobStatus.QUEUED:
        row.started_at = row.started_at or tx.now()
        move(tx, row, JobStatus.STARTED, "A worker took the job.")
    base = tx.session.get(ModelRow, row.base)
    names = tx.session.execute(
        sa.select(FileRow.id, FileRow.filename).where(FileRow.id.in_(list(row.blobs)))
    )
    return Assignment(
        claim=claim,
        job=row.noun(),
        base_path=Path(base.path) if base else Path(),
        blobs=dict(row.blobs),
        filenames={file_id: filename for file_id, filename in names},
        rows=dict(row.rows or {}),
        asked=row.asked,
        spec=row.spec,
        skip_lines=dict(row.skip_lines),
        events_offset=row.events_offset,
        adapter=row.adapter,
        tokens_per_s=measured_speed(tx, row.base),
        upstream=base.upstream if base else None,
        given_up=row.attempts > queue.MAX_ATTEMPTS,
    )


def wish(tx: Tx, claim: Claim) -> Wish:
    """Raises LeaseLost when the job is no longer ours."""
    row = queue.held(tx, claim)
    if row.status is JobStatus.CANCELLATION_REQUESTED:
        return Wish.CANCEL
    return Wish.PAUSE if row.pause_requested else Wish.GO_ON


def count_attempt(tx: Tx, claim: Claim) -> bool:
    """Note that the trainer is started once more; False when that was tried often enough."""
    row = queue.held(tx, claim)
    row.attempts += 1
    return row.attempts <= queue.MAX_ATTEMPTS


def secrets(tx: Tx, claim: Claim) -> dict[str, str]:
    """By environment variable. Raises Corrupt: sealed with another machine's key."""
    queue.held(tx, claim)
    rows = tx.session.scalars(sa.select(JobSecretRow).where(JobSecretRow.job_id == claim.job_id))
    return {row.name: opened(tx.settings, row.sealed) for row in rows}


def forgotten_lines(tx: Tx, claim: Claim, rows: Mapping[str, str]) -> dict[str, list[int]]:
    """Lines of the job's files that it may not train on and does not leave out yet."""
    job = queue.held(tx, claim)
    found = forgetting.forgotten_lines(tx, job.org, rows)
    return {
        file_id: left
        for file_id, lines in found.items()
        if (left := sorted(set(lines) - set(job.skip_lines.get(file_id, ()))))
    }


def record_data(
    tx: Tx,
    claim: Claim,
    *,
    rows: Mapping[str, str],
    report_sha256: str | None,
    preview_sha256: str | None,
) -> None:
    """What validation saw in the files; said before its verdict, whichever that is."""
    row = queue.held(tx, claim)
    row.rows, row.code_version = dict(rows), __version__
    row.report_sha256, row.preview_sha256 = report_sha256, preview_sha256


def record_validated(
    tx: Tx,
    claim: Claim,
    *,
    spec: Mapping[str, Any],
    estimate: JobEstimate,
    hyperparameters: Hyperparameters,
    skip_lines: Mapping[str, list[int]],
    note: str = "",
) -> None:
    """The job rests in VALIDATED, or queues for training where that was asked for."""
    row = queue.held(tx, claim)
    queue.drop(row)
    if row.status is JobStatus.CANCELLATION_REQUESTED:
        move(tx, row, JobStatus.CANCELLED, "Cancelled during validation.")
        return
    row.hyperparameters, row.attempts = hyperparameters, 0
    row.spec = dict(spec)
    row.classifier_targets = TARGETS.validate_python(spec.get("classifier_targets") or ()) or None
    row.skip_lines = dict(skip_lines)
    row.queued_for = None
    row.estimate = replace(estimate, estimated_start_time=_expected_start(tx, row))
    move(tx, row, JobStatus.VALIDATED, f"Validated. {note or estimate.details}".strip())
    if row.start_requested:
        row.queued_for, row.queued_at = Phase.TRAIN, tx.now()
        move(tx, row, JobStatus.QUEUED, "Queued for training.")


def record_events(
    tx: Tx, claim: Claim, events: Iterable[Mapping[str, Any]], *, offset: int
) -> None:
    """Take over what the trainer said up to byte `offset` of its events.jsonl."""
    row = queue.held(tx, claim)
    for event in events:
        match event.get("event"):
            case "started" | "resumed":
                _running(tx, row)
            case "step":
                _running(tx, row)
                _metrics(tx, row, event, STEP_COLUMNS).measures = _measures(event)
                row.progress = _progress(event)
            case "evaluated":
                _metrics(tx, row, event, EVALUATED_COLUMNS).valid_measures = _measures(event)
            case "checkpoint":
                _checkpoint(tx, row, event)
            case "warning":
                _announce_once(tx, row, str(event.get("message") or ""), level="warning")
            case "stopped_early":
                _announce_once(tx, row, _stopped_early(event), level="info")
            case _:
                pass  # Endings are decided by the worker; unknown events belong to later versions.
    row.events_offset = offset


def record_trained(
    tx: Tx,
    claim: Claim,
    *,
    adapter: Adapter,
    trained_tokens: int | None,
    worst_sha256: str | None = None,
) -> None:
    """Training is over; from here on a new worker only checks and publishes."""
    row = queue.held(tx, claim)
    row.worst_sha256 = worst_sha256
    row.adapter, row.trained_tokens, row.attempts = adapter, trained_tokens, 0


def record_success(tx: Tx, claim: Claim, *, parity: Parity) -> Model | None:
    """Register the model and end the job: both are seen at the same moment.

    None when the job was cancelled in the last moment: then there is no model.
    """
    row = queue.held(tx, claim)
    queue.drop(row)
    row.parity = parity
    if row.status is JobStatus.CANCELLATION_REQUESTED:
        move(tx, row, JobStatus.CANCELLED, "Cancelled before the model was published.")
        return None
    if row.adapter is None:
        raise NotFound(f"Job {row.id} has no adapter to publish.")
    model = models.register(tx, row, adapter=row.adapter, parity=parity)
    row.fine_tuned_model = model.id
    forgetting.mark(tx, row)
    _running(tx, row)  # Where training ended under an earlier claim, this one never trained.
    move(tx, row, JobStatus.SUCCESS, f"The model {model.id} is ready. {parity.message}")
    return model


def record_failed(tx: Tx, claim: Claim, error: JobError) -> None:
    """End the job without a model. A cancelled job that fails meanwhile is cancelled."""
    row = queue.held(tx, claim)
    queue.drop(row)
    if row.status is JobStatus.CANCELLATION_REQUESTED:
        move(tx, row, JobStatus.CANCELLED, "Cancelled.")
        return
    row.error = error
    failed = JobStatus.FAILED_VALIDATION if claim.phase is Phase.VALIDATE else JobStatus.FAILED
    move(tx, row, failed, error.message, level="error")


def record_cancelled(tx: Tx, claim: Claim) -> None:
    row = queue.held(tx, claim)
    queue.drop(row)
    if row.status is not JobStatus.CANCELLATION_REQUESTED:
        move(tx, row, JobStatus.CANCELLATION_REQUESTED, "Cancellation requested.")
    move(tx, row, JobStatus.CANCELLED, "Cancelled.")


def record_stopped(tx: Tx, claim: Claim, *, step: int | None, offset: int) -> None:
    """The trainer stopped behind a checkpoint: by wish the job pauses, else it only waits."""
    row = queue.held(tx, claim)
    row.events_offset = offset
    if row.pause_requested and row.status in (JobStatus.STARTED, JobStatus.RUNNING):
        row.pause_requested, row.paused = False, True
        row.attempts = 0
        queue.drop(row)
        where = "" if step is None else f" at step {step}"
        move(tx, row, JobStatus.QUEUED, f"Paused{where}; resume goes on from there.")
    else:
        queue.release(tx, claim)


def ended(tx: Tx, job_ids: Iterable[str]) -> set[str]:
    """Which of these jobs nobody will work on again."""
    query = sa.select(JobRow.id).where(
        JobRow.id.in_(list(job_ids)), JobRow.finished_at.is_not(None)
    )
    return set(tx.session.scalars(query))


def measured_speed(tx: Tx, base: str) -> float | None:
    """Tokens per second of the last job on this base that recorded steps."""
    last = (
        sa.select(JobRow.id)
        .join(MetricRow, MetricRow.job_id == JobRow.id)
        .where(JobRow.base == base, MetricRow.tokens_per_s.is_not(None))
        .order_by(JobRow.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    return tx.session.scalar(
        sa.select(sa.func.avg(MetricRow.tokens_per_s)).where(MetricRow.job_id == last)
    )


def speed_of(tx: Tx, job_id: str) -> float | None:
    """Tokens per second of the second half of a job's steps: the first ones also warm up."""
    steps = sa.select(sa.func.max(MetricRow.step) / 2).where(MetricRow.job_id == job_id)
    return tx.session.scalar(
        sa.select(sa.func.avg(MetricRow.tokens_per_s)).where(
            MetricRow.job_id == job_id, MetricRow.step >= steps.scalar_subquery()
        )
    )


def _announce_once(tx: Tx, row: JobRow, message: str, *, level: str) -> None:
    """A trainer that starts again says the same again."""
    said = sa.select(JobEventRow.id).where(
        JobEventRow.job_id == row.id, JobEventRow.message == message.replace("\x00", "\\0")
    )
    if message and tx.session.scalar(said.limit(1)) is None:
        announce(tx, row, message, level=level)


def _stopped_early(event: Mapping[str, Any]) -> str:
    loss = _number(event.get("best_loss"))
    return (
        f"Stopped early at step {event.get('step')}: no better evaluation since step "
        f"{event.get('best_step')}, whose weights are kept"
        + (f" (validation loss {loss:.4f})." if loss is not None else ".")
    )


def note(tx: Tx, claim: Claim, message: str) -> None:
    """A warning among the job's events."""
    _announce_once(tx, queue.held(tx, claim), message, level="warning")


STEP_COLUMNS = (
    *("loss", "learning_rate", "grad_norm", "n_tokens"),
    *("n_trained_tokens", "tokens_per_s", "trained_tokens_per_s"),
)
EVALUATED_COLUMNS = ("valid_loss", "valid_token_accuracy")


def _running(tx: Tx, row: JobRow) -> None:
    if row.status is JobStatus.STARTED:
        move(tx, row, JobStatus.RUNNING, "Training.")


def _metrics(tx: Tx, row: JobRow, event: Mapping[str, Any], columns: Iterable[str]) -> MetricRow:
    step = int(event["step"])
    metric = tx.session.get(MetricRow, (row.id, step))
    if metric is None:
        metric = MetricRow(job_id=row.id, step=step, created_at=tx.now())
        tx.session.add(metric)
    for column in columns:
        setattr(metric, column, _number(event.get(column)))
    return metric


def _measures(event: Mapping[str, Any]) -> dict[str, float] | None:
    told = event.get("measures")
    if not isinstance(told, Mapping):
        return None
    numbers = {str(name): _number(value) for name, value in told.items()}
    return {name: value for name, value in numbers.items() if value is not None} or None


def _checkpoint(tx: Tx, row: JobRow, event: Mapping[str, Any]) -> None:
    step = int(event["step"])
    checkpoint = tx.session.get(CheckpointRow, (row.id, step))
    if checkpoint is None:
        checkpoint = CheckpointRow(job_id=row.id, step=step, created_at=tx.now())
        tx.session.add(checkpoint)
        row.attempts = 0  # Further than any attempt before: the job makes progress.
    for column in ("train_loss", *EVALUATED_COLUMNS):
        setattr(checkpoint, column, _number(event.get(column)))


def _progress(event: Mapping[str, Any]) -> Progress:
    def number(name: str) -> float:
        return _number(event.get(name)) or 0.0

    return Progress(
        step=int(event["step"]),
        total_steps=int(number("total_steps")),
        train_loss=number("loss"),
        learning_rate=number("learning_rate"),
        tokens_per_s=number("tokens_per_s"),
        trained_tokens_per_s=number("trained_tokens_per_s"),
        eta_s=number("eta_s"),
        n_tokens=int(number("n_tokens")),
        grad_norm=_number(event.get("grad_norm")),
        epoch=_number(event.get("epoch")),
        memory_bytes=_whole(event.get("memory_bytes")),
        peak_memory_bytes=_whole(event.get("peak_memory_bytes")),
        gpu_memory_bytes=_whole(event.get("gpu_memory_bytes")),
        mfu=_number(event.get("mfu")),
    )


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: Any) -> float | int | None:
    """Only what JSON of every database can hold: NaN and infinity become unknown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) else None


def _expected_start(tx: Tx, row: JobRow) -> datetime | None:
    """When training should begin: work ahead in the queue, shared by the living workers."""
    if not row.start_requested:
        return None
    ahead = tx.session.scalars(
        sa.select(JobRow).where(
            JobRow.queued_for == Phase.TRAIN, JobRow.paused.is_(False), JobRow.id != row.id
        )
    ).all()
    workers = max(1, len(queue.living_workers(tx)))
    if len(ahead) < workers:
        return tx.now()
    left_s = sum(
        job.progress.eta_s if job.progress else float(job.estimate.expected_duration_s or 0)
        for job in ahead
    )
    return tx.now() + timedelta(seconds=left_s / workers)
