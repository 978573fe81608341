"""What a job's files come to: every problem, tokens, and the plan that follows. No database here.

A row that breaks a rule is left out when no more rows are bad than the job allows; otherwise the
job fails and names every problem. The same reading gives the estimate of a dry run, where large
files are read in part and the answer says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modiste.actions import job_targets
from modiste.actions.job_purpose import Purpose, purpose
from modiste.actions.job_targets import Settled
from modiste.nn.base import BaseInfo, describe_base
from modiste.prepare import render
from modiste.prepare.checks.file import Report
from modiste.prepare.checks.findings import Findings, Input, check_files
from modiste.prepare.render import Renderer
from modiste.tune.plan import Plan, plan
from modiste.tune.room import Room
from modiste.tune.sizing import conversations, longest_allowed
from modiste.tune.spec import Objective, TuneSpec
from modiste.tune.speeds import Speeds
from modiste.types import (
    Hyperparameters,
    JobError,
    JobEstimate,
    Problem,
    SampleType,
)

LABELS = (
    "make the job with job_type classifier, or put the label into an assistant message to train a "
    "chat model on it"
)
SHOWN = 5
"""Problems that fit in a message; all of them are in `problems`."""


@dataclass(frozen=True)
class DataFile:
    file_id: str
    path: Path
    filename: str
    weight: float = 1.0
    share_read: float = 1.0
    """Less than 1 when `path` is only the beginning of the file."""
    forgotten: tuple[int, ...] = ()
    """Lines of rows that no model may learn from any more."""


@dataclass(frozen=True)
class Found:
    """What reading the files gave, sizes scaled to whole files."""

    base: BaseInfo
    renderer: Renderer
    purpose: Purpose
    seq_len: int
    findings: Findings
    n_tokens: int
    n_examples: int
    """Of pairs, both conversations are one."""
    n_trained_tokens: int
    n_validation_tokens: int
    longest: int
    """Sample of all, validation rows too: a sequence has room for it."""
    targets: Settled | None
    """Of a classifier."""
    warnings: tuple[Problem, ...]
    share_read: float
    """Of the training bytes; less than 1 only for estimates."""

    @property
    def train(self) -> tuple[Report, ...]:
        return self.findings.train

    @property
    def validation(self) -> tuple[Report, ...]:
        return self.findings.validation


def read(
    spec: TuneSpec,
    base_path: Path,
    *,
    train: Sequence[DataFile],
    validation: Sequence[DataFile],
    fim_said: bool = True,
    workers: int = 1,
) -> Found:
    """Check every row of every file with the base's own tokenizer.

    Args:
        fim_said: whether fim_ratio was asked for.
        workers: processes that check; what they find does not depend on it.

    Raises:
        InvalidInput: the base is not usable any more.
    """
    base, renderer = describe_base(base_path), render.load(base_path)
    seq_len = longest_allowed(spec, base)

    findings = check_files(
        [Input(file.path, file.filename, file.share_read) for file in train],
        validation=[Input(file.path, file.filename) for file in validation],
        renderer=renderer,
        seq_len=seq_len,
        over_length=spec.over_length,
        workers=workers,
    )
    classifies = spec.objective is Objective.CLASSIFY
    judged = partial(_judged, classifies=classifies)
    findings = Findings(
        tuple(map(judged, findings.train, train)),
        tuple(map(judged, findings.validation, validation)),
    )
    settled = None
    if classifies:
        settled = job_targets.settle(spec, findings, [file.path for file in (*train, *validation)])
        findings = settled.findings
    found = purpose(spec, findings, renderer, fim_said=fim_said)
    pairs = list(zip(findings.train, train, strict=True))
    samples = sum((r.n_samples or r.n_examples) / f.share_read for r, f in pairs)
    return Found(
        base=base,
        renderer=renderer,
        purpose=found,
        seq_len=seq_len,
        findings=findings,
        n_tokens=round(sum(r.n_tokens / f.share_read for r, f in pairs)),
        n_examples=round(samples / conversations(found.spec)),
        n_trained_tokens=round(sum(r.n_trained_tokens / f.share_read for r, f in pairs)),
        n_validation_tokens=sum(r.n_tokens for r in findings.validation),
        longest=max((r.longest_sample for r in findings.reports), default=0),
        targets=settled,
        warnings=tuple(p for r in findings.reports for p in r.warnings),
        share_read=min((file.share_read for file in train), default=1.0),
    )


def planned(
    spec: TuneSpec,
    found: Found,
    *,
    tokens_per_s: float | None,
    price_micro_per_million_tokens: int,
    room: Room | None = None,
    measured: Speeds | None = None,
) -> Plan:
    """What the job will take.

    Args:
        room: of the machine that will train; without one, nothing is too large.
        measured: on that machine, for this spec.
    """
    decided = found.purpose.spec
    spec = spec.model_copy(update={"objective": decided.objective, "fim_ratio": decided.fim_ratio})
    if found.targets is not None:
        spec = spec.model_copy(update={"classifier_targets": found.targets.targets})
    compared = conversations(decided) > 1
    return plan(
        spec,
        n_tokens=found.n_tokens,
        n_examples=found.n_examples,
        base=found.base,
        longest=found.longest or None,
        n_trained_tokens=found.n_tokens if found.targets else found.n_trained_tokens,
        n_validation_tokens=found.n_validation_tokens,
        n_reference_tokens=(found.n_tokens + found.n_validation_tokens) * compared,
        tokens_per_s=tokens_per_s,
        measured=measured,
        room=room,
        price_micro_per_million_tokens=price_micro_per_million_tokens,
    )


def refusal(found: Found, made: Plan, *, skip_fraction: float) -> JobError | None:
    """Why the job cannot run, with every problem; None when it can."""
    said: list[str] = []
    problems: list[Problem] = []
    for what, reports in (("training", found.train), ("validation", found.validation)):
        errors = [p for r in reports for p in r.errors]
        of_files = [p for p in errors if p.line is None]
        bad, rows = _counts(reports)
        if bad and bad > skip_fraction * rows:
            said.append(_too_many(what, bad, rows, skip_fraction))
            problems += errors
        elif of_files:
            problems += of_files
    of_targets = () if found.targets is None else found.targets.problems
    problems += [*found.purpose.problems, *of_targets, *made.problems]
    problems = list(dict.fromkeys(problems))
    if not problems:
        return None
    shown = [str(problem) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        shown.append(f"and {len(problems) - SHOWN} more")
    return JobError(
        code=problems[0].code if len({p.code for p in problems}) == 1 else "invalid_training_data",
        message=" ".join([*said, "; ".join(shown)]),
        param="training_files",
        problems=tuple(problems),
    )


def note(found: Found, *, skip_fraction: float) -> str:
    """What a person should know about a job that can run: rows left out, warnings."""
    said = [*found.purpose.notes, *(() if found.targets is None else found.targets.notes)]
    for what, reports in (("training", found.train), ("validation", found.validation)):
        bad, rows = _counts(reports)
        if bad:
            said.append(
                f"{bad} of {rows} {what} rows are invalid and left out ({skip_fraction:.0%} were "
                "allowed)."
            )
    kinds = Counter(warning.code for warning in found.warnings)
    firsts = {warning.code: warning for warning in reversed(found.warnings)}
    told = [
        str(firsts[code]) + (f" (and {count - 1} more of this kind)" if count > 1 else "")
        for code, count in kinds.items()
    ]
    if told:
        more = f"; and {len(told) - SHOWN} kinds more" if len(told) > SHOWN else ""
        said.append(f"Warnings: {'; '.join(told[:SHOWN])}{more}.")
    return " ".join(said)


def basis(found: Found) -> str:
    """What an estimate rests on, where that is less than all rows of all files."""
    said = []
    bad, rows = _counts(found.train)
    if found.share_read < 1:
        said.append(f"Estimated from the first {rows} rows of large files.")
    if bad:
        said.append(f"{bad} of {rows} rows are invalid and not counted.")
    return " ".join(said)


def filled(asked: Hyperparameters, made: Plan) -> Hyperparameters:
    """`asked` with what the plan decided."""
    return replace(
        asked,
        training_steps=made.training_steps,
        epochs=asked.epochs if asked.epochs and not asked.training_steps else made.epochs,
        seq_len=made.spec.max_length,
        batch_size=made.spec.batch_size,
        objective=made.spec.objective,
        fim_ratio=made.spec.fim_ratio or asked.fim_ratio,
    )


def estimate_of(made: Plan, *, currency: str, note: str = "") -> JobEstimate:
    return JobEstimate(
        expected_duration_s=made.expected_duration_s,
        cost_micro=made.cost_micro,
        cost_currency=currency,
        train_tokens_per_step=made.train_tokens_per_step,
        train_tokens=made.train_tokens,
        data_tokens=made.data_tokens,
        training_steps=made.training_steps,
        epochs=made.epochs,
        details=f"{made.details} {note}".strip(),
        figures=made.figures(),
    )


def _judged(report: Report, file: DataFile, *, classifies: bool) -> Report:
    """A report with what only a job minds: rows of other kinds, rows that were forgotten."""
    problems = list(report.problems)
    if report.sample_type is SampleType.CLASSIFIER and not classifies:
        text = "the rows are classifier rows, and this job trains chats, texts and pairs"
        problems.append(Problem(file.filename, None, "", "kind_not_trained", text, hint=LABELS))
    for line in file.forgotten:
        text = "the row was forgotten: no model may learn from it"
        hint = "leave it out of the file, or allow a share of invalid rows to be left out"
        problems.append(Problem(file.filename, line, "", "row_forgotten", text, hint=hint))
    newly_bad = frozenset(file.forgotten) - report.bad_lines
    return replace(
        report,
        problems=tuple(problems),
        bad_lines=report.bad_lines | newly_bad,
        n_examples=report.n_examples - len(newly_bad),
    )


def _counts(reports: Sequence[Report]) -> tuple[int, int]:
    """Bad rows and all rows."""
    return sum(len(r.bad_lines) for r in reports), sum(r.n_lines for r in reports)


def _too_many(what: str, bad: int, rows: int, allowed: float) -> str:
    text = f"{bad} of {rows} {what} rows are invalid ({bad / rows:.1%}, allowed {allowed:.1%})."
    if bad / rows <= 0.5:
        text += (
            f" Mend them, or set invalid_sample_skip_percentage to {_up(bad / rows):g} or more to "
            "leave them out."
        )
    return text


def _up(fraction: float) -> float:
    """The next whole percent, so that the advice works as typed."""
    return min(0.5, (int(fraction * 100) + 1) / 100)
