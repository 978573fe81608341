"""One job in hand: writes are repeated until they are done, or the job is somebody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from modiste.actions import jobs
from modiste.actions.runs import Assignment
from modiste.errors import LeaseLost, StorageFull, Unavailable
from modiste.store.database import Database, Tx
from modiste.store.queue import Claim, WorkerId
from modiste.types import Actor, Job, JobError, JobStatus
from modiste.work.bench import Bench
from modiste.work.pulse import Pulse


@pytest.fixture
def bench(
    database: Database, create: Callable[..., Job], take: Callable[[], Assignment]
) -> Iterator[Bench]:
    create()
    with Pulse(database, WorkerId.of_this_process("tester")) as pulse:
        assignment = take()
        with pulse.holding(assignment.claim):
            yield Bench(assignment, database, pulse, threading.Event(), {})


def test_a_write_is_repeated_until_the_disk_has_room(bench: Bench) -> None:
    tries = []

    def write(tx: Tx) -> str:
        tries.append(tx)
        if len(tries) < 3:
            raise StorageFull("no room yet")
        return "written"

    assert bench.record(write) == "written"
    assert len(tries) == 3


def test_a_worker_that_is_asked_to_go_does_not_wait_for_room(bench: Bench) -> None:
    bench.stopping.set()

    def write(tx: Tx) -> None:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        bench.record(write)


def test_repeating_ends_when_the_job_is_somebody_elses(
    bench: Bench, steal: Callable[[Claim], None]
) -> None:
    steal(bench.job.claim)

    def write(tx: Tx) -> None:
        raise Unavailable("away")

    with pytest.raises(LeaseLost):
        bench.record(write)


def test_ends_are_recorded_and_later_ones_refused(bench: Bench, look: Callable[[Job], Job]) -> None:
    bench.fail(JobError("code", "what to do"))
    assert look(bench.job.job).error == JobError("code", "what to do")
    with pytest.raises(LeaseLost):
        bench.cancelled()


def test_a_job_handed_on_is_free_at_once(
    database: Database, admin: Actor, bench: Bench, take: Callable[[], Assignment]
) -> None:
    bench.hand_on()
    assert take().claim.fence == bench.job.claim.fence + 1


def test_a_cancelled_job_is_cancelled(
    database: Database, admin: Actor, bench: Bench, look: Callable[[Job], Job]
) -> None:
    with database.transaction() as tx:
        jobs.cancel(tx, admin, bench.job.job.id)
    bench.cancelled()
    assert look(bench.job.job).status is JobStatus.CANCELLED


def test_files_of_the_job_are_found_under_the_names_they_had(bench: Bench) -> None:
    (file_id,) = bench.job.blobs
    assert bench.filename(file_id) == "train.jsonl"
    assert bench.local_blob(file_id).is_file()
    assert bench.run_dir == bench.settings.home / "runs" / bench.job.job.id


def test_a_jobs_key_stands_in_for_the_servers_own(bench: Bench) -> None:
    own = {"MLFLOW_TRACKING_USERNAME": "us", "MLFLOW_TRACKING_PASSWORD": "ours", "KEPT": "yes"}
    mine = replace(bench, environment=own)
    assert mine.environment_with({"MLFLOW_TRACKING_TOKEN": "t"}) == {
        "KEPT": "yes",
        "MLFLOW_TRACKING_TOKEN": "t",
    }
    assert mine.environment_with({"WANDB_API_KEY": "k"}) == {**own, "WANDB_API_KEY": "k"}
