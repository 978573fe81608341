"""One stored figure of two runs, taken apart into items so that it can be compared.

What a figure is, its scorer's class knows, and stored runs have no classes. So a figure is read by
its name and its scores, and only where that gives the stored value again: classifiers' figures from
the labels, quantiles from values, means from values or from what scores keep beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isclose
from typing import Any, NamedTuple

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.differences import Difference, Kind, decided, mean_difference, unscored_of
from modiste.evaluate.figures import (
    OF_ALL,
    OF_ONE,
    QUANTILES,
    Answers,
    Ends,
    class_difference,
    quantile_difference,
)
from modiste.evaluate.metric import Metric
from modiste.evaluate.pairing import Column, Mask, Means, Pairs, Side, detail_of
from modiste.evaluate.record import Run


class Shown(NamedTuple):
    """A metric that is not compared item by item, and why."""

    metric: str
    why: str


def metric_difference(
    pairs: Pairs,
    column: Column,
    metric: Metric,
    other: Metric,
    *,
    leads: bool,
    labels: Sequence[str],
    delta: float | None,
) -> Difference | Shown:
    """By what the figure is: its name says it of classes and quantiles, its value of means.

    Args:
        leads: it is its scorer's first.
    """
    kind = Kind(metric.id, metric.higher_is_better, metric.unit)

    def of_means() -> Difference:
        return mean_difference(kind, column, clusters=pairs.clusters, delta=delta)

    means = _is_mean(column.baseline, metric) and _is_mean(column.candidate, other)
    if leads and means:
        return of_means()
    if metric.estimate is None or other.estimate is None:
        return Shown(metric.id, "one of the runs has no figure of it")
    name = metric.name.partition(".")[0]
    try:
        if (name in OF_ALL or name in OF_ONE) and _classifies(pairs, metric.scorer):
            found = _classes(pairs, column, metric, labels)
        elif name in QUANTILES:
            found = _quantile(pairs, column, QUANTILES[name])
        elif (told := _of_details(pairs, kind, metric, other, delta)) is not None:
            return told
        elif means:
            return of_means()
        else:
            return Shown(metric.id, "its scores do not say what it is of each item")
    except InvalidInput as error:
        return Shown(metric.id, error.message)
    there = column.both
    gaps = column.candidate.means[there] - column.baseline.means[there]
    made = decided(
        kind,
        found.estimate,
        ends=(found.baseline, found.candidate),
        gaps=gaps if kind.higher_is_better else -gaps,
        n_unpaired=len(there) - int(there.sum()),
        unscored=unscored_of(column, None),
        delta=delta,
        part=None,
    )
    return replace(made, of_items=False)


def labels_of(run: Run, scorer: str) -> Sequence[str]:
    """Of a classifying scorer, in its order."""
    for metric in run.metrics:
        if metric.scorer == scorer and metric.table.get("labels"):
            return tuple(map(str, metric.table["labels"]))
    return ()


def by_item_kind(metric: Metric, column: Column) -> Kind:
    """What items and slices are compared on: the scorer's mean, where the metric is none."""
    name = metric.id if _is_mean(column.baseline, metric) else f"{metric.scorer}.mean"
    return Kind(name, metric.higher_is_better, metric.unit)


def _is_mean(side: Means, metric: Metric) -> bool:
    """A stored figure that equals the mean over items is one, whatever it is called."""
    if metric.estimate is None:
        return True
    return isclose(side.whole, metric.estimate.value, rel_tol=1e-9, abs_tol=1e-12)


def _of_details(
    pairs: Pairs, kind: Kind, metric: Metric, other: Metric, delta: float | None
) -> Difference | None:
    """A mean of what scores keep beside their value, over the items that have it; None where the
    stored figure is something else."""
    column = pairs.column(lambda sample: detail_of(sample, metric.scorer, metric.name))
    if not (_is_mean(column.baseline, metric) and _is_mean(column.candidate, other)):
        return None
    having = ~(np.isnan(column.baseline.means) & np.isnan(column.candidate.means))
    return mean_difference(kind, column, clusters=pairs.clusters, delta=delta, mask=having)


def _quantile(pairs: Pairs, column: Column, q: float) -> Ends:
    there = column.both
    return quantile_difference(
        q,
        column.baseline.means[there],
        column.candidate.means[there],
        clusters=None if pairs.clusters is None else pairs.clusters[there],
        n_unscored=len(there) - int(there.sum()),
    )


def _classifies(pairs: Pairs, scorer: str) -> bool:
    """Whether every score says which label is right."""
    scores = (
        sample.scores.get(scorer)
        for side in (pairs.baseline, pairs.candidate)
        for sample in side.samples
    )
    return all("right" in score.detail for score in scores if score and score.value is not None)


def _classes(pairs: Pairs, column: Column, metric: Metric, labels: Sequence[str]) -> Ends:
    """
    Args:
        labels: of a scorer with two, in its order: its F1 is of the second.
    """
    name, _, label = metric.name.partition(".")
    if name in OF_ONE and not label:
        label = labels[1] if len(labels) == 2 else ""
    there, codes = column.both, dict[str, int]()
    answers = [
        _answers(side, there, metric.scorer, codes) for side in (pairs.baseline, pairs.candidate)
    ]
    if name in OF_ONE and label not in codes:
        raise InvalidInput(f"no item is {label!r}, and no answer says it")
    return class_difference(
        name,
        answers[0],
        answers[1],
        n_classes=len(codes),
        of=codes[label] if name in OF_ONE else None,
        clusters=pairs.clusters,
        n_unscored=len(there) - int(there.sum()),
    )


def _answers(side: Side, there: Mask, scorer: str, codes: dict[str, int]) -> list[Answers]:
    """What classifying scorers keep: `right` and the label, or sets of both.

    Args:
        codes: numbers of the labels that were met so far; grows.
    """

    def coded(labels: Any) -> tuple[int, ...]:
        listed = labels if isinstance(labels, list) else [labels] if labels is not None else []
        return tuple(codes.setdefault(str(label), len(codes)) for label in listed)

    found = []
    for at, sample in zip(side.at.tolist(), side.samples, strict=True):
        score = sample.scores.get(scorer)
        if at >= len(there) or not there[at] or score is None or score.value is None:
            continue
        right, said = coded(score.detail["right"]), coded(score.detail.get("said", score.label))
        found.append(Answers(at, right, said, int(score.detail.get("strange", 0))))
    return found
