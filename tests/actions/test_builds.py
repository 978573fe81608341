"""What a worker records about a version it builds: fenced, and nothing after a cancellation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modiste.actions import builds, datasets
from modiste.actions.builds import Build
from modiste.actions.datasets import PartFile
from modiste.actions.runs import Wish
from modiste.errors import LeaseLost
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.types import Actor, DatasetFile, File, JobError, VersionStatus

HERE = WorkerId.of_this_process()
MADE = (DatasetFile("train", "f", "sql-v1-train.jsonl", "0" * 64, 1),)


def do(database: Database, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with database.transaction() as tx:
        return verb(tx, *args, **options)


@pytest.fixture
def build(database: Database, admin: Actor, upload: Callable[..., File]) -> Build:
    """A version that was just taken."""
    parts = [PartFile(upload().id)]
    wanted = {"name": "sql", "part_files": parts, "stages": ["dedup"]}
    do(database, datasets.create, admin, **wanted)
    with database.transaction() as tx:
        claim = queue.claim(tx, HERE)
        assert claim is not None
        return builds.taken(tx, claim)


def built(database: Database, build: Build) -> Any:
    told = {"manifest_sha256": "1" * 64, "report_sha256": "2" * 64}
    return do(database, builds.record_built, build.claim, files=MADE, **told)


def test_a_version_that_was_built_is_ready_and_out_of_the_queue(
    database: Database, admin: Actor, build: Build
) -> None:
    assert build.owner.key_id == admin.key_id
    assert not build.given_up
    done = built(database, build)
    assert (done.status, done.files, done.manifest_sha256) == ("READY", MADE, "1" * 64)
    assert done.finished_at is not None
    assert do(database, datasets.ready, admin, "sql@1") == done
    assert do(database, queue.waiting, HERE) is False


def test_a_version_that_failed_says_why(database: Database, build: Build) -> None:
    error = JobError("invalid_input", "a.jsonl has rows that cannot be read")
    done = do(database, builds.record_failed, build.claim, error)
    assert (done.status, done.error) == (VersionStatus.FAILED, error)


def test_deleting_the_dataset_cancels_what_is_being_built(
    database: Database, admin: Actor, build: Build
) -> None:
    do(database, datasets.delete, admin, "sql")
    assert do(database, builds.wish, build.claim) is Wish.CANCEL
    assert built(database, build).status is VersionStatus.CANCELLED
    assert do(database, builds.living_datasets) == set()


def test_a_worker_without_its_lease_changes_nothing(database: Database, build: Build) -> None:
    with database.transaction() as tx:
        queue.held_version(tx, build.claim).fence += 1
    for verb, args in (
        (builds.wish, ()),
        (builds.record_cancelled, ()),
        (builds.record_failed, (JobError("x", "y"),)),
    ):
        with pytest.raises(LeaseLost):
            do(database, verb, build.claim, *args)


def test_a_version_that_kills_every_worker_is_given_up(database: Database, build: Build) -> None:
    with database.transaction() as tx:
        queue.held_version(tx, build.claim).attempts = queue.MAX_ATTEMPTS
        queue.drop(queue.held_version(tx, build.claim))
    with database.transaction() as tx:
        claim = queue.claim(tx, HERE)
        assert claim is not None
        assert builds.taken(tx, claim).given_up
