"""Batch runs: what a worker reads and writes about a batch that it holds, fenced.

As with jobs, every write names the claim it is made under, and a worker whose lease went to
somebody else gets LeaseLost and changes nothing. Files of results are stored before the batch
names them; storing the same ones again is storing them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from modiste.actions import files, keys
from modiste.actions.batch_lines import Checked
from modiste.actions.runs import Wish
from modiste.store import queue
from modiste.store.batch_tables import BatchRow
from modiste.store.blobs import chunks_of
from modiste.store.database import Database, Tx
from modiste.store.queue import Claim
from modiste.types import (
    Actor,
    Batch,
    BatchCounts,
    BatchStatus,
    File,
    JobError,
    Purpose,
    Scope,
)

SOURCE = "mistral"
"""The API's word for files that the service made itself."""
RESULT, ERROR = "batch_result", "batch_error"
KEY_GONE = JobError(
    "key_revoked", "The key that asked for this batch was revoked; results so far are kept."
)
DIED = JobError(
    "batch_died", "The process that sent the requests died repeatedly; results so far are kept."
)
CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass(frozen=True)
class BatchTask:
    """All that a worker needs to know about the batch it holds."""

    claim: Claim
    batch: Batch
    blobs: Sequence[tuple[str, str]]
    """Name and sha256 of each input."""
    actor: Actor
    """In whose name its requests are sent, with what that key may do now."""
    deadline: datetime
    given_up: bool
    """Too many claims without a result: say so instead of trying again."""


@dataclass(frozen=True)
class Results:
    output: File | None
    errors: File | None


def taken(tx: Tx, claim: Claim) -> BatchTask:
    """The batch behind a claim that was just made."""
    row = queue.held_batch(tx, claim)
    if row.status is BatchStatus.QUEUED:
        row.status = BatchStatus.VALIDATING
    return BatchTask(
        claim=claim,
        batch=row.noun(),
        blobs=row.blobs,
        actor=Actor(row.created_by, row.org, keys.scopes_now(tx, row.created_by)),
        deadline=row.expires_at,
        given_up=row.attempts > queue.MAX_ATTEMPTS,
    )


def wish(tx: Tx, claim: Claim) -> Wish:
    """Raises LeaseLost when the batch is no longer ours."""
    row = queue.held_batch(tx, claim)
    stop = row.cancel_requested_at is not None or not keys.scopes_now(tx, row.created_by)
    return Wish.CANCEL if stop else Wish.GO_ON


def count_attempt(tx: Tx, claim: Claim) -> bool:
    """Note that the process that runs it is started once more; False when often enough."""
    row = queue.held_batch(tx, claim)
    row.attempts += 1
    return row.attempts <= queue.MAX_ATTEMPTS


def record_refused(tx: Tx, claim: Claim, found: Checked) -> Batch:
    """Its lines have problems: nothing of it runs."""
    first = f"{found.problems[0]}" if found.problems else "its lines cannot be read"
    more = f"; and {found.n_problems - 1:,} more" if found.n_problems > 1 else ""
    error = JobError("invalid_lines", first + more, problems=found.problems)
    row = queue.held_batch(tx, claim)
    row.counts = BatchCounts(total=found.n_requests)
    if row.cancel_requested_at is not None:
        return _ended(tx, claim, BatchStatus.CANCELLED)
    return _ended(tx, claim, BatchStatus.FAILED, error)


def record_progress(tx: Tx, claim: Claim, counts: BatchCounts) -> None:
    """It runs, and this much of it is done, durably."""
    row = queue.held_batch(tx, claim)
    if row.status is BatchStatus.VALIDATING:
        row.status = BatchStatus.RUNNING
    row.started_at = row.started_at or tx.now()
    if counts.completed > row.counts.completed:
        row.attempts = 0
    row.counts = counts


def record_finalizing(tx: Tx, claim: Claim) -> None:
    """Nothing of it runs any more; its files are made."""
    row = queue.held_batch(tx, claim)
    row.finalizing_at = row.finalizing_at or tx.now()
    if row.cancel_requested_at is None:
        row.status = BatchStatus.FINALIZING


def store(database: Database, task: BatchTask, path: Path | None, *, errors: bool) -> File | None:
    """A file of results as a file that people may download. Call it once the results are final."""
    if path is None:
        return None
    with database.transaction(write=False) as tx:
        row = queue.held_batch(tx, task.claim)
        private, expire_s = row.private, row.results_expire_s
    part = "errors" if errors else "output"
    with database.blobs.receive(chunks_of(path), max_bytes=2**63) as upload:
        return files.add_received(
            database,
            Actor(task.actor.key_id, task.actor.org, frozenset({Scope.DATA})),
            upload,
            filename=f"batch-{task.batch.id}-{part}.jsonl",
            purpose=Purpose.BATCH,
            expires_in_s=expire_s,
            visibility="user" if private else "workspace",
            source=SOURCE,
            sample_type=ERROR if errors else RESULT,
        )


def record_ended(
    tx: Tx, claim: Claim, counts: BatchCounts, results: Results, *, error: JobError | None = None
) -> Batch:
    """The end of a batch that ran: whole, cancelled, out of time, or given up with `error`."""
    row = queue.held_batch(tx, claim)
    row.counts = counts
    row.output_file = None if results.output is None else results.output.id
    row.error_file = None if results.errors is None else results.errors.id
    if row.cancel_requested_at is not None:
        return _ended(tx, claim, BatchStatus.CANCELLED)
    if error is not None:
        return _ended(tx, claim, BatchStatus.FAILED, error)
    if counts.completed == counts.total:
        return _ended(tx, claim, BatchStatus.SUCCESS)
    if not keys.scopes_now(tx, row.created_by):
        return _ended(tx, claim, BatchStatus.FAILED, KEY_GONE)
    early = tx.now() + CLOCKS_DIFFER < row.expires_at
    return _ended(tx, claim, *((BatchStatus.FAILED, DIED) if early else (BatchStatus.EXPIRED,)))


def record_failed(tx: Tx, claim: Claim, error: JobError) -> Batch:
    """It ends without files."""
    row = queue.held_batch(tx, claim)
    cancelled = row.cancel_requested_at is not None
    status = BatchStatus.CANCELLED if cancelled else BatchStatus.FAILED
    return _ended(tx, claim, status, None if cancelled else error)


def unfinished(tx: Tx, batch_ids: Iterable[str]) -> set[str]:
    """Which of these batches somebody will still work on."""
    query = sa.select(BatchRow.id).where(
        BatchRow.id.in_(list(batch_ids)), BatchRow.finished_at.is_(None)
    )
    return set(tx.session.scalars(query))


def blobs_in_use(tx: Tx) -> Iterator[str]:
    """What unfinished batches still read."""
    query = sa.select(BatchRow.blobs).where(BatchRow.finished_at.is_(None))
    for blobs in tx.session.scalars(query):
        yield from (sha256 for _, sha256 in blobs)


def _ended(tx: Tx, claim: Claim, status: BatchStatus, error: JobError | None = None) -> Batch:
    row = queue.held_batch(tx, claim)
    queue.drop(row)
    row.status, row.error = status, error
    row.finished_at, row.queued_for = tx.now(), None
    tx.session.flush()
    return row.noun()
