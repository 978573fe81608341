"""What a classifier job will tell: its targets settled, every row held against them, and said.

Targets that were not asked for are those of the training rows. A row that does not fit becomes a
bad row like any other: left out where the job allows so many, or the reason why it cannot run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from modiste.prepare.checks.findings import Findings
from modiste.prepare.checks.report import Report
from modiste.prepare.formats.read import read
from modiste.prepare.targets import Counts, Numbers, settled, wrong
from modiste.tune.spec import TuneSpec
from modiste.types import ClassifierTarget, Example, Problem, SampleType

SHOWN_LABELS = 12
UNEVEN = 3.0
"""Times as many rows: below that, labels are about even."""


class Settled(NamedTuple):
    targets: tuple[ClassifierTarget, ...]
    findings: Findings
    """With what is wrong with labels."""
    problems: tuple[Problem, ...]
    """Of the targets themselves."""
    notes: tuple[str, ...]


def settle(spec: TuneSpec, findings: Findings, paths: Sequence[Path]) -> Settled:
    """
    Args:
        paths: of the training files and then the validation files, as in `findings`.
    """
    n_train = len(findings.train)
    counts = Counts()
    for report, path in zip(findings.train, paths[:n_train], strict=True):
        for example in _good(report, path):
            counts.add(example)
    targets = settled(spec.classifier_targets, counts)
    numbers = Numbers(targets)
    judged = [
        _judged(report, path, numbers) for report, path in zip(findings.reports, paths, strict=True)
    ]
    problems = tuple(
        Problem("job", None, "classifier_targets", "targets_wrong", text)
        for text in _wrong(targets)
    )
    return Settled(
        targets,
        Findings(tuple(judged[:n_train]), tuple(judged[n_train:])),
        problems,
        (*_told(spec, targets, counts), *_left_aside(targets, counts)),
    )


def _wrong(targets: tuple[ClassifierTarget, ...]) -> list[str]:
    return wrong(targets) if targets else ["the rows have no labels: there is nothing to learn"]


def _good(report: Report, path: Path) -> list[Example]:
    """Rows without a problem so far, as far as the check read."""
    if report.sample_type is not SampleType.CLASSIFIER:
        return []
    found = read(path, filename=report.filename).rows
    return [
        line.row.example
        for line in islice(found, report.n_lines)
        if line.row.example is not None and line.line not in report.bad_lines
    ]


def _judged(report: Report, path: Path, numbers: Numbers) -> Report:
    problems, bad = [], set()
    for example in _good(report, path):
        for unfit in numbers.unfit(example):
            bad.add(example.line)
            told = (unfit.path, unfit.code, f"{unfit.message}")
            problems.append(Problem(report.filename, example.line, *told, hint=unfit.hint))
    if not bad:
        return report
    return replace(
        report.with_problems(tuple(problems)),
        bad_lines=report.bad_lines | bad,
        n_examples=report.n_examples - len(bad),
    )


def _told(spec: TuneSpec, targets: Sequence[ClassifierTarget], counts: Counts) -> list[str]:
    """How many rows hold each label, and what is done about labels that are rare."""
    said = []
    for target in targets:
        counted: Mapping[str, int] = counts.labels.get(target.name, {})
        order = sorted(target.labels, key=lambda label: (-counted.get(label, 0), label))
        most, least = counted.get(order[0], 0), counted.get(order[-1], 0)
        shown = ", ".join(f"{label} {counted.get(label, 0):,}" for label in order[:SHOWN_LABELS])
        more = f" and {len(order) - SHOWN_LABELS} more" if len(order) > SHOWN_LABELS else ""
        kind = "one label a row" if target.single else "any number of labels a row"
        text = f"{target.name}: {len(order)} labels, {kind} ({shown}{more})."
        if least == 0:
            missing = [label for label in order if not counted.get(label)]
            text += f" No row has {', '.join(missing[:SHOWN_LABELS])}: it cannot be learned."
        elif most > UNEVEN * least:
            text += (
                f" {order[-1]} is {most / least:.0f} times as rare as {order[0]}; "
                f"{_BALANCE[spec.classifier.balance]}"
            )
        said.append(text)
    return said


_BALANCE = {
    "none": "every row counts the same (classifier.balance is none).",
    "sqrt": "rows with rare labels count more, by the square root of that "
    "(classifier.balance is sqrt).",
    "full": "rows with rare labels count more, in proportion (classifier.balance is full).",
}


def _left_aside(targets: Sequence[ClassifierTarget], counts: Counts) -> list[str]:
    others = sorted(set(counts.labels) - {target.name for target in targets})
    if not others:
        return []
    return [f"Labels of rows that classifier_targets does not name are left aside: {others}."]
