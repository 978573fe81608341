"""Leases and fences: one job, one worker, also when workers die, sleep or come back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from modiste.errors import LeaseLost
from modiste.settings import Settings
from modiste.store import queue
from modiste.store.data_tables import DatasetRow, DatasetVersionRow
from modiste.store.database import Database, Tx
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import JobRow, Phase
from modiste.types import Hyperparameters, JobEstimate, JobStatus, VersionStatus

ELSEWHERE = WorkerId("elsewhere", "another-host", 1, 1.0)
HERE = WorkerId.of_this_process()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 20, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(
    settings: Settings, clock: Clock, migrate: Callable[[Database], None]
) -> Iterator[Database]:
    database = Database(settings, clock=clock)
    migrate(database)
    yield database
    database.close()


def add_job(tx: Tx, name: str, **changes: Any) -> None:
    now = tx.now()
    values: dict[str, Any] = {
        **{"id": name, "org": "0" * 8, "created_by": "k", "model": "m", "base": "m"},
        **{"status": JobStatus.QUEUED, "queued_for": Phase.TRAIN, "signature": name},
        **{"training_files": (), "validation_files": (), "integrations": ()},
        **{"blobs": {}, "job_metadata": {}, "skip_lines": {}},
        **{"asked": Hyperparameters(), "hyperparameters": Hyperparameters()},
        **{"auto_start": True, "start_requested": True, "invalid_sample_skip_fraction": 0.0},
        **{"estimate": JobEstimate(), "created_at": now, "modified_at": now, "queued_at": now},
    }
    tx.session.add(JobRow(**(values | changes)))
    tx.session.flush()


def enqueue(database: Database, *names: str, **changes: Any) -> None:
    with database.transaction() as tx:
        for name in names:
            add_job(tx, name, **changes)


def claim(database: Database, worker: WorkerId = HERE, *phases: Phase) -> Claim | None:
    with database.transaction() as tx:
        return queue.claim(tx, worker, phases or tuple(Phase))


def claimed(database: Database, worker: WorkerId = HERE) -> Claim:
    found = claim(database, worker)
    assert found is not None
    return found


@contextmanager
def someone_alive() -> Iterator[WorkerId]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        started = psutil.Process(process.pid).create_time()
        yield WorkerId("other", queue.this_host(), process.pid, started)
    finally:
        process.kill()
        process.wait()


def test_jobs_are_claimed_in_the_order_of_queueing_each_once(database: Database) -> None:
    enqueue(database, "1", "2")
    assert [claimed(database).job_id for _ in range(2)] == ["1", "2"]
    assert claim(database) is None


def test_a_worker_claims_only_the_phases_it_asks_for(database: Database) -> None:
    enqueue(database, "1")
    assert claim(database, HERE, Phase.VALIDATE) is None
    assert claim(database, HERE, Phase.TRAIN) is not None


def add_version(tx: Tx, name: str) -> None:
    whose = {"org": "0" * 8, "name": name, "created_at": tx.now(), "created_by": "k"}
    tx.session.add(DatasetRow(id=f"of-{name}", **whose))
    tx.session.flush()
    tx.session.add(
        DatasetVersionRow(
            **whose,
            **{"id": name, "dataset_id": f"of-{name}", "version": 1, "code_version": "0"},
            **{"status": VersionStatus.QUEUED, "inputs": (), "stages": (), "files": ()},
            **{"queued_for": Phase.CURATE, "queued_at": tx.now()},
        )
    )
    tx.session.flush()


def test_versions_of_datasets_wait_in_the_same_line_as_jobs(database: Database) -> None:
    enqueue(database, "1")
    with database.transaction() as tx:
        add_version(tx, "2")
    enqueue(database, "3")
    assert [claimed(database).job_id for _ in range(3)] == ["1", "2", "3"]


def test_a_version_is_held_by_a_lease_and_a_fence_like_a_job(timed: Database, clock: Clock) -> None:
    with timed.transaction() as tx:
        add_version(tx, "1")
    first = claimed(timed, ELSEWHERE)
    clock.move(2.1)
    second = claimed(timed)
    with pytest.raises(LeaseLost), timed.transaction() as tx:
        queue.held_version(tx, first)
    with timed.transaction() as tx:
        queue.heartbeat(tx, second)
        assert queue.held_version(tx, second).fence == 2
        queue.release(tx, second)
    assert claimed(timed).fence == 3


def test_a_paused_job_waits_unless_it_was_cancelled(database: Database) -> None:
    enqueue(database, "1", paused=True)
    assert claim(database) is None
    enqueue(database, "2", paused=True, status=JobStatus.CANCELLATION_REQUESTED)
    assert claimed(database).job_id == "2"


def test_a_claim_ends_with_its_lease_and_the_next_has_a_higher_fence(
    timed: Database, clock: Clock
) -> None:
    enqueue(timed, "1")
    first = claimed(timed, ELSEWHERE)
    clock.move(1.9)
    assert claim(timed) is None
    clock.move(0.2)
    second = claimed(timed)
    assert (first.fence, second.fence) == (1, 2)
    assert (first.taken_over, second.taken_over) == (False, True)


def test_a_heartbeat_keeps_the_job(timed: Database, clock: Clock) -> None:
    enqueue(timed, "1")
    mine = claimed(timed, ELSEWHERE)
    for _ in range(5):
        clock.move(1.5)
        with timed.transaction() as tx:
            queue.heartbeat(tx, mine)
        assert claim(timed) is None


def test_an_expired_lease_that_nobody_took_is_still_ours(timed: Database, clock: Clock) -> None:
    """A laptop that slept goes on with its job."""
    enqueue(timed, "1")
    mine = claimed(timed, ELSEWHERE)
    clock.move(1000)
    with timed.transaction() as tx:
        queue.heartbeat(tx, mine)
    assert claim(timed) is None


def test_whoever_lost_the_lease_can_write_nothing(timed: Database, clock: Clock) -> None:
    enqueue(timed, "1")
    old = claimed(timed, ELSEWHERE)
    clock.move(3)
    new = claimed(timed)
    for verb in (queue.held, queue.heartbeat, queue.release):
        with (
            pytest.raises(LeaseLost, match=r"fence 1 and is now fence 2"),
            timed.transaction() as tx,
        ):
            verb(tx, old)
    with timed.transaction() as tx:
        assert queue.held(tx, new).lease_worker == HERE.id


def test_a_released_job_is_free_at_once_and_counts_no_attempt(database: Database) -> None:
    enqueue(database, "1")
    for _ in range(queue.MAX_ATTEMPTS + 3):
        mine = claimed(database)
        with database.transaction() as tx:
            assert queue.held(tx, mine).attempts == 1
            queue.release(tx, mine)
    with pytest.raises(LeaseLost), database.transaction() as tx:
        queue.held(tx, mine)


def test_claims_that_end_in_silence_are_counted(timed: Database, clock: Clock) -> None:
    enqueue(timed, "1")
    for n in range(1, 4):
        mine = claimed(timed, ELSEWHERE)
        with timed.transaction() as tx:
            assert queue.held(tx, mine).attempts == n
        clock.move(3)


def test_a_job_of_a_dead_process_is_free_at_once(database: Database) -> None:
    enqueue(database, "1")
    with someone_alive() as other:
        claimed(database, other)
        assert claim(database) is None
    mine = claimed(database)
    assert (mine.fence, mine.taken_over) == (2, True)


def test_a_zombie_is_dead(database: Database) -> None:
    enqueue(database, "1")
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    started = psutil.Process(process.pid).create_time()
    claimed(database, WorkerId("other", queue.this_host(), process.pid, started))
    process.kill()
    deadline = time.monotonic() + 60
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert claim(database) is not None
    process.wait()


def test_a_dead_pid_that_somebody_else_has_now_is_dead(database: Database) -> None:
    enqueue(database, "1")
    with someone_alive() as other:
        claimed(database, replace(other, pid_started=other.pid_started - 3600))
        assert claim(database) is not None


def test_a_pid_of_another_machine_says_nothing(database: Database) -> None:
    enqueue(database, "1")
    with someone_alive() as other:
        gone = replace(other, host="another-host")
    claimed(database, gone)
    assert claim(database) is None


def test_looking_for_work_finds_what_a_claim_would_find(database: Database) -> None:
    def waiting() -> bool:
        with database.transaction(write=False) as tx:
            return queue.waiting(tx, HERE)

    assert not waiting()
    enqueue(database, "1")
    assert waiting()
    claimed(database)
    assert not waiting()


def test_living_workers_are_those_that_spoke_lately(timed: Database, clock: Clock) -> None:
    def seen(worker: WorkerId, **job: str) -> None:
        with timed.transaction() as tx:
            queue.worker_seen(tx, worker, **job)

    def living() -> set[str]:
        with timed.transaction(write=False) as tx:
            return {row.id for row in queue.living_workers(tx)}

    seen(HERE, job_id="1")
    seen(ELSEWHERE)
    assert living() == {HERE.id, "elsewhere"}
    clock.move(1.5)
    seen(HERE)
    clock.move(1.5)
    assert living() == {HERE.id}
    with timed.transaction() as tx:
        queue.worker_gone(tx, HERE)
    assert living() == set()


CLAIM_ALL = """
import json, sys, time
from modiste import settings
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId

home, url, start = sys.argv[1:]
database = Database(settings.load({"home": home, "database_url": url or None, "lease_s": 60}, {}))
worker, claimed = WorkerId.of_this_process(), []
time.sleep(max(0, float(start) - time.time()))
while True:
    with database.transaction() as tx:
        claim = queue.claim(tx, worker)
    if claim is None:
        break
    claimed.append([claim.job_id, claim.fence])
print(json.dumps(claimed), flush=True)
sys.stdin.read()  # Whoever ends gives its jobs to the others.
"""


def test_racing_processes_never_claim_the_same_job(settings: Settings, database: Database) -> None:
    names = [f"{number:03}" for number in range(60)]
    enqueue(database, *names)
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    command = [sys.executable, "-c", CLAIM_ALL, str(settings.home), url, str(time.time() + 3)]
    pipe = subprocess.PIPE
    racers = [subprocess.Popen(command, stdout=pipe, stdin=pipe) for _ in range(4)]
    said = [racer.stdout.readline() for racer in racers if racer.stdout]
    for racer in racers:
        racer.communicate(timeout=60)
    claims = [tuple(pair) for line in said for pair in json.loads(line)]
    # SKIP LOCKED may let a racer see nothing free for a moment and leave; nothing is taken twice.
    assert len(claims) == len(set(claims)) == len({job_id for job_id, _ in claims})
    assert {fence for _, fence in claims} == {1}
    with database.transaction(write=False) as tx:
        held = tx.session.scalar(sa.select(sa.func.count()).where(JobRow.lease_worker.is_not(None)))
    assert held == len(claims)
    assert len(claims) >= len(names) - len(racers)
