"""Figures over a run: a value that never travels without n and an interval."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from pydantic import TypeAdapter

from modiste.errors import InvalidInput
from modiste.evaluate.items import Sample, Score, Status
from modiste.evaluate.stats.estimates import Estimate, mean_estimate


class Graded(Protocol):
    """What figures need to know of a scorer."""

    name: str
    higher_is_better: bool
    scale: tuple[float, float] | None
    unit: str


@dataclass(frozen=True)
class Metric:
    """One figure of one scorer."""

    scorer: str
    name: str
    """`mean`, `accuracy`, `macro_f1`, `p95`, …"""
    estimate: Estimate | None
    """None: nothing could be scored."""
    n_unscored: int = 0
    """Samples that have no score of this scorer, for whatever reason."""
    higher_is_better: bool = True
    unit: str = "share"
    notes: tuple[str, ...] = ()
    """What a reader must know beside the figure: a baseline that beats it, few clusters."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """What a report draws beside it, such as a confusion matrix; JSON."""

    @property
    def id(self) -> str:
        return f"{self.scorer}.{self.name}"

    @property
    def told(self) -> Metric:
        """The same where every figure is one; else without the estimate, and saying so."""
        table = _told(self.table)
        if self.estimate is None or math.isfinite(
            self.estimate.value + self.estimate.se + self.estimate.ci.width
        ):
            return replace(self, table=table)
        said = f"the figure came to {self.estimate.value} ± {self.estimate.se}, which is none"
        return replace(self, table=table, estimate=None, notes=(*self.notes, said))


METRICS: TypeAdapter[tuple[Metric, ...]] = TypeAdapter(tuple[Metric, ...])


class Means(NamedTuple):
    """The mean over the scored attempts of each item that has one."""

    keys: tuple[str, ...]
    values: tuple[float, ...]
    clusters: tuple[str, ...] | None
    """Of each item; None where none is named."""
    n_unscored: int
    """Attempts without a score."""


def item_means(scorer: str, samples: Iterable[Sample]) -> Means:
    """What a scorer's mean and any paired comparison are made of."""
    return means_of(samples, lambda sample: _value(scorer, sample))


def means_of(samples: Iterable[Sample], value: Callable[[Sample], float | None]) -> Means:
    """The same of any value of a sample; None is unscored."""
    by_item: dict[str, list[float]] = defaultdict(list)
    clusters: dict[str, str | None] = {}
    n_unscored = 0
    for sample in samples:
        clusters[sample.item.key] = sample.item.cluster
        found = value(sample)
        if found is None:
            n_unscored += 1
        else:
            by_item[sample.item.key].append(found)
    keys = tuple(by_item)
    named = [clusters[key] for key in keys]
    together = (
        None
        if all(name is None for name in named)
        else tuple(
            f"item:{key}" if name is None else f"cluster:{name}"
            for key, name in zip(keys, named, strict=True)
        )
    )
    values = tuple(sum(of) / len(of) for of in by_item.values())
    return Means(keys, values, together, n_unscored)


def mean_metric(
    scorer: Graded,
    samples: Sequence[Sample],
    *,
    name: str = "mean",
    notes: tuple[str, ...] = (),
    table: Mapping[str, Any] | None = None,
) -> Metric:
    """The mean over items, with its interval over items or clusters."""

    def value(sample: Sample) -> float | None:
        return _value(scorer.name, sample)

    return figure(scorer, samples, value, name=name, notes=notes, table=table)


def figure(
    scorer: Graded,
    samples: Sequence[Sample],
    value: Callable[[Sample], float | None],
    *,
    name: str,
    notes: tuple[str, ...] = (),
    table: Mapping[str, Any] | None = None,
) -> Metric:
    """The same of any value of a sample on the scorer's scale; where None is unscored.

    Too little to make an interval of (one item, one cluster) is a metric without estimate that
    says so.
    """
    found = means_of(samples, value)
    estimate = None
    try:
        estimate = estimate_of(found, scale=scorer.scale)
    except InvalidInput as error:
        notes = (*notes, error.message)
    return Metric(
        scorer=scorer.name,
        name=name,
        estimate=estimate,
        n_unscored=found.n_unscored,
        higher_is_better=scorer.higher_is_better,
        unit=scorer.unit,
        notes=notes,
        table=table or {},
    )


def estimate_of(found: Means, *, scale: tuple[float, float] | None) -> Estimate | None:
    if not found.values:
        return None
    return mean_estimate(
        found.values, clusters=found.clusters, scale=scale, n_unscored=found.n_unscored
    )


def score_of(scorer: str, sample: Sample) -> Score | None:
    """What a scorer says of a sample, where it scored it."""
    score = sample.scores.get(scorer)
    return score if score is not None and score.status is Status.SCORED else None


def _value(scorer: str, sample: Sample) -> float | None:
    score = score_of(scorer, sample)
    return None if score is None else score.value


def _told(value: Any) -> Any:
    """JSON has no word for what is no number: it is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _told(each) for name, each in value.items()}
    return [_told(each) for each in value] if isinstance(value, (list, tuple)) else value
