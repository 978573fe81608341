"""A letter about the end of a job: what a person wants to know, in plain text.

Nothing that a user or a server wrote can become a header: names lose their control characters
before they stand in a subject, and the headers are made by `email`, which refuses line ends.
"""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from modiste.actions.notices import Errand
from modiste.types import Job, JobStatus

MOST_ERROR_CHARACTERS = 4_000
SUBJECT_CHARACTERS = 200
HEADLINES = {
    JobStatus.SUCCESS: "{model} is ready",
    JobStatus.FAILED: "The tuning of {base} failed",
    JobStatus.FAILED_VALIDATION: "The files for the tuning of {base} were refused",
    JobStatus.CANCELLED: "The tuning of {base} was cancelled",
}


def about(errand: Errand, *, sender: str, at: datetime) -> EmailMessage:
    """The letter to `errand.notice.target`."""
    job = errand.job
    headline = HEADLINES[job.status].format(model=job.fine_tuned_model, base=job.model)
    text = "\n".join([f"{headline}.", "", *_facts(errand), "", *_next_steps(job), ""])
    return _letter(headline, text, sender=sender, to=errand.notice.target, at=at,
                   number=errand.notice.id)  # fmt: skip


def trial(*, sender: str, to: str, at: datetime, number: str) -> EmailMessage:
    text = (
        "This is a trial: mail about the end of fine-tuning jobs reaches this address.\n"
        "Somebody asked for it by `modiste notifications test`.\n"
    )
    return _letter("A trial of notifications", text, sender=sender, to=to, at=at, number=number)


def _letter(
    headline: str, text: str, *, sender: str, to: str, at: datetime, number: str
) -> EmailMessage:
    letter = EmailMessage(policy=SMTP)
    letter["Subject"] = f"[Modiste] {_one_line(headline)}"
    letter["From"], letter["To"] = sender, to
    letter["Date"] = format_datetime(at)
    letter["Message-ID"] = f"<{number}@{sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(_printable(text))
    return letter


def _facts(errand: Errand) -> list[str]:
    job, facts = errand.job, [("Status", str(errand.job.status))]
    if job.fine_tuned_model:
        facts.append(("New model", job.fine_tuned_model))
    known_as = "" if job.base == job.model else f" ({job.base})"
    facts += [("Tuned from", f"{job.model}{known_as}"), ("Job", job.id)]
    if job.suffix:
        facts.append(("Suffix", job.suffix))
    if job.finished_at is not None:
        facts.append(("Ended", f"{job.finished_at:%Y-%m-%d %H:%M:%S} UTC"))
        since = job.started_at or job.created_at
        after = "after it began" if job.started_at else "after it was asked for"
        facts.append(
            ("Duration", f"{_duration((job.finished_at - since).total_seconds())} {after}")
        )
    if job.progress is not None:
        step = f"step {job.progress.step} of {job.progress.total_steps}"
        facts.append(("Training loss", f"{job.progress.train_loss:.4f} at {step}"))
    if errand.valid_loss is not None:
        facts.append(("Validation loss", f"{errand.valid_loss:.4f}"))
    return [f"{name + ':':<17}{_one_line(value)}" for name, value in facts]


def _next_steps(job: Job) -> list[str]:
    if job.status is JobStatus.SUCCESS:
        asked = "classify" if job.classifier_targets else "chat"
        return [
            f"Ask it:          modiste {asked} {job.fine_tuned_model}",
            f"How it went:     modiste jobs show {job.id}",
        ]
    if job.status is JobStatus.CANCELLED:
        return [f"How far it got:  modiste jobs show {job.id}"]
    error = "No reason was recorded." if job.error is None else job.error.message
    if len(error) > MOST_ERROR_CHARACTERS:
        rest = len(error) - MOST_ERROR_CHARACTERS
        error = f"{error[:MOST_ERROR_CHARACTERS]} … ({rest:,} more characters: see below)"
    where = "report" if job.status is JobStatus.FAILED_VALIDATION and job.report_sha256 else "show"
    return ["Why, and what to do:", error, "", f"All of it:       modiste jobs {where} {job.id}"]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _one_line(text: str) -> str:
    line = " ".join(_printable(text).split())
    return line if len(line) <= SUBJECT_CHARACTERS else f"{line[: SUBJECT_CHARACTERS - 1]}…"


def _printable(text: str) -> str:
    """Signs that steer a terminal or a mail program are left out, those of lines kept."""
    kept = "".join(sign for sign in text.expandtabs(4) if sign == "\n" or sign.isprintable())
    return kept.encode("utf-8", "replace").decode("utf-8")
