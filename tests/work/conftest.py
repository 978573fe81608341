"""A home with an organisation, a base, a file and validated jobs, for the tests of workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from modiste.actions import files, jobs, runs
from modiste.store.database import Database
from modiste.store.queue import Claim, WorkerId
from modiste.types import Actor, Hyperparameters, Job, JobEstimate, TrainingFile

CHAT = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}
HERE = WorkerId.of_this_process("tester")
CreateJob = Callable[..., Job]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Real processes take seconds: the second database has its turn with the slow tests."""
    return str(request.param)


@pytest.fixture
def create(database: Database, admin: Actor) -> CreateJob:
    """`create(*rows, **options)` is a queued job with `auto_start`."""

    def make(*rows: object, **options: Any) -> Job:
        chunks = [json.dumps(row).encode() + b"\n" for row in rows or [CHAT]]
        file = files.add(database, admin, filename="train.jsonl", chunks=chunks)
        wanted = {"model": "modiste-tiny", "training_files": [TrainingFile(file.id)], **options}
        with database.transaction() as tx:
            return jobs.create(tx, admin, **{"auto_start": True, **wanted})

    return make


@pytest.fixture
def validated(database: Database, create: CreateJob) -> CreateJob:
    """A job that waits for training; nobody looked into its files."""

    def make(**options: Any) -> Job:
        job = create(**options)
        with database.transaction() as tx:
            assignment = runs.take(tx, HERE)
            assert assignment is not None
            assert assignment.job.id == job.id
            runs.record_validated(
                tx,
                assignment.claim,
                spec={},
                estimate=JobEstimate(),
                hyperparameters=Hyperparameters(),
                skip_lines={},
            )
        return job

    return make


@pytest.fixture
def take(database: Database) -> Callable[[], runs.Assignment]:
    def claim() -> runs.Assignment:
        with database.transaction() as tx:
            found = runs.take(tx, HERE)
        assert found is not None
        return found

    return claim


@pytest.fixture
def steal(database: Database) -> Callable[[Claim], None]:
    """Another worker claims the job, as after a lease that ran out."""

    def make(claim: Claim) -> None:
        from modiste.store import queue

        with database.transaction() as tx:
            row = queue.held(tx, claim)
            row.fence += 1
            row.lease_worker = "thief"

    return make


@pytest.fixture
def look(database: Database, admin: Actor) -> Callable[[Job], Job]:
    """The job as it is now."""

    def get(job: Job) -> Job:
        with database.transaction(write=False) as tx:
            return jobs.get(tx, admin, job.id)

    return get
