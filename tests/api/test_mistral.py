"""Jobs in Mistral's words: projections for clients that cannot read the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from modiste.api import mistral
from modiste.errors import InvalidInput
from modiste.types import (
    Checkpoint,
    Hyperparameters,
    Job,
    JobError,
    JobEstimate,
    JobEvent,
    JobStatus,
    TrainingFile,
)

AT = datetime(2026, 11, 20, 12, 0, 0, 700_000, tzinfo=UTC)
JOB = Job(
    id="3d0632d6-87d1-442f-8eef-1dfedf394780",
    status=JobStatus.QUEUED,
    model="open-mistral-7b",
    base="modiste-tiny",
    training_files=(TrainingFile("f1", 2.0), TrainingFile("f2")),
    validation_files=("f3",),
    hyperparameters=Hyperparameters(epochs=3.0),
    auto_start=True,
    created_at=AT,
    modified_at=AT,
    created_by="key_1",
    org="94489706",
)
STATUSES_OF_MISTRAL_0 = {
    "QUEUED", "STARTED", "RUNNING", "FAILED", "SUCCESS", "CANCELLED", "CANCELLATION_REQUESTED",
}  # fmt: skip


def seen(status: JobStatus, *, auto_start: bool, mistral_0: bool = False) -> str:
    job = replace(JOB, status=status, auto_start=auto_start)
    return mistral.status_of(job, mistral_0=mistral_0)


@pytest.mark.parametrize("status", [JobStatus.VALIDATING, JobStatus.VALIDATED])
def test_a_job_that_starts_by_itself_is_queued_while_it_is_validated(status: JobStatus) -> None:
    assert seen(status, auto_start=True) == "QUEUED"
    assert seen(status, auto_start=False) == status


def test_started_is_running_for_everybody() -> None:
    assert seen(JobStatus.STARTED, auto_start=False) == "RUNNING"
    assert seen(JobStatus.STARTED, auto_start=True) == "RUNNING"


def test_every_other_status_is_shown_as_it_is() -> None:
    projected = {JobStatus.VALIDATING, JobStatus.VALIDATED, JobStatus.STARTED}
    for status in set(JobStatus) - projected:
        assert seen(status, auto_start=True) == seen(status, auto_start=False) == status


@pytest.mark.parametrize("status", list(JobStatus))
@pytest.mark.parametrize("auto_start", [True, False])
def test_the_0_x_client_never_sees_a_status_it_cannot_parse(
    status: JobStatus, auto_start: bool
) -> None:
    assert seen(status, auto_start=auto_start, mistral_0=True) in STATUSES_OF_MISTRAL_0
    event = JobEvent("e", status, AT)
    told = mistral.detailed_job(replace(JOB, events=(event,)), mistral_0=True).events[0]
    assert told.data.status in STATUSES_OF_MISTRAL_0


def test_events_keep_the_true_history() -> None:
    history = tuple(JobEvent(str(i), status, AT) for i, status in enumerate(JobStatus))
    told = mistral.detailed_job(replace(JOB, events=history), mistral_0=False)
    assert [event.data.status for event in told.events] == list(JobStatus)
    assert {event.name for event in told.events} == {"status-updated"}


@pytest.mark.parametrize("mistral_0", [True, False])
def test_a_filter_finds_every_job_that_is_shown_with_the_status(mistral_0: bool) -> None:
    for auto_start in (True, False):
        for status in JobStatus:
            shown = seen(status, auto_start=auto_start, mistral_0=mistral_0)
            behind = mistral.statuses_behind(shown, auto_start=auto_start, mistral_0=mistral_0)
            assert status in behind
        with pytest.raises(InvalidInput, match="'succeeded', expected one of QUEUED"):
            mistral.statuses_behind("succeeded", auto_start=auto_start, mistral_0=mistral_0)


@pytest.mark.parametrize(("planned", "shown"), [(None, 1), (70, 70), (12_000, 10_000)])
def test_the_0_x_client_always_gets_steps_within_its_bounds(
    planned: int | None, shown: int
) -> None:
    job = replace(JOB, estimate=JobEstimate(training_steps=planned))
    assert mistral.job_out(job, mistral_0=True).hyperparameters.training_steps == shown
    assert mistral.job_out(job, mistral_0=False).hyperparameters.training_steps is None


def test_a_job_has_exactly_the_fields_of_the_contract() -> None:
    told = mistral.job_out(replace(JOB, suffix="s"), mistral_0=False).model_dump(mode="json")
    assert told == {
        "id": JOB.id,
        "object": "job",
        "job_type": "completion",
        "auto_start": True,
        "model": "open-mistral-7b",
        "status": "QUEUED",
        "created_at": int(AT.timestamp()),
        "modified_at": int(AT.timestamp()),
        "training_files": ["f1", "f2"],
        "validation_files": ["f3"],
        "hyperparameters": {
            "training_steps": None,
            "epochs": 3.0,
            "learning_rate": 1e-4,
            "weight_decay": 0.1,
            "warmup_fraction": 0.05,
            "seq_len": None,
            "fim_ratio": None,
            "batch_size": None,
            "seed": 0,
            "lora_rank": 16,
            "lora_alpha": None,
            "lora_targets": None,
            "max_grad_norm": 1.0,
            "checkpoint_steps": None,
            "eval_steps": None,
            "over_length": "refuse",
            "method": "lora",
            "objective": None,
            "effort": None,
            "lora_dropout": 0.0,
            "lora_rslora": False,
            "lora_dora": False,
            "dpo_beta": 0.1,
            "dpo_label_smoothing": 0.0,
            "dpo_sft_weight": 0.0,
            "continue_from": None,
            "lr_schedule": "cosine",
            "keep": "last",
            "early_stopping_patience": None,
            "early_stopping_min_delta": 0.0,
            "dtype": "auto",
            "gradient_checkpointing": "auto",
            "microbatch_tokens": None,
            "force": False,
            "classifier_pooling": "mean",
            "classifier_balance": "sqrt",
            "classifier_phrases": True,
        },
        "fine_tuned_model": None,
        "suffix": "s",
        "integrations": [],
        "trackers": [],
        "trained_tokens": None,
        "metadata": {
            "expected_duration_seconds": None,
            "cost": None,
            "cost_currency": None,
            "train_tokens_per_step": None,
            "train_tokens": None,
            "data_tokens": None,
            "estimated_start_time": None,
        },
        "repositories": [],
        "error": None,
        "paused": False,
        "dataset": None,
    }


def test_a_tracker_that_mistrals_clients_cannot_read_is_shown_apart() -> None:
    kept = ({"type": "wandb", "project": "p", "name": "n"}, {"type": "mlflow", "url": "file:x"})
    told = mistral.job_out(replace(JOB, integrations=kept), mistral_0=False)
    assert [each.type for each in told.integrations] == ["wandb"]
    assert [(each.type, each.run_name) for each in told.trackers] == [
        ("wandb", "n"),
        ("mlflow", None),
    ]


def test_an_estimate_becomes_metadata_in_whole_seconds_and_money() -> None:
    estimate = JobEstimate(
        expected_duration_s=400,
        cost_micro=3_280_000,
        cost_currency="EUR",
        train_tokens_per_step=65536,
        train_tokens=6553600,
        data_tokens=137274,
        estimated_start_time=AT,
        training_steps=100,
        epochs=47.74,
        details="100 steps",
    )
    told = mistral.job_out(replace(JOB, estimate=estimate), mistral_0=False).metadata.model_dump()
    assert told == {
        "expected_duration_seconds": 400,
        "cost": 3.28,
        "cost_currency": "EUR",
        "train_tokens_per_step": 65536,
        "train_tokens": 6553600,
        "data_tokens": 137274,
        "estimated_start_time": int(AT.timestamp()),
    }
    dry = mistral.dry_run(estimate).model_dump()
    assert dry == told | {
        "object": "job.metadata",
        "training_steps": 100,
        "epochs": 47.74,
        "details": "100 steps",
        "deprecated": True,
    }


def test_a_measure_that_was_not_taken_is_null_and_checkpoints_stay_newest_first() -> None:
    checkpoints = (Checkpoint("b", 20, AT, train_loss=1.5), Checkpoint("a", 10, AT, valid_loss=2.0))
    told = mistral.detailed_job(replace(JOB, checkpoints=checkpoints), mistral_0=False)
    assert [each.step_number for each in told.checkpoints] == [20, 10]
    assert told.checkpoints[0].metrics.model_dump() == {
        "train_loss": 1.5,
        "valid_loss": None,
        "valid_mean_token_accuracy": None,
    }


def test_a_failure_says_why() -> None:
    job = replace(JOB, status=JobStatus.FAILED, error=JobError("nan_loss", "the loss is NaN"))
    assert mistral.job_out(job, mistral_0=False).model_dump()["error"] == {
        "code": "nan_loss",
        "message": "the loss is NaN",
    }


def body(**changes: object) -> mistral.JobIn:
    return mistral.JobIn.model_validate({"model": "m", "hyperparameters": {}, **changes})


def test_training_files_may_be_plain_strings() -> None:
    wanted = mistral.wanted(
        body(training_files=["a", {"file_id": "b", "weight": 2.5}]), mistral_0=False
    )
    assert wanted["training_files"] == [TrainingFile("a", 1.0), TrainingFile("b", 2.5)]


def test_an_absent_auto_start_means_no_except_for_the_client_that_cannot_send_it() -> None:
    assert mistral.wanted(body(), mistral_0=False)["auto_start"] is False
    assert mistral.wanted(body(), mistral_0=True)["auto_start"] is True
    assert mistral.wanted(body(auto_start=False), mistral_0=True)["auto_start"] is False


def test_every_field_of_the_contract_arrives() -> None:
    asked = body(
        training_files=["a"],
        validation_files=["v"],
        hyperparameters={
            "training_steps": 2,
            "learning_rate": 0.001,
            "weight_decay": 0.2,
            "warmup_fraction": 0.1,
            "epochs": 1.5,
            "seq_len": 512,
            "fim_ratio": 0.5,
        },
        suffix="my-suffix",
        integrations=[{"type": "wandb", "project": "p", "name": "n", "api_key": "k" * 40}],
        auto_start=True,
        invalid_sample_skip_percentage=0.1,
        job_type="completion",
    )
    wanted = mistral.wanted(asked, mistral_0=False)
    assert wanted["hyperparameters"] == Hyperparameters(
        training_steps=2,
        learning_rate=0.001,
        weight_decay=0.2,
        warmup_fraction=0.1,
        epochs=1.5,
        seq_len=512,
        fim_ratio=0.5,
    )
    assert wanted["validation_files"] == ["v"]
    assert wanted["suffix"] == "my-suffix"
    assert wanted["integrations"][0]["project"] == "p"
    assert "k" * 40 not in repr(asked)
    assert wanted["invalid_sample_skip_fraction"] == 0.1
    assert wanted["auto_start"] is True


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suffix", "x" * 19),
        ("invalid_sample_skip_percentage", 0.6),
        ("hyperparameters", {"learning_rate": 2.0}),
        ("hyperparameters", {"training_steps": 0}),
        ("hyperparameters", {"seq_len": 99}),
        ("hyperparameters", {"learnin_rate": 0.1}),
        ("hyperparameters", {"training_steps": "5"}),
        ("integrations", [{"project": "p", "api_key": "short"}]),
        ("training_files", [{"file_id": "a", "weight": 0}]),
        ("job_type", "FT"),
    ],
)
def test_values_outside_the_bounds_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        body(**{field: value})
