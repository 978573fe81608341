"""What the rows of a job are for: pairs of answers are compared, chats and texts are learned word
for word, texts also from the middle, and labels are told by classifiers, which are jobs of a type.

The rows decide, and a wish that they cannot fill is a problem, never ignored. A job does one of the
two: whoever wants both makes two jobs, the second continuing from the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modiste.prepare import fim
from modiste.prepare.checks.findings import Findings
from modiste.prepare.checks.report import Report
from modiste.prepare.render import Renderer
from modiste.tune.spec import Objective, TuneSpec
from modiste.types import Problem, SampleType

API_FIM_RATIO = 0.9
"""What Mistral's API means where nothing is said; here for text alone, on bases that know it."""
TO_CHATS = "`modiste data convert --to chat` keeps the preferred answers"


class Purpose(NamedTuple):
    spec: TuneSpec
    """With the objective and fim_ratio that will be used."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def purpose(
    spec: TuneSpec, findings: Findings, renderer: Renderer, *, fim_said: bool = True
) -> Purpose:
    """
    Args:
        fim_said: whether the spec's fim_ratio was asked for, or is only its default.
    """
    objective = spec.objective or _objective(findings.train)
    problems = _misfits(objective, spec, findings)
    ratio, fim_problems, notes = _fim_ratio(spec, findings.train, renderer, said=fim_said)
    decided = spec.model_copy(update={"objective": objective, "fim_ratio": ratio})
    return Purpose(decided, (*problems, *fim_problems), notes)


def _objective(train: Sequence[Report]) -> Objective:
    pairs = SampleType.PREFERENCE in {report.sample_type for report in train}
    return Objective.DPO if pairs else Objective.SFT


def _misfits(objective: Objective, spec: TuneSpec, findings: Findings) -> tuple[Problem, ...]:
    """Files whose rows the objective cannot use."""
    counts = _counts(findings.train)
    if objective is Objective.CLASSIFY:
        return _without_labels(findings)
    both = SampleType.PREFERENCE in counts and counts.keys() & _LEARNED
    if both and spec.objective is None:
        told = " and ".join(_told(findings.train, kind) for kind in counts)
        text = f"the training files hold {told}: one job trains pairs of answers, or chats and "
        text += "texts, not both"
        hint = "make a job for each, the one with pairs continuing from the other (continue_from)"
        return (_of_job("training_files", "kinds_mixed", text, hint),)
    found = []
    for report in findings.reports:
        kind = report.sample_type
        if objective is Objective.DPO and kind in _LEARNED:
            text = f"the rows are {kind} rows; dpo compares pairs of answers (chosen, rejected)"
            hint = "give preference rows, or leave the objective out"
        elif objective is Objective.SFT and kind is SampleType.PREFERENCE:
            text = "the rows are pairs of answers; sft trains chats and texts"
            hint = f"leave the objective out to train pairs with dpo; {TO_CHATS}"
        else:
            continue
        found.append(Problem(report.filename, None, "", "kind_not_trained", text, hint=hint))
    return tuple(found)


def _without_labels(findings: Findings) -> tuple[Problem, ...]:
    """Files that a classifier cannot learn from."""
    hint = 'write rows as {"text": "…", "labels": {"name": "value"}}, or leave job_type out'
    return tuple(
        Problem(
            *(report.filename, None, "", "kind_not_trained"),
            f"the rows are {report.sample_type} rows; a classifier learns from rows with labels",
            hint=hint,
        )
        for report in findings.reports
        if report.sample_type not in (None, SampleType.CLASSIFIER)
    )


class _Ratio(NamedTuple):
    ratio: float
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def _fim_ratio(
    spec: TuneSpec, train: Sequence[Report], renderer: Renderer, *, said: bool
) -> _Ratio:
    kinds = _counts(train).keys()
    knows = renderer.fim is not None
    if not said:
        if not knows or kinds != {SampleType.PRETRAIN}:
            return _Ratio(0.0)
        text = f"fim_ratio was not given: {API_FIM_RATIO} of the texts are filled in the middle, "
        return _Ratio(
            API_FIM_RATIO, (), (f"{text}as in Mistral's API; 0 leaves them as they are.",)
        )
    if not spec.fim_ratio:
        return _Ratio(0.0)
    if SampleType.PRETRAIN not in kinds:
        text = "fim_ratio concerns plain text; the rows of this job are trained as they are."
        return _Ratio(0.0, (), (text,))
    if not knows:
        text = fim.unknown(spec.fim_ratio)
        return _Ratio(0.0, (_of_job("hyperparameters.fim_ratio", "fim_unknown", text, None),))
    return _Ratio(spec.fim_ratio)


_LEARNED = {SampleType.INSTRUCT, SampleType.PRETRAIN}


def _counts(reports: Sequence[Report]) -> Mapping[SampleType, int]:
    counts: dict[SampleType, int] = {}
    for report in reports:
        if report.sample_type is not None:
            counts[report.sample_type] = counts.get(report.sample_type, 0) + report.n_examples
    return counts


def _told(reports: Sequence[Report], kind: SampleType) -> str:
    files = ", ".join(report.filename for report in reports if report.sample_type is kind)
    return f"{_counts(reports)[kind]:,} {kind} rows ({files})"


def _of_job(path: str, code: str, message: str, hint: str | None) -> Problem:
    return Problem(file="job", line=None, path=path, code=code, message=message, hint=hint)
