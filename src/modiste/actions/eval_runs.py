"""Runs of suites: what a worker reads and writes about one that it holds, fenced.

As with jobs, every write names the claim it is made under, and a worker whose lease went to
somebody else gets LeaseLost and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from modiste.actions import keys
from modiste.actions.runs import Wish
from modiste.store import queue
from modiste.store.database import Tx
from modiste.store.eval_tables import EvalRunRow
from modiste.store.queue import Claim
from modiste.types import Actor, EvalCounts, EvalRun, EvalStatus, JobError

KEY_GONE = JobError(
    "key_revoked", "The key that asked for this run was revoked; its answers so far are kept."
)


@dataclass(frozen=True)
class EvalTask:
    """All that a worker needs to know about the run it holds."""

    claim: Claim
    run: EvalRun
    blobs: Mapping[str, tuple[str, str]]
    """File id to name and sha256; `samples` are answers of an earlier run, or of this one."""
    actor: Actor
    """In whose name its requests are sent, with what that key may do now."""
    given_up: bool
    """Too many claims without an answer: say so instead of trying again."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    counts: EvalCounts
    samples_sha256: str | None
    record: Mapping[str, Any] | None = None
    metrics: Sequence[Mapping[str, Any]] = ()
    error: JobError | None = None


def taken(tx: Tx, claim: Claim) -> EvalTask:
    """The run behind a claim that was just made."""
    row = queue.held_eval(tx, claim)
    return EvalTask(
        claim=claim,
        run=row.noun(),
        blobs=row.blobs,
        actor=Actor(row.created_by, row.org, keys.scopes_now(tx, row.created_by)),
        given_up=row.attempts > queue.MAX_ATTEMPTS,
    )


def wish(tx: Tx, claim: Claim) -> Wish:
    """Raises LeaseLost when the run is no longer ours."""
    row = queue.held_eval(tx, claim)
    stop = row.cancel_requested_at is not None or not keys.scopes_now(tx, row.created_by)
    return Wish.CANCEL if stop else Wish.GO_ON


def count_attempt(tx: Tx, claim: Claim) -> bool:
    """Note that its process is started once more; False when often enough."""
    row = queue.held_eval(tx, claim)
    row.attempts += 1
    return row.attempts <= queue.MAX_ATTEMPTS


def record_progress(tx: Tx, claim: Claim, counts: EvalCounts) -> None:
    """It runs, and this much of it is done, durably."""
    row = queue.held_eval(tx, claim)
    if row.status is EvalStatus.QUEUED:
        row.status = EvalStatus.RUNNING
    row.started_at = row.started_at or tx.now()
    if counts.done > row.counts.done:
        row.attempts = 0
    row.counts = counts


def record_ended(tx: Tx, claim: Claim, outcome: Outcome) -> EvalRun:
    """The end of a run: whole, cancelled, or failed with an error. Answers so far are kept."""
    row = queue.held_eval(tx, claim)
    queue.drop(row)
    error = outcome.error
    if error is None and row.cancel_requested_at is None and outcome.record is None:
        error = KEY_GONE
    row.counts, row.samples_sha256 = outcome.counts, outcome.samples_sha256
    if row.cancel_requested_at is not None:
        row.status = EvalStatus.CANCELLED
    elif error is not None:
        row.status, row.error = EvalStatus.FAILED, error
    else:
        row.status = EvalStatus.SUCCESS
        row.record = dict(outcome.record or {})
        row.metrics = tuple(map(dict, outcome.metrics))
    row.finished_at, row.queued_for = tx.now(), None
    tx.session.flush()
    return row.noun()


def unfinished(tx: Tx, run_ids: Iterable[str]) -> set[str]:
    """Which of these runs somebody will still work on."""
    query = sa.select(EvalRunRow.id).where(
        EvalRunRow.id.in_(list(run_ids)), EvalRunRow.finished_at.is_(None)
    )
    return set(tx.session.scalars(query))


def blobs_in_use(tx: Tx) -> Iterator[str]:
    """Samples of every run, and its files: it may be resumed, or graded anew."""
    for row in tx.session.scalars(sa.select(EvalRunRow)):
        if row.samples_sha256 is not None:
            yield row.samples_sha256
        yield from (sha256 for _, sha256 in row.blobs.values())
