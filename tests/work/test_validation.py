"""VALIDATING for real: a child reads the files with the shipped base's tokenizer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modiste import __version__
from modiste.actions import forgetting, jobs, seen
from modiste.actions.runs import Assignment
from modiste.errors import Corrupt, LeaseLost
from modiste.prepare.records import row_id
from modiste.store.database import Database
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import JobRow, ModelRow
from modiste.tune.room import Room
from modiste.types import Actor, Hyperparameters, Job, JobError, JobStatus
from modiste.work import validation
from modiste.work.bench import Bench
from modiste.work.pulse import Pulse
from modiste.work.supervisor import environment

GOOD = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}
BAD = {"messages": [{"role": "bot", "content": "a?"}]}
S = JobStatus


@pytest.fixture
def bench(database: Database, take: Callable[[], Assignment]) -> Iterator[Callable[[], Bench]]:
    """The job that waits, taken."""
    with Pulse(database, WorkerId.of_this_process("tester")) as pulse:

        def make() -> Bench:
            assignment = take()
            pulse.holding(assignment.claim).__enter__()
            parts = environment(database.settings)
            return Bench(assignment, database, pulse, threading.Event(), parts)

        yield make


def test_good_files_validate_the_job_and_plan_it(
    create: Callable[..., Job], bench: Callable[[], Bench], look: Callable[[Job], Job]
) -> None:
    job = create(*[GOOD] * 20, hyperparameters=Hyperparameters(training_steps=7, fim_ratio=0.5))
    validation.run(bench())
    done = look(job)
    assert [event.status for event in done.events][-2:] == [S.VALIDATED, S.QUEUED]
    assert done.hyperparameters.training_steps == 7
    assert done.hyperparameters.epochs
    assert done.estimate.train_tokens
    assert done.estimate.expected_duration_s
    assert "fim_ratio concerns plain text" in done.events[-2].message


def test_every_problem_is_in_the_job_when_it_fails(
    create: Callable[..., Job], bench: Callable[[], Bench], look: Callable[[Job], Job]
) -> None:
    job = create(GOOD, BAD, {"messages": []})
    validation.run(bench())
    failed = look(job)
    assert failed.status is S.FAILED_VALIDATION
    assert failed.error is not None
    assert {problem.line for problem in failed.error.problems} == {2, 3}
    assert "train.jsonl line 2" in failed.error.message


def test_rows_that_may_be_skipped_are_named_for_the_trainer(
    create: Callable[..., Job], bench: Callable[[], Bench], take: Callable[[], Assignment]
) -> None:
    job = create(*[GOOD] * 9, BAD, invalid_sample_skip_fraction=0.1)
    validation.run(bench())
    training = take()
    assert training.job.id == job.id
    assert training.skip_lines == {job.training_files[0].file_id: [10]}
    assert training.spec is not None
    assert training.spec["max_steps"] == training.job.hyperparameters.training_steps


def test_a_cancelled_validation_ends_at_once(
    database: Database,
    admin: Actor,
    create: Callable[..., Job],
    bench: Callable[[], Bench],
    look: Callable[[Job], Job],
) -> None:
    job = create()
    at_work = bench()
    with database.transaction() as tx:
        jobs.cancel(tx, admin, job.id)
    validation.run(at_work)
    assert look(job).status is S.CANCELLED


def test_a_worker_that_goes_hands_the_validation_on(
    create: Callable[..., Job], bench: Callable[[], Bench], take: Callable[[], Assignment]
) -> None:
    job = create()
    at_work = bench()
    at_work.stopping.set()
    validation.run(at_work)
    assert take().job.id == job.id


def test_a_lost_lease_ends_the_validation(
    create: Callable[..., Job], bench: Callable[[], Bench], steal: Callable[[Claim], None]
) -> None:
    create()
    at_work = bench()
    steal(at_work.job.claim)
    with pytest.raises(LeaseLost):
        validation.run(at_work)


def test_a_damaged_file_is_noticed_before_it_is_read(
    database: Database, create: Callable[..., Job], bench: Callable[[], Bench]
) -> None:
    create()
    at_work = bench()
    (sha256,) = at_work.job.blobs.values()
    blob = database.settings.home / "blobs" / sha256[:2] / sha256
    blob.write_bytes(b'{"messages": "others"}\n')
    with pytest.raises(Corrupt, match="Upload the file again"):
        validation.run(at_work)


@pytest.mark.parametrize("rows", [[GOOD] * 6, [GOOD, BAD]])
def test_report_and_preview_are_kept_with_the_job_however_it_ends(
    database: Database,
    create: Callable[..., Job],
    bench: Callable[[], Bench],
    look: Callable[[Job], Job],
    rows: list[object],
) -> None:
    job = create(*rows)
    validation.run(bench())
    done = look(job)
    assert done.report_sha256 is not None
    assert done.preview_sha256 is not None
    report = json.loads(b"".join(database.blobs.open(done.report_sha256)))
    assert report["ok"] is (BAD not in rows)
    assert report["files"][0]["rows"] == len(rows)
    assert report["tokenizer"]["model"] == "modiste-tiny"
    assert report["seq_len"] > 0
    preview = json.loads(b"".join(database.blobs.open(done.preview_sha256)))
    sample = preview["files"][0]["samples"][0]
    assert 0 < sample["counts"]["trained"] < sample["counts"]["tokens"]


def test_a_forgotten_row_makes_its_line_bad(
    database: Database,
    admin: Actor,
    create: Callable[..., Job],
    bench: Callable[[], Bench],
    look: Callable[[Job], Job],
) -> None:
    other, gone = GOOD, {**GOOD, "tools": []}
    with database.transaction() as tx:
        forgetting.forget(tx, admin, [row_id(gone)], reason="asked to")
    job = create(other, gone)
    validation.run(bench())
    error = look(job).error
    assert error is not None
    assert error.code == "row_forgotten"
    assert [problem.line for problem in error.problems] == [2]


def test_a_file_of_an_older_modiste_gets_its_rows_indexed(
    database: Database, create: Callable[..., Job], bench: Callable[[], Bench]
) -> None:
    job = create(GOOD)
    with database.transaction() as tx:
        tx.session.query(JobRow).one().rows = None
    validation.run(bench())
    with database.transaction(write=False) as tx:
        row = tx.session.query(JobRow).one()
        assert row.code_version == __version__
        index = seen.Indexes(tx).of_job(row)[job.training_files[0].file_id]
    assert index.lines([row_id(GOOD)]) == {row_id(GOOD): [1]}


def test_a_base_that_is_gone_fails_the_job_by_name(
    database: Database,
    tmp_path: Path,
    create: Callable[..., Job],
    bench: Callable[[], Bench],
    look: Callable[[Job], Job],
) -> None:
    job = create()
    with database.transaction() as tx:
        tx.session.query(ModelRow).one().path = str(tmp_path / "gone")
    validation.run(bench())
    error = look(job).error
    assert error is not None
    assert str(tmp_path / "gone") in error.message


def test_a_reader_that_dies_is_reported_with_its_last_words(
    create: Callable[..., Job],
    bench: Callable[[], Bench],
    look: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = create()
    monkeypatch.setattr(validation, "REQUEST", "somewhere-else.json")
    validation.run(bench())
    error = look(job).error
    assert error is not None
    assert error.code == "validation_died"
    assert "FileNotFoundError" in error.message


def test_a_job_too_large_for_this_machine_fails_validation_and_names_the_field(
    create: Callable[..., Job],
    bench: Callable[[], Bench],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this process: the room of a machine stands in for a small one."""
    create(*[GOOD] * 5, hyperparameters=Hyperparameters(lora_rank=1024))
    at_work = bench()
    request = validation._request(at_work, {})
    size = 1_500_000_000
    small = Room("cpu", "a small one", size, size, size, 10**12, "this container")
    monkeypatch.setattr(validation.job_plan.room, "look", lambda folder: small)
    refused = validation.validate(request, tmp_path, at_work.settings)
    assert isinstance(refused, JobError)
    assert refused.code == "memory_too_small"
    assert "this container has 1.5 GB" in refused.message
    assert "`lora.rank: " in refused.message
    forced = replace(request, spec=request.spec | {"force": True})
    assert isinstance(validation.validate(forced, tmp_path, at_work.settings), validation.Valid)
