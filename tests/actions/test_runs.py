"""What a worker records: fenced, repeatable, and complete when the job ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from modiste.actions import jobs, models, runs
from modiste.actions.runs import Assignment, Wish
from modiste.errors import LeaseLost
from modiste.store import queue
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import JobRow, Phase
from modiste.types import (
    Actor,
    Hyperparameters,
    Job,
    JobError,
    JobEstimate,
    JobStatus,
    Parity,
)

S = JobStatus
HERE = WorkerId.of_this_process()
PARITY = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.")
ADAPTER = adapter_of({"adapter_model.safetensors": "f" * 64})
STEP = {"event": "step", "step": 1, "total_steps": 4, "loss": 2.0, "learning_rate": 1e-4}
Create = Callable[..., Job]


def do(database: Database, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with database.transaction() as tx:
        return verb(tx, *args, **options)


def take(database: Database) -> Assignment:
    found = do(database, runs.take, HERE)
    assert isinstance(found, Assignment)
    return found


def record_validated(database: Database, claim: Claim, **changes: Any) -> None:
    options: dict[str, Any] = {
        "spec": {"max_steps": 4},
        "estimate": JobEstimate(expected_duration_s=100),
        "hyperparameters": Hyperparameters(training_steps=4),
        "skip_lines": {"file": [3]},
    }
    do(database, runs.record_validated, claim, **(options | changes))


@pytest.fixture
def training(database: Database, create: Create) -> Assignment:
    """A job that was just taken for training."""
    create(auto_start=True)
    record_validated(database, take(database).claim)
    return take(database)


def look(database: Database, actor: Actor, job: Job) -> Job:
    found: Job = do(database, jobs.get, actor, job.id)
    return found


def test_an_assignment_says_all_a_worker_needs(database: Database, training: Assignment) -> None:
    file_id = training.job.training_files[0].file_id
    assert training.claim.phase is Phase.TRAIN
    assert (training.base_path / "config.json").is_file()
    assert training.filenames == {file_id: "a.jsonl"}
    assert len(training.blobs[file_id]) == 64
    assert training.spec == {"max_steps": 4}
    assert training.skip_lines == {"file": [3]}
    assert (training.events_offset, training.adapter, training.given_up) == (0, None, False)


def test_validation_fills_in_what_it_found(
    database: Database, admin: Actor, training: Assignment
) -> None:
    job = look(database, admin, training.job)
    assert job.hyperparameters.training_steps == 4
    assert job.estimate.expected_duration_s == 100
    assert job.estimate.estimated_start_time is not None


def test_jobs_ahead_move_the_expected_start(
    database: Database, admin: Actor, create: Create, training: Assignment
) -> None:
    second = create(suffix="second", auto_start=True)
    before = do(database, lambda tx: tx.now())
    record_validated(database, take(database).claim)
    expected = look(database, admin, second).estimate.estimated_start_time
    assert expected is not None
    assert timedelta(seconds=99) < expected - before < timedelta(seconds=130)


def test_a_job_that_rests_has_no_expected_start(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create()
    record_validated(database, take(database).claim)
    assert look(database, admin, job).estimate.estimated_start_time is None


def test_steps_become_progress_metrics_and_checkpoints(
    database: Database, admin: Actor, training: Assignment
) -> None:
    said = [
        {"event": "started", "total_steps": 4},
        STEP,
        {**STEP, "step": 2, "loss": 1.0, "tokens_per_s": 50.0, "eta_s": 3.0, "n_tokens": 20},
        {"event": "evaluated", "step": 2, "valid_loss": 1.5, "valid_token_accuracy": 0.5},
        {"event": "checkpoint", "step": 2, "train_loss": 1.5, "valid_loss": 1.5},
        {"event": "something of a later version"},
    ]
    do(database, runs.record_events, training.claim, said, offset=123)
    job = look(database, admin, training.job)
    assert job.status is S.RUNNING
    assert job.progress is not None
    assert (job.progress.step, job.progress.total_steps, job.progress.n_tokens) == (2, 4, 20)
    assert (job.progress.tokens_per_s, job.progress.eta_s) == (50.0, 3.0)
    assert [
        (c.step, c.train_loss, c.valid_loss, c.valid_token_accuracy) for c in job.checkpoints
    ] == [(2, 1.5, 1.5, None)]
    rows = do(database, jobs.metrics, admin, job.id)
    assert [(m.step, m.loss, m.valid_loss) for m in rows] == [(1, 2.0, None), (2, 1.0, 1.5)]
    assert [m.step for m in do(database, jobs.metrics, admin, job.id, after_step=1)] == [2]


def test_what_is_measured_of_pairs_is_kept_per_step_and_per_evaluation(
    database: Database, admin: Actor, training: Assignment
) -> None:
    said = [
        {**STEP, "measures": {"preference_accuracy": 0.75, "reward_margin": float("nan")}},
        {"event": "evaluated", "step": 1, "valid_loss": 0.6, "measures": {"reward_margin": 0.2}},
        {**STEP, "step": 2, "measures": {}},
    ]
    do(database, runs.record_events, training.claim, said, offset=1)
    first, second = do(database, jobs.metrics, admin, training.job.id)
    assert (first.measures, first.valid_measures) == (
        {"preference_accuracy": 0.75},
        {"reward_margin": 0.2},
    )
    assert (second.measures, second.valid_measures) == (None, None)


def test_saying_everything_again_changes_nothing(
    database: Database, admin: Actor, training: Assignment
) -> None:
    said = [STEP, {"event": "checkpoint", "step": 1, "train_loss": 2.0}, {**STEP, "step": 2}]
    do(database, runs.record_events, training.claim, said, offset=1)
    once = look(database, admin, training.job)
    do(database, runs.record_events, training.claim, said, offset=1)
    again = look(database, admin, training.job)
    assert again.checkpoints == once.checkpoints
    assert again.events == once.events
    assert [m.step for m in do(database, jobs.metrics, admin, once.id)] == [1, 2]


def test_numbers_that_are_none_become_unknown(
    database: Database, admin: Actor, training: Assignment
) -> None:
    broken = {**STEP, "loss": float("nan"), "grad_norm": float("inf"), "learning_rate": "x"}
    do(database, runs.record_events, training.claim, [broken], offset=1)
    (row,) = do(database, jobs.metrics, admin, training.job.id)
    assert (row.loss, row.grad_norm, row.learning_rate) == (None, None, None)


def test_success_shows_model_and_status_at_the_same_moment(
    database: Database, admin: Actor, training: Assignment
) -> None:
    do(database, runs.record_events, training.claim, [STEP], offset=1)
    do(database, runs.record_trained, training.claim, adapter=ADAPTER, trained_tokens=99)
    model = do(database, runs.record_success, training.claim, parity=PARITY)
    job = look(database, admin, training.job)
    assert (job.status, job.fine_tuned_model, job.trained_tokens) == (S.SUCCESS, model.id, 99)
    assert model.id in job.events[-1].message
    assert do(database, models.resolve, admin, model.id).parity == PARITY


def test_a_worker_that_takes_over_behind_training_only_publishes(
    database: Database, admin: Actor, training: Assignment
) -> None:
    do(database, runs.record_trained, training.claim, adapter=ADAPTER, trained_tokens=99)
    do(database, queue.release, training.claim)
    again = take(database)
    assert again.adapter == ADAPTER
    do(database, runs.record_success, again.claim, parity=PARITY)
    assert [event.status for event in look(database, admin, again.job).events][-3:] == [
        *(S.STARTED, S.RUNNING, S.SUCCESS)
    ]


@pytest.mark.parametrize("verb", ["validated", "failed", "success", "stopped"])
def test_a_cancelled_job_ends_cancelled_whatever_its_worker_says(
    database: Database, admin: Actor, training: Assignment, create: Create, verb: str
) -> None:
    claim, job = training.claim, training.job
    if verb == "validated":
        job = create(suffix="v", auto_start=True)
        claim = take(database).claim
    do(database, jobs.cancel, admin, job.id)
    if verb == "validated":
        record_validated(database, claim)
    elif verb == "failed":
        do(database, runs.record_failed, claim, JobError("x", "y"))
    elif verb == "success":
        do(database, runs.record_trained, claim, adapter=ADAPTER, trained_tokens=1)
        assert do(database, runs.record_success, claim, parity=PARITY) is None
    else:
        do(database, runs.record_stopped, claim, step=1, offset=0)
        again = take(database)
        assert do(database, runs.wish, again.claim) is Wish.CANCEL
        do(database, runs.record_cancelled, again.claim)
    ended = look(database, admin, job)
    assert (ended.status, ended.fine_tuned_model, ended.error) == (S.CANCELLED, None, None)


def test_a_failure_during_validation_is_a_failed_validation(
    database: Database, admin: Actor, create: Create
) -> None:
    job = create()
    do(database, runs.record_failed, take(database).claim, JobError("x", "Three bad rows."))
    ended = look(database, admin, job)
    assert (ended.status, ended.events[-1].level) == (S.FAILED_VALIDATION, "error")
    assert ended.events[-1].message == "Three bad rows."


def test_no_verb_works_without_the_lease(database: Database, training: Assignment) -> None:
    claim = training.claim
    with database.transaction() as tx:
        queue.held(tx, claim).fence += 1
    verbs: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (runs.record_events, {"events": [STEP], "offset": 1}),
        (runs.record_trained, {"adapter": ADAPTER, "trained_tokens": 1}),
        (runs.record_success, {"parity": PARITY}),
        (runs.record_failed, {"error": JobError("x", "y")}),
        (runs.record_cancelled, {}),
        (runs.record_stopped, {"step": 1, "offset": 1}),
        (runs.count_attempt, {}),
        (runs.wish, {}),
    ]
    for verb, options in verbs:
        with pytest.raises(LeaseLost):
            do(database, verb, claim, **options)
    with database.transaction() as tx:
        row = tx.session.query(JobRow).one()
        assert (row.status, row.events_offset, row.adapter) == (S.STARTED, 0, None)


def test_whatever_is_recorded_after_the_end_is_refused(
    database: Database, training: Assignment
) -> None:
    do(database, runs.record_failed, training.claim, JobError("x", "y"))
    with pytest.raises(LeaseLost):
        do(database, runs.record_failed, training.claim, JobError("x", "y"))


def test_attempts_are_forgotten_with_a_new_checkpoint_and_given_up_without(
    database: Database, training: Assignment
) -> None:
    claim = training.claim
    tries = [do(database, runs.count_attempt, claim) for _ in range(queue.MAX_ATTEMPTS)]
    assert tries == [True] * (queue.MAX_ATTEMPTS - 1) + [False]
    said = [{"event": "checkpoint", "step": 10}]
    do(database, runs.record_events, claim, said, offset=1)
    assert do(database, runs.count_attempt, claim)
    for _ in range(queue.MAX_ATTEMPTS):
        do(database, runs.record_events, claim, said, offset=1)
        do(database, runs.count_attempt, claim)
    with database.transaction() as tx:
        queue.drop(queue.held(tx, claim))
    assert take(database).given_up


def test_speed_is_that_of_the_last_job_on_the_base(
    database: Database, training: Assignment
) -> None:
    assert training.tokens_per_s is None
    said = [{**STEP, "step": n, "tokens_per_s": speed} for n, speed in [(1, 100.0), (2, 200.0)]]
    do(database, runs.record_events, training.claim, said, offset=1)
    assert do(database, runs.measured_speed, "modiste-tiny") == 150.0
    assert do(database, runs.measured_speed, "another") is None


def test_the_speed_of_a_job_is_that_of_its_later_steps(
    database: Database, training: Assignment
) -> None:
    paces = [(1, 10.0), (2, 100.0), (3, 120.0), (4, 140.0)]
    said = [{**STEP, "step": n, "tokens_per_s": pace} for n, pace in paces]
    do(database, runs.record_events, training.claim, said, offset=1)
    assert do(database, runs.speed_of, training.job.id) == pytest.approx(120.0)


def test_a_warning_of_the_trainer_becomes_an_event_of_the_job(
    database: Database, admin: Actor, training: Assignment
) -> None:
    said = [{"event": "warning", "step": 3, "code": "out_of_memory", "message": "Less at once."}]
    do(database, runs.record_events, training.claim, said, offset=1)
    last = do(database, jobs.get, admin, training.job.id).events[-1]
    assert (last.level, last.message) == ("warning", "Less at once.")


def test_only_finished_jobs_count_as_ended(
    database: Database, admin: Actor, create: Create
) -> None:
    done, waiting = create(), create(suffix="waiting")
    do(database, jobs.cancel, admin, done.id)
    assert do(database, runs.ended, [done.id, waiting.id, "unknown"]) == {done.id}
