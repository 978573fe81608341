"""Workers as real processes, killed, stopped, drained and racing: every job ends once, whole."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from modiste.actions import jobs
from modiste.errors import StorageFull
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.tables import JobRow, Phase
from modiste.types import Actor, Job, JobStatus
from modiste.work import worker as worker_module
from modiste.work.bench import Bench
from modiste.work.supervisor import environment
from modiste.work.worker import Worker

TESTS = Path(__file__).parent
S = JobStatus
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(database: Database) -> Iterator[Start]:
    """`start()` is a worker process with a stand-in trainer."""
    started: list[subprocess.Popen[bytes]] = []

    def make() -> subprocess.Popen[bytes]:
        parts = {**environment(database.settings), "PYTHONPATH": str(TESTS)}
        with (database.settings.home / "worker.log").open("ab") as log:
            command = [sys.executable, str(TESTS / "standin_worker.py")]
            started.append(subprocess.Popen(command, env=parts, stdout=log, stderr=log))
        return started[-1]

    yield make
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def trainer_does(database: Database) -> Callable[..., None]:
    def say(**how: Any) -> None:
        (database.settings.home / "standin.json").write_text(json.dumps(how))

    return say


def run_dir(database: Database, job: Job) -> Path:
    return database.settings.runs_dir / job.id


def trainers(database: Database, job: Job) -> list[int]:
    path = run_dir(database, job) / "trainers"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def until(happened: Callable[[], bool], *, within_s: float = 60, log: Path | None = None) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, log.read_text() if log else "it did not happen"
        time.sleep(0.03)


def step_of(look: Callable[[Job], Job], job: Job) -> int:
    progress = look(job).progress
    return progress.step if progress else 0


def fence_of(database: Database, job: Job) -> int:
    with database.transaction(write=False) as tx:
        return int(tx.session.query(JobRow).filter_by(id=job.id).one().fence)


def assert_whole(database: Database, admin: Actor, job: Job, n_steps: int) -> None:
    """Ended with success, every step there, every status once and in order."""
    with database.transaction(write=False) as tx:
        done = jobs.get(tx, admin, job.id)
        metrics = jobs.metrics(tx, admin, job.id)
    assert done.status is S.SUCCESS, done.error
    assert [(m.step, m.loss) for m in metrics] == [(n, 1 / n) for n in range(1, n_steps + 1)]
    assert [event.status for event in done.events] == [
        *(S.QUEUED, S.VALIDATING, S.VALIDATED, S.QUEUED, S.STARTED, S.RUNNING, S.SUCCESS)
    ]


def test_a_worker_takes_a_job_from_its_files_to_its_model(
    database: Database,
    admin: Actor,
    create: Callable[..., Job],
    look: Callable[[Job], Job],
    start: Start,
) -> None:
    start()
    job = create()
    log = database.settings.home / "worker.log"
    until(lambda: look(job).status.final, log=log)
    assert_whole(database, admin, job, 20)
    assert len(trainers(database, job)) == 1


@pytest.mark.slow
def test_after_kill_9_the_next_worker_continues_at_once_under_a_new_fence(
    database: Database,
    admin: Actor,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    start: Start,
    trainer_does: Callable[..., None],
) -> None:
    trainer_does(steps=60, step_s=0.05)
    job = validated()
    first = start()
    until(lambda: step_of(look, job) >= 7)
    fence = fence_of(database, job)
    first.kill()
    first.wait()
    start()
    until(lambda: look(job).status.final, log=database.settings.home / "worker.log")
    assert_whole(database, admin, job, 60)
    assert fence_of(database, job) == fence + 1
    assert len(trainers(database, job)) == 2
    said = [json.loads(e) for e in (run_dir(database, job) / "events.jsonl").open()]
    resumed = [event["step"] for event in said if event["event"] == "resumed"]
    assert resumed
    assert resumed[0] >= 5, "it began at its last checkpoint, not at the beginning"


@pytest.mark.slow
def test_killed_at_any_moment_a_job_ends_once_and_whole(
    database: Database,
    admin: Actor,
    create: Callable[..., Job],
    look: Callable[[Job], Job],
    start: Start,
    trainer_does: Callable[..., None],
) -> None:
    """Moments from the first import to the last checkpoint; which line they hit is left to chance.

    A job is given up after five claims without progress, so fewer kills than that must not hurt
    wherever they fall.
    """
    trainer_does(steps=40, step_s=0.05)
    job = create()
    for moment_s in (0.6, 1.4, 2.3, 3.1):
        worker = start()
        time.sleep(moment_s)
        worker.kill()
        worker.wait()
    start()
    until(lambda: look(job).status.final, log=database.settings.home / "worker.log")
    assert_whole(database, admin, job, 40)


@pytest.mark.slow
def test_a_worker_that_slept_through_its_lease_stops_and_the_other_finishes(
    database: Database,
    admin: Actor,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    start: Start,
    trainer_does: Callable[..., None],
) -> None:
    """Old worker and old trainer are alive the whole time: only the fence stands between them."""
    trainer_does(steps=150, step_s=0.05)
    job = validated()
    sleeper = start()
    until(lambda: step_of(look, job) >= 6)
    fence = fence_of(database, job)
    sleeper.send_signal(signal.SIGSTOP)
    start()
    until(lambda: fence_of(database, job) == fence + 1)
    (old_trainer,) = trainers(database, job)[:1]
    sleeper.send_signal(signal.SIGCONT)
    until(lambda: not psutil.pid_exists(old_trainer) or look(job).status.final)
    until(lambda: look(job).status.final, log=database.settings.home / "worker.log")
    assert_whole(database, admin, job, 150)
    assert fence_of(database, job) == fence + 1, "the sleeper claimed nothing back"
    assert sleeper.poll() is None, "the sleeper lives on and takes other jobs"
    assert "is now fence" in (database.settings.home / "worker.log").read_text()


def test_two_workers_share_the_jobs_and_never_one_job(
    database: Database,
    admin: Actor,
    create: Callable[..., Job],
    look: Callable[[Job], Job],
    start: Start,
    trainer_does: Callable[..., None],
) -> None:
    trainer_does(steps=10, step_s=0.1)
    made = [create(suffix=f"job{number}") for number in range(3)]
    start()
    start()
    until(lambda: all(look(job).status.final for job in made))
    for job in made:
        assert_whole(database, admin, job, 10)
        assert len(trainers(database, job)) == 1
        assert fence_of(database, job) == 2, "one claim to validate, one to train"


@pytest.mark.slow
def test_sigterm_drains_and_the_job_goes_on_elsewhere(
    database: Database,
    admin: Actor,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    start: Start,
    trainer_does: Callable[..., None],
) -> None:
    trainer_does(steps=60, step_s=0.05)
    job = validated()
    first = start()
    until(lambda: step_of(look, job) >= 4)
    first.terminate()
    assert first.wait(timeout=120) == 0
    with database.transaction(write=False) as tx:
        assert queue.living_workers(tx) == ()
        row = tx.session.query(JobRow).one()
        assert (row.status, row.lease_worker) == (S.RUNNING, None)
    start()
    until(lambda: look(job).status.final)
    assert_whole(database, admin, job, 60)


@pytest.fixture
def inside(database: Database) -> Worker:
    """A worker in this process, to be made to fail from within."""
    return Worker(database.settings)


def work_off(worker: Worker, job: Job, look: Callable[[Job], Job]) -> Job:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: look(job).status.final)
    finally:
        worker.stopping.set()
        thread.join(30)
    return look(job)


def test_a_fault_of_ours_ends_the_job_with_its_name(
    inside: Worker,
    create: Callable[..., Job],
    look: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(bench: Bench) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(worker_module, "JOBS", {Phase.VALIDATE: fail})
    error = work_off(inside, create(), look).error
    assert error is not None
    assert error.code == "internal_error"
    assert "ZeroDivisionError: by zero" in error.message


def test_an_error_that_says_what_to_do_is_passed_on(
    inside: Worker,
    create: Callable[..., Job],
    look: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(bench: Bench) -> None:
        raise StorageFull("Make room.")

    monkeypatch.setattr(worker_module, "JOBS", {Phase.VALIDATE: fail})
    ended = work_off(inside, create(), look)
    assert ended.error is not None
    assert (ended.error.code, ended.error.message) == ("storage_full", "Make room.")
    assert ended.status is S.FAILED_VALIDATION


def test_a_job_that_kills_whoever_touches_it_is_given_up(
    database: Database, inside: Worker, create: Callable[..., Job], look: Callable[[Job], Job]
) -> None:
    job = create()
    with database.transaction() as tx:
        tx.session.query(JobRow).one().attempts = queue.MAX_ATTEMPTS
    error = work_off(inside, job, look).error
    assert error is not None
    assert error.code == "given_up"
    assert "several attempts" in error.message


def test_a_cancelled_job_whose_worker_died_is_ended_by_the_next(
    database: Database,
    admin: Actor,
    inside: Worker,
    create: Callable[..., Job],
    take: Callable[[], Any],
    look: Callable[[Job], Job],
) -> None:
    job = create()
    claim = take().claim
    with database.transaction() as tx:
        assert jobs.cancel(tx, admin, job.id).status is S.CANCELLATION_REQUESTED
        queue.held(tx, claim).lease_pid_started = 1.0
    assert work_off(inside, job, look).status is S.CANCELLED


def test_a_wrong_setting_ends_the_worker_with_its_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path))
    monkeypatch.setenv("MODISTE_LEASES", "3")
    with caplog.at_level(logging.ERROR):
        assert worker_module.main([]) == 2
    assert "MODISTE_LEASES" in caplog.text
    assert worker_module.main(["--help"]) == 2
