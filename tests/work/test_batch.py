"""A worker runs a batch to its end, whoever is killed on the way; real processes throughout."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modiste.actions import batch_runs, batches, keys
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.tables import Phase
from modiste.types import Actor, Batch, BatchStatus
from modiste.work import batch
from modiste.work.worker import BATCHES, Worker

from .beside import children, one_database, until, workers

S = BatchStatus


@pytest.fixture
def make(database: Database, admin: Actor) -> Callable[..., Batch]:
    """A batch of `n` requests, which the stand-in answers as `how` says."""

    def create(n: int = 5, actor: Actor = admin, **how: Any) -> Batch:
        (database.settings.home / "standin.json").write_text(json.dumps(how))
        requests = [{"custom_id": f"c{i}", "body": {"n": i}} for i in range(n)]
        return batches.create(
            database,
            actor,
            endpoint="/v1/chat/completions",
            dialect="mistral",
            model="modiste-tiny",
            requests=requests,
        )

    return create


@pytest.fixture
def worker(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Worker]]:
    """`worker()` is a loop of batches in a thread, whose child is a stand-in that needs no app."""
    monkeypatch.setattr(batch, "RUNNER", "standin_batch")
    with workers(database.settings, BATCHES) as start:
        yield start


def look(database: Database, actor: Actor, made: Batch) -> Batch:
    with database.transaction(write=False) as tx:
        return batches.get(tx, actor, made.id)


def end_of(database: Database, actor: Actor, made: Batch) -> Batch:
    return until(lambda: b if (b := look(database, actor, made)).status.final else None)  # type: ignore[no-any-return]


def names(database: Database, actor: Actor, made: Batch) -> list[str]:
    with database.transaction(write=False) as tx:
        return [line["custom_id"] for line in batches.results(tx, actor, made.id)]


def test_a_batch_runs_to_its_end_and_leaves_files_and_nothing_else(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    worker()
    done = end_of(database, admin, made := make(fail=[1]))
    assert (done.status, done.counts.succeeded, done.counts.failed) == (S.SUCCESS, 4, 1)
    assert None not in (done.started_at, done.finalizing_at, done.finished_at)
    assert names(database, admin, made) == ["c0", "c2", "c3", "c4", "c1"]
    assert not (database.settings.runs_dir / made.id).exists()


@pytest.mark.slow
@one_database
def test_lines_that_were_refused_fail_it(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    worker()
    done = end_of(database, admin, make(refuse="body is wrong"))
    assert done.status is S.FAILED
    assert done.error is not None
    assert [problem.message for problem in done.error.problems] == ["body is wrong"]


@pytest.mark.slow
def test_a_killed_child_is_started_again_and_no_result_is_lost_or_doubled(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    worker()
    made = make(60, step_s=0.03)
    for _ in range(3):
        before = look(database, admin, made).counts.completed
        until(lambda: look(database, admin, made).counts.completed > before)  # noqa: B023
        for child in children(made.id):
            child.kill()
    done = end_of(database, admin, made)
    assert (done.status, done.counts.succeeded) == (S.SUCCESS, 60)
    assert names(database, admin, made) == [f"c{i}" for i in range(60)]


@pytest.mark.slow
@one_database
def test_a_child_that_always_dies_ends_the_batch_and_keeps_its_results(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    worker()
    done = end_of(database, admin, made := make(9, die_at=3))
    assert done.status is S.FAILED
    assert done.error is not None
    assert (done.error.code, done.counts.succeeded) == ("batch_died", 3)
    assert "ended with exit code 9" in done.error.message
    assert names(database, admin, made) == ["c0", "c1", "c2"]


@pytest.mark.slow
@one_database
def test_a_cancelled_batch_ends_with_what_it_has(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    worker()
    made = make(500, step_s=0.03)
    until(lambda: look(database, admin, made).counts.completed > 3)
    with database.transaction() as tx:
        assert batches.cancel(tx, admin, made.id).status is S.CANCELLATION_REQUESTED
    done = end_of(database, admin, made)
    assert done.status is S.CANCELLED
    assert names(database, admin, made)[:3] == ["c0", "c1", "c2"]
    assert done.output_file is not None
    assert done.error_file is not None


@pytest.mark.slow
def test_a_draining_worker_hands_the_batch_on_and_the_next_one_goes_on(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    first = worker()
    made = make(60, step_s=0.03)
    until(lambda: look(database, admin, made).counts.completed > 5)
    first.stopping.set()
    until(lambda: not children(made.id))
    so_far = look(database, admin, made).counts.completed
    assert 5 < so_far < 60
    worker()
    assert end_of(database, admin, made).counts.succeeded == 60
    assert names(database, admin, made) == [f"c{i}" for i in range(60)]


@pytest.mark.slow
@one_database
def test_a_batch_of_a_revoked_key_ends_with_what_it_has(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    with database.transaction() as tx:
        made_key = keys.create(tx, admin, name="soon gone", scopes=["infer"])
        owner = keys.authenticate(tx, made_key.secret)
    worker()
    made = make(500, actor=owner, step_s=0.03)
    until(lambda: look(database, admin, made).counts.completed > 3)
    with database.transaction() as tx:
        keys.revoke(tx, admin, owner.key_id)
    done = end_of(database, admin, made)
    assert (done.status, done.error) == (S.FAILED, batch_runs.KEY_GONE)
    assert names(database, admin, made)[:3] == ["c0", "c1", "c2"]


@pytest.mark.slow
def test_a_worker_that_lost_the_batch_stops_its_child_and_writes_nothing_more(
    database: Database, admin: Actor, make: Callable[..., Batch], worker: Callable[[], Worker]
) -> None:
    worker()
    made = make(500, step_s=0.03)
    until(lambda: look(database, admin, made).counts.completed > 3)
    with database.transaction() as tx:
        row = tx.session.query(queue.BatchRow).filter_by(id=made.id).one()
        row.fence += 1
        row.lease_worker, row.lease_host, row.queued_for = "thief", "elsewhere", Phase.BATCH
        row.lease_expires_at = tx.now().replace(year=2099)
    until(lambda: not children(made.id))
    left = look(database, admin, made)
    time.sleep(1.0)
    assert look(database, admin, made) == left
    assert left.status is S.RUNNING


def test_what_an_ended_batch_left_behind_is_tidied_and_what_runs_is_not(
    database: Database, admin: Actor, make: Callable[..., Batch]
) -> None:
    made = make()
    folders = [database.settings.runs_dir / name for name in (made.id, "ended-long-ago")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / batch.REQUEST).write_text("{}")
    batch.tidy(database)
    assert [folder.exists() for folder in folders] == [True, False]
