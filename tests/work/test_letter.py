"""Letters say what a person wants to know, and nothing in them becomes a header."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from modiste.actions.notices import Errand
from modiste.types import (
    Hyperparameters,
    Job,
    JobError,
    JobStatus,
    Notice,
    NoticeChannel,
    NoticeStatus,
    Progress,
    TrainingFile,
)
from modiste.work import letter

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
JOB = Job(
    id="5e2f9a5e-0000-4000-8000-000000000001",
    status=JobStatus.SUCCESS,
    model="open-mistral-7b",
    base="modiste-tiny",
    training_files=(TrainingFile("f"),),
    validation_files=(),
    hyperparameters=Hyperparameters(),
    auto_start=True,
    created_at=AT,
    modified_at=AT,
    created_by="key",
    org="0" * 8,
    fine_tuned_model="ft:open-mistral-7b:00000000:20261130:5e2f9a5e",
    started_at=AT + timedelta(minutes=1),
    finished_at=AT + timedelta(hours=1, minutes=13),
    progress=Progress(
        step=100, total_steps=100, train_loss=1.23456, learning_rate=0.0,
        tokens_per_s=1.0, trained_tokens_per_s=1.0, eta_s=0.0, n_tokens=1,
    ),
)  # fmt: skip
NOTICE = Notice(
    "msg_1", JOB.id, NoticeChannel.EMAIL, "team@example.org", NoticeStatus.WAITING, 1, AT
)


def read(job: Job, *, valid_loss: float | None = None) -> tuple[EmailMessage, str]:
    """As the receiver's program reads it."""
    errand = Errand(NOTICE, "lease", job, valid_loss)
    made = letter.about(errand, sender="modiste@example.org", at=AT)
    got = message_from_bytes(bytes(made), policy=default)
    return got, got.get_content()


def test_of_a_new_model_it_says_name_time_losses_and_how_to_ask_it() -> None:
    got, text = read(JOB, valid_loss=1.5)
    assert got["subject"] == f"[Modiste] {JOB.fine_tuned_model} is ready"
    assert (got["from"], got["to"]) == ("modiste@example.org", "team@example.org")
    assert got["message-id"] == "<msg_1@example.org>"
    assert got["auto-submitted"] == "auto-generated"
    for fact in (
        "Status:          SUCCESS",
        "Tuned from:      open-mistral-7b (modiste-tiny)",
        "Ended:           2026-11-30 13:13:00 UTC",
        "Duration:        1 h 12 min after it began",
        "Training loss:   1.2346 at step 100 of 100",
        "Validation loss: 1.5000",
        f"modiste chat {JOB.fine_tuned_model}",
        f"modiste jobs show {JOB.id}",
    ):
        assert fact in text


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.FAILED_VALIDATION])
def test_of_a_failure_it_says_why_and_where_all_of_it_is(status: JobStatus) -> None:
    error = JobError("x", "a.jsonl line 41: role is 'bot', expected user.\n" + "y" * 5000)
    job = replace(JOB, status=status, fine_tuned_model=None, error=error, progress=None)
    got, text = read(replace(job, report_sha256="0" * 64))
    assert "open-mistral-7b" in got["subject"]
    assert "line 41: role is 'bot', expected user." in text
    assert "more characters: see below" in text
    assert "New model" not in text
    assert "loss" not in text
    where = "show" if status is JobStatus.FAILED else "report"
    assert f"modiste jobs {where} {JOB.id}" in text


def test_of_a_cancelled_job_that_never_began_it_says_so() -> None:
    job = replace(
        JOB, status=JobStatus.CANCELLED, started_at=None, progress=None, fine_tuned_model=None,
        finished_at=AT + timedelta(seconds=62),
    )  # fmt: skip
    got, text = read(job)
    assert got["subject"] == "[Modiste] The tuning of open-mistral-7b was cancelled"
    assert "1 min 2 s after it was asked for" in text


def test_names_cannot_become_headers_and_signs_that_steer_are_left_out() -> None:
    evil = "x\r\nBcc: all@example.org\r\n\r\nHello\x1b[31m\u202e" + "z" * 300
    job = replace(JOB, fine_tuned_model=evil, model=evil, suffix="a\nTo: b@example.org")
    got, text = read(job)
    assert got["bcc"] is None
    assert got.get_all("to") == ["team@example.org"]
    assert len(got["subject"]) <= len("[Modiste] ") + letter.SUBJECT_CHARACTERS
    assert not {"\x1b", "\u202e"} & set(str(got["subject"]) + text)


def test_a_name_in_any_letters_arrives_as_it_was() -> None:
    got, text = read(replace(JOB, fine_tuned_model="ft:модель-模型-ü"))
    assert got["subject"] == "[Modiste] ft:модель-模型-ü is ready"
    assert "modiste chat ft:модель-模型-ü" in text


def test_a_trial_says_that_it_is_one() -> None:
    made = letter.trial(sender="m@example.org", to="t@example.org", at=AT, number="msg_2")
    assert made["subject"] == "[Modiste] A trial of notifications"
    assert "`modiste notifications test`" in made.get_content()
