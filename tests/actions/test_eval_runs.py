"""What a worker writes about a run it holds: fenced, counted, and never a success by accident."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from modiste.actions import eval_runs, evaluations, files, keys, sweep
from modiste.actions.eval_runs import EvalTask, Outcome
from modiste.actions.runs import Wish
from modiste.errors import LeaseLost
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import MAX_ATTEMPTS, WorkerId
from modiste.store.tables import Phase
from modiste.types import Actor, EvalCounts, EvalRun, EvalStatus, JobError, Purpose

HERE = WorkerId.of_this_process()
S = EvalStatus
Task = Callable[..., EvalTask]


@pytest.fixture
def make(database: Database, admin: Actor) -> Callable[..., EvalRun]:
    def create(actor: Actor = admin) -> EvalRun:
        chunks = [json.dumps({"q": n}).encode() + b"\n" for n in range(3)]
        options: Any = {"filename": "rows.jsonl", "purpose": Purpose.EVALS}
        file = files.add(database, actor, chunks=chunks, **options)
        spec = {
            "name": "s", "dataset": {"file_id": file.id}, "prompt": "{{q}}",
            "models": {"base": {"model": "modiste-tiny"}}, "scorers": ["exact"],
        }  # fmt: skip
        return evaluations.create(database, actor, spec=spec)[0]

    return create


@pytest.fixture
def task(database: Database, make: Callable[..., EvalRun]) -> Task:
    """A run that was just claimed."""

    def claimed(*args: Any) -> EvalTask:
        make(*args)
        with database.transaction() as tx:
            claim = queue.claim(tx, HERE, {Phase.EVALUATE})
            assert claim is not None
            return eval_runs.taken(tx, claim)

    return claimed


def look(database: Database, actor: Actor, task: EvalTask) -> EvalRun:
    with database.transaction(write=False) as tx:
        return evaluations.get(tx, actor, task.run.id)


def ended(database: Database, task: EvalTask, **changes: Any) -> EvalRun:
    outcome = {"counts": EvalCounts(total=3, done=3), "samples_sha256": None, "record": {}}
    with database.transaction() as tx:
        return eval_runs.record_ended(tx, task.claim, Outcome(**{**outcome, **changes}))


def test_progress_makes_it_run_and_forgives_attempts(
    database: Database, admin: Actor, task: Task
) -> None:
    held = task()
    for n in range(1, 12):
        with database.transaction() as tx:
            assert eval_runs.count_attempt(tx, held.claim)
        with database.transaction() as tx:
            eval_runs.record_progress(tx, held.claim, EvalCounts(total=30, done=n))
    run = look(database, admin, held)
    assert (run.status, run.counts.done) == (S.RUNNING, 11)
    assert run.started_at is not None


def test_attempts_without_progress_end(database: Database, task: Task) -> None:
    held = task()
    counts = EvalCounts(total=3, done=0)
    tries = []
    for _ in range(MAX_ATTEMPTS + 1):
        with database.transaction() as tx:
            eval_runs.record_progress(tx, held.claim, counts)
            tries.append(eval_runs.count_attempt(tx, held.claim))
    assert tries[-1] is False
    assert all(tries[:-2])


def test_a_claim_that_was_lost_writes_nothing(database: Database, admin: Actor, task: Task) -> None:
    held = task()
    with database.transaction() as tx:
        queue.held_eval(tx, held.claim).fence += 1
    before = look(database, admin, held)
    outcome = Outcome(EvalCounts(), None, record={})
    for write in (
        lambda tx: eval_runs.record_progress(tx, held.claim, EvalCounts(done=1)),
        lambda tx: eval_runs.record_ended(tx, held.claim, outcome),
        lambda tx: eval_runs.count_attempt(tx, held.claim),
        lambda tx: eval_runs.wish(tx, held.claim),
    ):
        with pytest.raises(LeaseLost), database.transaction() as tx:
            write(tx)
    assert look(database, admin, held) == before


def test_a_run_ends_as_what_became_of_it(database: Database, admin: Actor, task: Task) -> None:
    well = ended(database, task(), record={"primary": "x"}, metrics=[{"name": "mean"}])
    assert (well.status, well.record, well.metrics) == (
        S.SUCCESS, {"primary": "x"}, ({"name": "mean"},),
    )  # fmt: skip
    error = JobError("c", "broke")
    badly = ended(database, task(), error=error, samples_sha256="a" * 64)
    assert (badly.status, badly.error, badly.record) == (S.FAILED, error, None)
    assert badly.samples_sha256 == "a" * 64
    assert badly.finished_at is not None
    with database.transaction() as tx:
        assert queue.claim(tx, HERE, {Phase.EVALUATE}) is None


def test_a_run_that_is_not_whole_is_never_a_success(database: Database, task: Task) -> None:
    run = ended(database, task(), record=None)
    assert (run.status, run.error) == (S.FAILED, eval_runs.KEY_GONE)


def test_a_cancellation_wins_over_whatever_came_meanwhile(
    database: Database, admin: Actor, task: Task
) -> None:
    for late in ({}, {"error": JobError("c", "m"), "record": None}, {"record": None}):
        held = task()
        with database.transaction() as tx:
            evaluations.cancel(tx, admin, held.run.id)
        with database.transaction(write=False) as tx:
            assert eval_runs.wish(tx, held.claim) is Wish.CANCEL
        run = ended(database, held, **late)
        assert (run.status, run.error, run.counts.done) == (S.CANCELLED, None, 3)


def test_a_revoked_key_stops_its_run(
    database: Database, admin: Actor, other: Actor, task: Task
) -> None:
    held = task(other)
    with database.transaction() as tx:
        assert eval_runs.wish(tx, held.claim) is Wish.GO_ON
        keys.revoke(tx, admin, other.key_id)
    with database.transaction() as tx:
        assert eval_runs.wish(tx, held.claim) is Wish.CANCEL
        assert eval_runs.taken(tx, held.claim).actor.scopes == frozenset()


def test_unfinished_runs_are_told_apart(database: Database, task: Task) -> None:
    first, second = task(), task()
    ended(database, second)
    with database.transaction(write=False) as tx:
        asked = [first.run.id, second.run.id, "nobody"]
        assert eval_runs.unfinished(tx, asked) == {first.run.id}


def test_the_sweep_leaves_what_a_run_may_still_read_though_its_file_is_gone(
    database: Database, admin: Actor, task: Task
) -> None:
    held = task()
    samples = database.blobs.put_bytes(b"{}\n").sha256
    ended(database, held, samples_sha256=samples)
    rows = [sha256 for _, sha256 in held.blobs.values()]
    with database.transaction() as tx:
        for id_ in held.blobs:
            files.delete(tx, admin, id_)
    sweep.sweep(database, grace=timedelta(0))
    for sha256 in (*rows, samples):
        assert b"".join(database.blobs.open(sha256))
    with database.transaction() as tx:
        evaluations.delete(tx, admin, held.run.id)
    assert sweep.sweep(database, grace=timedelta(0)) >= 2
