"""What people do with jobs: create, look, cancel at any moment, start, pause, resume."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from modiste.actions import files, jobs, runs
from modiste.errors import BadRequest, Conflict, Corrupt, Forbidden, InvalidInput, NotFound
from modiste.store.database import Database
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import JobSecretRow
from modiste.types import (
    Actor,
    File,
    Hyperparameters,
    Job,
    JobError,
    JobEstimate,
    JobStatus,
    Scope,
    TrainingFile,
)

Create = Callable[..., Job]
Upload = Callable[..., File]
S = JobStatus
WORKER = WorkerId.of_this_process()
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


def do(database: Database, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with database.transaction() as tx:
        return verb(tx, *args, **options)


def take(database: Database) -> Claim:
    assignment = do(database, runs.take, WORKER)
    assert assignment is not None
    return assignment.claim


def validate(database: Database) -> None:
    claim = take(database)
    do(
        database,
        runs.record_validated,
        claim,
        spec={},
        estimate=JobEstimate(expected_duration_s=5),
        hyperparameters=Hyperparameters(training_steps=3, epochs=1.0),
        skip_lines={},
    )


def started(database: Database, create: Create) -> tuple[Job, Claim]:
    job = create(auto_start=True)
    validate(database)
    return job, take(database)


def statuses(database: Database, actor: Actor, job: Job) -> list[JobStatus]:
    return [event.status for event in do(database, jobs.get, actor, job.id).events]


def test_a_new_job_is_queued_with_what_was_asked(
    database: Database, admin: Actor, upload: Upload
) -> None:
    train, valid = upload(CHAT), upload(CHAT, CHAT)
    job = do(
        database,
        jobs.create,
        admin,
        model="modiste-tiny",
        training_files=[TrainingFile(train.id, 0.5)],
        validation_files=[valid.id],
        hyperparameters=Hyperparameters(training_steps=3),
        suffix="mine",
        integrations=[{"type": "wandb", "project": "p", "name": "n", "api_key": "s" * 40}],
        metadata={"team": "blue"},
        invalid_sample_skip_fraction=0.1,
    )
    assert (job.status, job.auto_start, job.org) == (S.QUEUED, False, admin.org)
    assert job.training_files == (TrainingFile(train.id, 0.5),)
    assert job.validation_files == (valid.id,)
    assert job.hyperparameters == Hyperparameters(training_steps=3)
    assert job.integrations == ({"type": "wandb", "project": "p", "name": "n"},)
    assert (job.suffix, job.metadata, job.invalid_sample_skip_fraction) == (
        "mine",
        {"team": "blue"},
        0.1,
    )
    assert [event.status for event in job.events] == [S.QUEUED]
    assert job == do(database, jobs.get, admin, job.id)


KEY = "s" * 40


def everything_in(database: Database) -> str:
    with database.transaction(write=False) as tx:
        connection = tx.session.connection()
        tables = sa.inspect(connection).get_table_names()
        rows = [connection.exec_driver_sql(f"SELECT * FROM {t}").fetchall() for t in tables]
    return repr(rows)


def test_a_trackers_key_is_sealed_for_the_trainer_and_gone_when_the_job_ends(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create(
        integrations=[{"type": "wandb", "project": "p", "api_key": KEY}, {"type": "tensorboard"}],
        auto_start=True,
    )
    assert KEY not in everything_in(database) + repr(job)
    key_file = database.settings.home / "secrets.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    validate(database)
    claim = take(database)
    assert do(database, runs.secrets, claim) == {"WANDB_API_KEY": KEY}
    do(database, runs.record_failed, claim, JobError("x", "It failed."))
    with database.transaction(write=False) as tx:
        assert tx.session.scalar(sa.select(sa.func.count()).select_from(JobSecretRow)) == 0


def test_a_key_sealed_with_another_key_file_is_said_to_be_so(
    database: Database, admin: Actor, create: Create
) -> None:
    create(integrations=[{"type": "wandb", "project": "p", "api_key": KEY}], auto_start=True)
    validate(database)
    (database.settings.home / "secrets.key").write_bytes(Fernet.generate_key())
    with pytest.raises(Corrupt, match="MODISTE_SECRETS_KEY"):
        do(database, runs.secrets, take(database))


def test_two_keys_of_a_tracker_and_places_that_are_no_web_address_are_refused(
    create: Create, database: Database, admin: Actor
) -> None:
    wandb = {"type": "wandb", "project": "p"}
    with pytest.raises(InvalidInput, match="one key of wandb"):
        create(integrations=[wandb | {"api_key": "a" * 40}, wandb | {"api_key": "b" * 40}])
    trainer = replace(admin, scopes=frozenset({Scope.TRAIN}))
    with pytest.raises(InvalidInput, match="a web address is expected"):
        do(
            database,
            jobs.create,
            trainer,
            model="modiste-tiny",
            training_files=[],
            integrations=[{"type": "mlflow", "url": "file:///etc"}],
        )


@pytest.mark.parametrize(
    ("integration", "says"),
    [
        ({"type": "wandb", "project": "p", "url": "https://w.example"}, "give its api_key too"),
        ({"type": "mlflow", "url": "https://m.example"}, "the server's own goes nowhere else"),
        ({"type": "mlflow", "url": "https://me:s3cret@m.example"}, "would be shown"),
        ({"type": "tensorboard", "api_key": "s3cret"}, "tensorboard takes none"),
    ],
)
def test_a_job_sends_no_key_of_the_server_to_a_place_it_names_and_shows_none(
    database: Database, admin: Actor, integration: dict[str, str], says: str
) -> None:
    trainer = replace(admin, scopes=frozenset({Scope.TRAIN}))
    asked = {"model": "modiste-tiny", "training_files": [], "integrations": [integration]}
    with pytest.raises(InvalidInput, match=says) as told:
        do(database, jobs.create, trainer, **asked)
    assert "s3cret" not in told.value.message


def test_an_admin_and_a_key_of_ones_own_may_name_a_place(
    database: Database, admin: Actor, create: Create
) -> None:
    place = {"type": "mlflow", "url": "https://m.example"}
    assert create(integrations=[place]).integrations == (place,)
    trainer = replace(admin, scopes=frozenset({Scope.TRAIN}))
    asked = {"model": "modiste-tiny", "training_files": []}
    with pytest.raises(InvalidInput) as told:  # for want of files alone
        do(database, jobs.create, trainer, **asked, integrations=[place | {"api_key": "t"}])
    assert "integrations" not in told.value.message


def test_a_similar_unfinished_job_is_refused_and_a_different_one_is_not(
    database: Database, admin: Actor, create: Create
) -> None:
    first = create()
    with pytest.raises(Conflict, match=f"{first.id} is QUEUED"):
        create(auto_start=True, metadata={"a": "b"})
    create(suffix="other")
    create(hyperparameters=Hyperparameters(seed=1))
    do(database, jobs.cancel, admin, first.id)
    assert create().id != first.id


def test_the_whole_life_of_a_job_has_one_event_per_status(
    database: Database, admin: Actor, create: Create
) -> None:
    job, claim = started(database, create)
    do(database, runs.record_events, claim, [{"event": "started"}], offset=1)
    do(database, runs.record_failed, claim, JobError("nan", "The loss is NaN."))
    assert statuses(database, admin, job) == [
        *(S.QUEUED, S.VALIDATING, S.VALIDATED, S.QUEUED, S.STARTED, S.RUNNING, S.FAILED)
    ]
    ended = do(database, jobs.get, admin, job.id)
    assert ended.error == JobError("nan", "The loss is NaN.")
    assert ended.started_at is not None
    assert ended.finished_at is not None


def test_without_auto_start_a_job_rests_until_it_is_started(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create()
    validate(database)
    resting = do(database, jobs.get, admin, job.id)
    assert (resting.status, resting.hyperparameters.training_steps) == (S.VALIDATED, 3)
    assert do(database, runs.take, WORKER) is None
    assert do(database, jobs.start, admin, job.id).status is S.QUEUED
    assert do(database, jobs.start, admin, job.id).status is S.QUEUED
    take(database)
    assert do(database, jobs.start, admin, job.id).status is S.STARTED


def test_a_job_started_during_validation_runs_right_after_it(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create()
    do(database, jobs.start, admin, job.id)
    validate(database)
    take(database)
    assert statuses(database, admin, job)[-3:] == [S.VALIDATED, S.QUEUED, S.STARTED]


def test_a_waiting_job_is_cancelled_at_once(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create()
    cancelled = do(database, jobs.cancel, admin, job.id)
    assert (cancelled.status, cancelled.finished_at is not None) == (S.CANCELLED, True)
    assert do(database, runs.take, WORKER) is None
    resting = create()
    validate(database)
    assert do(database, jobs.cancel, admin, resting.id).status is S.CANCELLED


def test_a_job_at_work_is_asked_to_stop(database: Database, admin: Actor, create: Create) -> None:
    job, claim = started(database, create)
    assert do(database, jobs.cancel, admin, job.id).status is S.CANCELLATION_REQUESTED
    assert do(database, jobs.cancel, admin, job.id).status is S.CANCELLATION_REQUESTED
    assert do(database, runs.wish, claim) is runs.Wish.CANCEL
    do(database, runs.record_cancelled, claim)
    assert statuses(database, admin, job)[-3:] == [
        S.STARTED,
        S.CANCELLATION_REQUESTED,
        S.CANCELLED,
    ]


def test_a_running_job_that_no_worker_holds_is_cancelled_at_once(
    database: Database, admin: Actor, create: Create
) -> None:
    """Its worker drained and handed it back; nobody has taken it yet."""
    job, claim = started(database, create)
    do(database, runs.record_stopped, claim, step=2, offset=0)
    do(database, jobs.cancel, admin, job.id)
    assert statuses(database, admin, job)[-2:] == [S.CANCELLATION_REQUESTED, S.CANCELLED]


def test_cancelling_again_is_harmless_and_a_finished_job_stays_as_it_is(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create()
    do(database, jobs.cancel, admin, job.id)
    assert do(database, jobs.cancel, admin, job.id).status is S.CANCELLED
    failed, claim = started(database, create)
    do(database, runs.record_failed, claim, JobError("x", "y"))
    for verb in (jobs.cancel, jobs.start, jobs.pause, jobs.resume):
        with pytest.raises(BadRequest, match="already ended with FAILED") as told:
            do(database, verb, admin, failed.id)
        assert told.value.error_code == "job_finished"


def test_a_running_job_pauses_behind_a_checkpoint_and_goes_on(
    database: Database, admin: Actor, create: Create
) -> None:
    job, claim = started(database, create)
    assert not do(database, jobs.pause, admin, job.id).paused
    assert do(database, runs.wish, claim) is runs.Wish.PAUSE
    do(database, runs.record_stopped, claim, step=7, offset=0)
    paused = do(database, jobs.get, admin, job.id)
    assert (paused.status, paused.paused) == (S.QUEUED, True)
    assert "step 7" in paused.events[-1].message
    assert do(database, runs.take, WORKER) is None
    assert not do(database, jobs.resume, admin, job.id).paused
    assert take(database).job_id == job.id


def test_a_pause_withdrawn_in_time_only_costs_a_restart(
    database: Database, admin: Actor, create: Create
) -> None:
    job, claim = started(database, create)
    do(database, jobs.pause, admin, job.id)
    do(database, jobs.resume, admin, job.id)
    do(database, runs.record_stopped, claim, step=7, offset=0)
    assert not do(database, jobs.get, admin, job.id).paused
    assert take(database).job_id == job.id


def test_a_job_paused_before_it_ran_waits_and_can_be_cancelled(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create(auto_start=True)
    assert do(database, jobs.pause, admin, job.id).paused
    assert do(database, runs.take, WORKER) is None
    assert do(database, jobs.cancel, admin, job.id).status is S.CANCELLED


def test_lists_filter_by_everything(
    database: Database, admin: Actor, other: Actor, create: Create
) -> None:
    a = create(suffix="a", metadata={"team": "blue", "odd.key": 'x"y'})
    b = create(other, suffix="b", integrations=[{"project": "p", "name": "n"}])

    def found(actor: Actor = admin, **filters: Any) -> list[str | None]:
        return [job.suffix for job in do(database, jobs.list_, actor, **filters).items]

    do(database, jobs.cancel, admin, a.id)
    assert found() == ["b", "a"]
    assert found(status=S.CANCELLED) == ["a"]
    assert found(status=[S.CANCELLED, S.QUEUED]) == ["b", "a"]
    assert found(model="modiste-tiny") == ["b", "a"]
    assert found(model="nothing") == []
    assert found(suffix="b") == ["b"]
    assert found(created_by_me=True) == ["a"]
    assert found(wandb_project="p") == ["b"]
    assert found(wandb_project="p", wandb_name="m") == []
    assert found(metadata={"team": "blue"}) == ["a"]
    assert found(metadata={"team": "blue", "odd.key": 'x"y'}) == ["a"]
    assert found(metadata={"team": "red"}) == []
    assert found(created_before=b.created_at) == ["a"]
    assert found(created_after=b.created_at) == ["b"]
    assert found(created_after=b.created_at.replace(tzinfo=None)) == ["b"]
    assert found(created_after=b.created_at + timedelta(seconds=1)) == []
    assert found(limit=1) == ["b"]
    assert found(limit=1, after=b.id) == ["a"]
    assert found(page=1, page_size=1) == ["a"]


def test_events_and_checkpoints_are_paged_newest_first(
    database: Database, admin: Actor, create: Create
) -> None:
    job, claim = started(database, create)
    said = [{"event": "checkpoint", "step": step, "train_loss": 1.0} for step in (10, 20, 30)]
    do(database, runs.record_events, claim, said, offset=1)
    newest = do(database, jobs.events, admin, job.id, limit=2)
    assert [event.status for event in newest.items] == [S.STARTED, S.QUEUED]
    assert newest.has_more
    rest = do(database, jobs.events, admin, job.id, after=newest.items[-1].id)
    assert [event.status for event in rest.items] == [S.VALIDATED, S.VALIDATING, S.QUEUED]
    first = do(database, jobs.checkpoints, admin, job.id, limit=2)
    assert ([c.step for c in first.items], first.has_more) == ([30, 20], True)
    last = do(database, jobs.checkpoints, admin, job.id, after=first.items[-1].id)
    assert ([c.step for c in last.items], last.has_more) == ([10], False)


def test_unknown_jobs_and_missing_scopes_are_refused(
    database: Database, admin: Actor, create: Create
) -> None:
    with pytest.raises(NotFound, match="No fine tuning job matches"):
        do(database, jobs.get, admin, "nothing")
    job = create()
    stranger = replace(admin, org="f" * 8)
    with pytest.raises(NotFound):
        do(database, jobs.cancel, stranger, job.id)
    with pytest.raises(Forbidden, match="train"):
        do(database, jobs.get, replace(admin, scopes=frozenset()), job.id)


def test_an_estimate_creates_nothing_and_says_what_it_rests_on(
    database: Database, admin: Actor, upload: Upload
) -> None:
    files = [TrainingFile(upload(CHAT, CHAT, {"messages": []}).id)]
    hyperparameters = Hyperparameters(training_steps=10)
    made = jobs.estimate(
        database,
        admin,
        model="modiste-tiny",
        training_files=files,
        hyperparameters=hyperparameters,
    )
    assert made.training_steps == 10
    assert made.data_tokens
    assert made.train_tokens_per_step
    assert made.train_tokens == made.train_tokens_per_step * 10
    assert made.epochs == pytest.approx(made.train_tokens / made.data_tokens)
    assert made.expected_duration_s
    assert "1 of 3 rows are invalid and not counted" in made.details
    assert do(database, jobs.list_, admin).total == 0


def test_an_estimate_of_a_large_file_reads_its_beginning(
    database: Database, admin: Actor, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [CHAT | {"n": number} for number in range(300)]
    wanted: dict[str, Any] = {
        "model": "modiste-tiny",
        "training_files": [TrainingFile(upload(*rows).id)],
    }
    whole = jobs.estimate(database, admin, **wanted)
    monkeypatch.setattr(jobs, "ESTIMATE_BYTES", 4000)
    part = jobs.estimate(database, admin, **wanted)
    assert "Estimated from the first" in part.details
    assert whole.data_tokens
    # Every row has the same tokens; only the digits of `n` change how many fit into 4000 bytes.
    assert part.data_tokens == pytest.approx(whole.data_tokens, rel=0.03)


def test_an_estimate_of_a_large_packed_file_reads_its_first_rows(
    database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in range(1000, 1400)]
    packed = gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    file = files.add(database, admin, filename="a.jsonl.gz", chunks=[packed])
    wanted: dict[str, Any] = {
        "model": "modiste-tiny",
        "training_files": [TrainingFile(file.id)],
    }
    whole = jobs.estimate(database, admin, **wanted)
    monkeypatch.setattr(jobs, "ESTIMATE_BYTES", 1000)
    part = jobs.estimate(database, admin, **wanted)
    assert "Estimated from the first" in part.details
    assert part.data_tokens == pytest.approx(whole.data_tokens, rel=0.05)


def test_an_estimate_of_files_without_a_target_is_refused(
    database: Database, admin: Actor, upload: Upload
) -> None:
    row = {"messages": [CHAT["messages"][0], {**CHAT["messages"][1], "weight": 0}]}
    with pytest.raises(InvalidInput, match="training target"):
        jobs.estimate(
            database, admin, model="modiste-tiny", training_files=[TrainingFile(upload(row).id)]
        )
