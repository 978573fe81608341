"""What a run rests on: enough to say whether two runs may be compared, and to make one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from modiste.evaluate.items import Sample
from modiste.evaluate.metric import Metric


@dataclass(frozen=True)
class Record:
    """Of one model on one suite."""

    run_id: str
    suite: str
    subject: str
    """The model's name in the suite, such as `tuned`."""
    model: str
    """As it was asked for."""
    model_id: str
    """What answered to that name when the run began; an alias may have been switched since."""
    model_version: str
    """Of its weights: changes when any byte of an adapter changes."""
    dataset_sha256: str
    """Of the items as they were asked, references and order among it."""
    n_items: int
    prompt_sha256: str
    """Of templates, tools and answer schema. The same for every subject of a suite, except for what
    a subject says before the question."""
    attempts: int
    sampling: Mapping[str, Any]
    scorers: Mapping[str, str]
    """Name to identity: scores of two runs are comparable where both are equal."""
    primary: str
    """`SCORER.METRIC` that decides."""
    code_version: str
    started_at: datetime
    finished_at: datetime | None = None
    parity_passed: bool | None = None
    """Of the model's certificate; None where it has none (a base, a hosted model)."""
    said_before: tuple[str, ...] = ()
    """What this subject alone says before the question: `system prompt`, `4 examples`. A name that
    is switched to the model does not say it."""
    concurrency: int = 0
    """Requests at a time: latencies are of that load."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Engine, fingerprint, versions of packages."""


RECORD: TypeAdapter[Record] = TypeAdapter(Record)


@dataclass(frozen=True)
class Run:
    """A finished run with all its samples in hand."""

    record: Record
    samples: Sequence[Sample]
    metrics: Sequence[Metric]

    def metric(self, wanted: str) -> Metric:
        """By `SCORER.METRIC`, or by the scorer alone, which means its first.

        Raises:
            KeyError: there is none.
        """
        for metric in self.metrics:
            if wanted in (metric.id, metric.scorer):
                return metric
        raise KeyError(wanted)
