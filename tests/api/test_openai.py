"""Jobs in OpenAI's words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from test_mistral import AT, JOB

from modiste.api import openai
from modiste.errors import InvalidInput, NotYetSupported
from modiste.types import (
    Checkpoint,
    Hyperparameters,
    JobError,
    JobEvent,
    JobStatus,
    Page,
    Progress,
    TrainingFile,
)


def body(**changes: Any) -> openai.OpenAIJobIn:
    return openai.OpenAIJobIn.model_validate({"model": "m", "training_file": "f", **changes})


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (JobStatus.QUEUED, "queued"),
        (JobStatus.VALIDATING, "validating_files"),
        (JobStatus.VALIDATED, "queued"),
        (JobStatus.STARTED, "running"),
        (JobStatus.RUNNING, "running"),
        (JobStatus.CANCELLATION_REQUESTED, "running"),
        (JobStatus.SUCCESS, "succeeded"),
        (JobStatus.FAILED, "failed"),
        (JobStatus.FAILED_VALIDATION, "failed"),
        (JobStatus.CANCELLED, "cancelled"),
    ],
)
def test_every_status_has_its_word(status: JobStatus, shown: str) -> None:
    assert openai.job_out(replace(JOB, status=status)).status == shown


def test_a_paused_job_says_so() -> None:
    assert openai.job_out(replace(JOB, paused=True)).status == "paused"


def test_a_job_has_exactly_the_fields_of_the_contract() -> None:
    job = replace(
        JOB,
        integrations=({"type": "wandb", "project": "p", "name": "n"},),
        metadata={"a": "b"},
        hyperparameters=Hyperparameters(epochs=2.0, batch_size=4, learning_rate=2e-4, seed=7),
        suffix="s",
    )
    hyperparameters = {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 2.0}
    assert openai.job_out(job).model_dump() == {
        "id": JOB.id,
        "object": "fine_tuning.job",
        "created_at": int(AT.timestamp()),
        "finished_at": None,
        "estimated_finish": None,
        "error": None,
        "fine_tuned_model": None,
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "integrations": [{"type": "wandb", "wandb": {"project": "p", "name": "n"}}],
        "metadata": {"a": "b"},
        "model": "open-mistral-7b",
        "organization_id": "org-94489706",
        "result_files": [],
        "seed": 7,
        "status": "queued",
        "suffix": "s",
        "trained_tokens": None,
        "training_file": "f1",
        "validation_file": "f3",
    }


def test_a_failed_job_says_why() -> None:
    job = replace(JOB, status=JobStatus.FAILED_VALIDATION, error=JobError("c", "m", "p"))
    assert openai.job_out(job).model_dump()["error"] == {"code": "c", "message": "m", "param": "p"}


def test_the_finish_is_estimated_from_the_last_word_of_the_job() -> None:
    progress = Progress(1, 10, 1.0, 1e-4, 100.0, 50.0, 90.0, 1000)
    job = replace(JOB, status=JobStatus.RUNNING, started_at=AT, progress=progress)
    expected = int((AT + timedelta(seconds=90)).timestamp())
    assert openai.job_out(job).estimated_finish == expected
    assert openai.job_out(replace(job, status=JobStatus.SUCCESS)).estimated_finish is None


def test_auto_leaves_the_choice_to_the_plan() -> None:
    wanted = openai.wanted(body())
    assert wanted["hyperparameters"] == Hyperparameters()
    assert wanted["training_files"] == [TrainingFile("f", 1.0)]
    assert wanted["auto_start"] is True
    told = openai.job_out(replace(JOB, hyperparameters=Hyperparameters())).hyperparameters
    assert (told.n_epochs, told.batch_size, told.learning_rate_multiplier) == ("auto", "auto", 1.0)


@pytest.mark.parametrize("place", ["method", "hyperparameters"])
def test_hyperparameters_are_read_where_both_generations_put_them(place: str) -> None:
    asked = {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 0.5}
    if place == "method":
        given: dict[str, Any] = {
            "method": {"type": "supervised", "supervised": {"hyperparameters": asked}}
        }
    else:
        given = {"hyperparameters": asked}
    wanted = openai.wanted(body(**given, seed=9))
    assert wanted["hyperparameters"] == Hyperparameters(
        epochs=3.0, batch_size=8, learning_rate=5e-5, seed=9
    )


def test_every_field_of_ours_is_read_beside_theirs() -> None:
    asked = {
        "n_epochs": 2,
        "lora_rank": 4,
        "method": "qlora",
        "dpo": {"beta": 0.5},
        "max_length": 256,
    }
    assert openai.wanted(body(hyperparameters=asked))["hyperparameters"] == Hyperparameters(
        epochs=2.0, lora_rank=4, method="qlora", dpo_beta=0.5, seq_len=256
    )
    quick = openai.wanted(body(hyperparameters={"n_epochs": 2, "effort": "quick"}))
    assert quick["hyperparameters"] == Hyperparameters(
        epochs=2.0, lora_rank=8, learning_rate=2e-4, effort="quick"
    )


def test_one_thing_in_two_words_is_refused() -> None:
    with pytest.raises(InvalidInput, match="n_epochs and epochs are both given"):
        openai.wanted(body(hyperparameters={"n_epochs": 2, "epochs": 2.0}))


def test_pairs_of_answers_are_asked_for_as_there_and_shown_so() -> None:
    given = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2}}}
    asked = openai.wanted(body(method=given))["hyperparameters"]
    assert (asked.objective, asked.dpo_beta, asked.learning_rate) == ("dpo", 0.2, 5e-6)
    told = openai.job_out(replace(JOB, hyperparameters=asked)).model_dump()["method"]
    assert told["type"] == "dpo"
    assert told["dpo"]["hyperparameters"] == {
        "n_epochs": 2,
        "batch_size": "auto",
        "learning_rate_multiplier": 1.0,
        "beta": 0.2,
    }


def test_other_methods_are_refused_by_name() -> None:
    with pytest.raises(NotYetSupported, match="reinforcement"):
        openai.wanted(body(method={"type": "reinforcement", "reinforcement": {}}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suffix", "x" * 65),
        ("training_file", 3),
        ("training_files", ["f"]),
        ("hyperparameters", {"n_epochs": "many"}),
        ("integrations", [{"type": "wandb"}]),
    ],
)
def test_values_outside_the_bounds_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        body(**{field: value})


def test_events_are_messages_with_their_level() -> None:
    page = Page(
        (
            JobEvent("e2", JobStatus.FAILED, AT, "it broke", "error"),
            JobEvent("e1", JobStatus.RUNNING, AT),
        ),
        2,
        has_more=True,
    )
    told = openai.event_list(page).model_dump()
    assert told["has_more"] is True
    assert [(e["id"], e["level"], e["message"]) for e in told["data"]] == [
        ("e2", "error", "it broke"),
        ("e1", "info", "The job is running."),
    ]


def test_only_the_last_checkpoint_names_the_model() -> None:
    newest, older = Checkpoint("c2", 20, AT, 1.0, 2.0, 0.5), Checkpoint("c1", 10, AT, 1.5)
    job = replace(JOB, fine_tuned_model="ft:x", checkpoints=(newest, older))
    told = openai.checkpoint_list(Page((newest, older), 2), job).model_dump()
    assert [each["fine_tuned_model_checkpoint"] for each in told["data"]] == ["ft:x", None]
    assert (told["first_id"], told["last_id"]) == ("c2", "c1")
    assert told["data"][0]["metrics"] == {
        "step": 20,
        "train_loss": 1.0,
        "train_mean_token_accuracy": None,
        "valid_loss": 2.0,
        "valid_mean_token_accuracy": 0.5,
        "full_valid_loss": 2.0,
        "full_valid_mean_token_accuracy": 0.5,
    }


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"method": {"type": "dpo"}, "hyperparameters": {"n_epochs": 2}}, "^hyperparameters is"),
        (
            {"method": {"type": "dpo", "supervised": {"hyperparameters": {"n_epochs": 2}}}},
            "give all in method.dpo",
        ),
        (
            {"method": {"type": "supervised", "dpo": {"hyperparameters": {"beta": 0.2}}}},
            "give all in method.supervised",
        ),
        (
            {
                "method": {"type": "supervised", "supervised": {"hyperparameters": {}}},
                "hyperparameters": {"n_epochs": 2},
            },
            "^hyperparameters is",
        ),
        (
            {"integrations": [{"type": "wandb", "wandb": {"project": "p", "entity": "team"}}]},
            "wandb.entity is not passed on",
        ),
    ],
)
def test_what_nobody_would_read_is_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        openai.wanted(body(**asked))
