"""What a worker writes about a batch: fenced, once, and true to what stopped it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import batch_runs, batches, keys, sweep
from modiste.actions.batch_lines import Checked
from modiste.actions.batch_runs import BatchTask, Results
from modiste.actions.runs import Wish
from modiste.errors import LeaseLost
from modiste.settings import Settings
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import Actor, BatchCounts, BatchStatus, JobError, Problem

HERE = WorkerId.of_this_process()
S = BatchStatus
NOTHING = Results(None, None)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(settings: Settings, clock: Clock, migrate: Callable[[Database], None]) -> Any:
    database = Database(settings, clock=clock)
    migrate(database)
    yield database
    database.close()


def make(database: Database, actor: Actor, n: int = 2, **options: Any) -> str:
    requests = [{"custom_id": str(i), "body": {"messages": []}} for i in range(n)]
    wanted = {"endpoint": "/v1/chat/completions", "dialect": "mistral", "model": "modiste-tiny"}
    return batches.create(database, actor, requests=requests, **wanted, **options).id  # type: ignore[arg-type]


def take(database: Database) -> BatchTask:
    with database.transaction() as tx:
        claim = queue.claim(tx, HERE, {Phase.BATCH})
        assert claim is not None
        return batch_runs.taken(tx, claim)


def test_progress_is_recorded_and_the_whole_ends_in_success(
    database: Database, admin: Actor
) -> None:
    make(database, admin)
    task = take(database)
    assert task.batch.status is S.VALIDATING
    one, two = BatchCounts(2, 1, 0, 5, 7), BatchCounts(2, 1, 1, 5, 7)
    with database.transaction() as tx:
        batch_runs.record_progress(tx, task.claim, one)
        batch = queue.held_batch(tx, task.claim).noun()
        assert (batch.status, batch.counts) == (S.RUNNING, one)
        assert batch.started_at is not None
    with database.transaction() as tx:
        batch_runs.record_finalizing(tx, task.claim)
        assert queue.held_batch(tx, task.claim).status is S.FINALIZING
        ended = batch_runs.record_ended(tx, task.claim, two, NOTHING)
    assert (ended.status, ended.counts) == (S.SUCCESS, two)
    with database.transaction() as tx, pytest.raises(LeaseLost):
        batch_runs.record_progress(tx, task.claim, one)


def test_lines_with_problems_fail_the_batch_and_are_told(database: Database, admin: Actor) -> None:
    make(database, admin)
    task = take(database)
    problem = Problem("in", 1, "body", "body_invalid", "body is not there")
    with database.transaction() as tx:
        batch = batch_runs.record_refused(tx, task.claim, Checked(9, (problem,), 4))
    assert (batch.status, batch.counts.total) == (S.FAILED, 9)
    assert batch.error == JobError(
        "invalid_lines", "in line 1: body is not there; and 3 more", problems=(problem,)
    )


def test_what_did_not_run_in_time_expires(database: Database, admin: Actor, clock: Clock) -> None:
    make(database, admin, timeout_h=1)
    task = take(database)
    clock.now += timedelta(hours=1)
    with database.transaction() as tx:
        ended = batch_runs.record_ended(tx, task.claim, BatchCounts(2, 1), NOTHING)
    assert ended.status is S.EXPIRED


def test_what_is_missing_before_its_time_is_a_failure(database: Database, admin: Actor) -> None:
    make(database, admin)
    task = take(database)
    with database.transaction() as tx:
        ended = batch_runs.record_ended(tx, task.claim, BatchCounts(2, 1), NOTHING)
    assert ended.status is S.FAILED
    assert ended.error is not None
    assert ended.error.code == "batch_died"


def test_a_cancelled_batch_is_cancelled_whatever_else_happened(
    database: Database, admin: Actor
) -> None:
    batch_id = make(database, admin)
    task = take(database)
    with database.transaction() as tx:
        assert batch_runs.wish(tx, task.claim) is Wish.GO_ON
        batches.cancel(tx, admin, batch_id)
        assert batch_runs.wish(tx, task.claim) is Wish.CANCEL
        batch_runs.record_finalizing(tx, task.claim)
        assert queue.held_batch(tx, task.claim).status is S.CANCELLATION_REQUESTED
        error = JobError("x", "y")
        ended = batch_runs.record_ended(tx, task.claim, BatchCounts(2, 1), NOTHING, error=error)
    assert (ended.status, ended.error) == (S.CANCELLED, None)


def test_a_batch_of_a_revoked_key_stops_and_says_so(
    database: Database, admin: Actor, other: Actor
) -> None:
    make(database, other)
    task = take(database)
    with database.transaction() as tx:
        keys.revoke(tx, admin, other.key_id)
    with database.transaction() as tx:
        assert batch_runs.wish(tx, task.claim) is Wish.CANCEL
        queue.release(tx, task.claim)
    again = take(database)
    assert again.actor.scopes == frozenset()
    with database.transaction() as tx:
        ended = batch_runs.record_ended(tx, again.claim, BatchCounts(2, 1), NOTHING)
    assert (ended.status, ended.error) == (S.FAILED, batch_runs.KEY_GONE)


def test_attempts_begin_anew_with_every_result(database: Database, admin: Actor) -> None:
    make(database, admin)
    task = take(database)
    with database.transaction() as tx:
        for _ in range(queue.MAX_ATTEMPTS - 1):
            assert batch_runs.count_attempt(tx, task.claim)
        assert not batch_runs.count_attempt(tx, task.claim)
        batch_runs.record_progress(tx, task.claim, BatchCounts(2, 1))
        assert batch_runs.count_attempt(tx, task.claim)


def test_storing_results_again_is_storing_them_once(
    database: Database, admin: Actor, tmp_path: Path
) -> None:
    make(database, admin, results_expire_s=3600)
    task = take(database)
    path = tmp_path / "errors.jsonl"
    path.write_text(json.dumps({"id": 1}) + "\n")
    first = batch_runs.store(database, task, path, errors=True)
    second = batch_runs.store(database, task, path, errors=True)
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert (first.sample_type, first.visibility) == ("batch_error", "workspace")
    assert first.expires_at == first.created_at + timedelta(seconds=3600)
    assert batch_runs.store(database, task, None, errors=False) is None


def test_requests_of_a_batch_stay_until_it_ended(
    database: Database, admin: Actor, clock: Clock
) -> None:
    make(database, admin)
    task = take(database)
    [(_, sha256)] = task.blobs
    sweep.sweep(database, grace=timedelta(0))
    assert database.blobs.exists(sha256)
    with database.transaction() as tx:
        batch_runs.record_failed(tx, task.claim, JobError("x", "y"))
    sweep.sweep(database, grace=timedelta(0))
    assert not database.blobs.exists(sha256)
