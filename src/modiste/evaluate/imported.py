"""Runs that another program asked and graded: what it has to say of them, and their figures anew.

Scores are taken as they were given; everything computed from them is computed here, as for our own
runs, and the other program's figure is told beside ours. Two such runs are comparable where items
and scorers are equal; whether prompts were written by the model's chat template always travels with
the run, for it changes scores as much as a model does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from math import isclose
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from modiste.errors import InvalidInput
from modiste.evaluate.dataset import MOST_PROBLEMS, sha256_of
from modiste.evaluate.items import SAMPLES, Answer, Item, Sample, Score
from modiste.evaluate.metric import Metric, item_means, mean_metric
from modiste.evaluate.scorer import Check
from modiste.types import EvalCounts, Problem

MOST_SAMPLES = 200_000
SAME = 1e-9
"""Relative: two programs that add up the same numbers differ by their order alone."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ImportedScorer(Part):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    config: Mapping[str, Any]
    """All that its scores depend on; scores of two runs are comparable where it is equal."""
    higher_is_better: StrictBool = True
    value: float | None = None
    """What the other program says it comes to."""
    stderr: float | None = None


class Imported(Part):
    """One model on one suite of another program; its samples are a file in our format."""

    suite: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    model: str = Field(min_length=1, max_length=400)
    harness: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")
    """Which program asked and graded."""
    harness_version: str = Field(min_length=1, max_length=64)
    chat_template: StrictBool
    """Whether the model's chat template wrote the prompts."""
    flags: Mapping[Annotated[str, Field(max_length=64)], Any] = Field(default_factory=dict)
    """What else it was told: examples, limits, lengths, the endpoint."""
    prompt: Mapping[str, Any] = Field(default_factory=dict)
    """All that prompts depend on."""
    scorers: tuple[ImportedScorer, ...] = Field(min_length=1, max_length=64)
    """The one that decides first."""
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [scorer.name for scorer in self.scorers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two scorers are called {twice[0]!r}")
        return self

    @property
    def prompt_sha256(self) -> str:
        told = {"prompt": self.prompt, "chat_template": self.chat_template}
        canonical = json.dumps(told, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def sampling(self) -> dict[str, Any]:
        """What a comparison tells where two runs differ in it."""
        program = f"{self.harness} {self.harness_version}"
        return {"harness": program, "chat_template": self.chat_template, **self.flags}


class Given(Check):
    """A scorer whose scores came with the samples."""

    def __init__(self, scorer: ImportedScorer, samples: Sequence[Sample]) -> None:
        super().__init__(scorer.name, scorer.config)
        self.higher_is_better = scorer.higher_is_better
        values = item_means(scorer.name, samples).values
        share = all(0 <= value <= 1 for value in values)
        self.scale = (0.0, 1.0) if share else None
        self.unit = "share" if share else "points"

    def look(self, item: Item, answer: Answer) -> Score:
        """
        Raises:
            InvalidInput: always: what it went by is the other program's.
        """
        raise InvalidInput(f"scores of {self.name!r} were imported and cannot be made anew here")


def samples_of(lines: Sequence[bytes], imported: Imported, *, name: str) -> list[Sample]:
    """The samples of a run.

    Args:
        name: what people call the file.

    Raises:
        InvalidInput: none or too many; lines that are no samples, come twice, are scored by whom
            the run does not name, or have scores that are no numbers: each in `problems`.
    """
    if len(lines) > MOST_SAMPLES:
        raise InvalidInput(f"{name} has {len(lines):,} samples; at most {MOST_SAMPLES:,} are taken")
    found: list[Sample] = []
    problems: list[Problem] = []
    known = {scorer.name for scorer in imported.scorers}
    seen: set[tuple[str, int]] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            sample = SAMPLES.validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(map(str, first["loc"]))
            problems.append(Problem(name, number, path, "no_sample", first["msg"]))
            continue
        place = (sample.item.key, sample.attempt)
        problems += _wrong(sample, place in seen, known, name, number)
        seen.add(place)
        found.append(sample)
    if problems:
        said = "; ".join(str(problem) for problem in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise InvalidInput(said + more, param="file_id", problems=problems[:MOST_PROBLEMS])
    if not found:
        raise InvalidInput(f"{name} has no samples; a run needs some", param="file_id")
    return found


def figures(imported: Imported, samples: Sequence[Sample]) -> tuple[Metric, ...]:
    """Means of the given scores with our intervals, the other program's figures beside them."""
    return tuple(_figure(imported, scorer, samples) for scorer in imported.scorers)


def identities(imported: Imported, samples: Sequence[Sample]) -> dict[str, str]:
    return {each.name: Given(each, samples).identity for each in imported.scorers}


def dataset_sha256(samples: Sequence[Sample]) -> str:
    """Of the items in the order they first come in."""
    return sha256_of(list({sample.item.key: sample.item for sample in samples}.values()))


def counts(samples: Sequence[Sample]) -> EvalCounts:
    answers = [sample.answer for sample in samples]
    return EvalCounts(
        total=len(samples),
        done=len(samples),
        failed=sum(answer.failure is not None for answer in answers),
        prompt_tokens=sum(answer.prompt_tokens for answer in answers),
        completion_tokens=sum(answer.completion_tokens for answer in answers),
        cost_micro=sum(answer.cost_micro or 0 for answer in answers),
    )


def _wrong(sample: Sample, twice: bool, known: set[str], name: str, line: int) -> list[Problem]:
    found = []
    if twice:
        said = f"has attempt {sample.attempt} at item {sample.item.key!r:.60} again"
        found.append(Problem(name, line, "item.key", "sample_twice", said))
    for scorer in sample.scores:
        if scorer not in known:
            said = f"is scored by {scorer!r:.60}, whom the run does not name"
            found.append(Problem(name, line, f"scores.{scorer}", "scorer_unknown", said))
    return found


def _figure(imported: Imported, scorer: ImportedScorer, samples: Sequence[Sample]) -> Metric:
    given = Given(scorer, samples)
    ours = mean_metric(given, samples)
    if scorer.value is None:
        return ours
    about = "" if scorer.stderr is None else f" ± {scorer.stderr:.4g}"
    said = f"{imported.harness} itself says {scorer.value:.6g}{about}"
    if ours.estimate is None or not isclose(
        ours.estimate.value, scorer.value, rel_tol=SAME, abs_tol=SAME
    ):
        said += ", which is not the mean of these samples"
    return mean_metric(given, samples, notes=(said,))
