"""Answers that name one of a few labels: `classification`.

What an answer means is read by `labels`; an answer that names none is wrong and reported apart. The
first metric is accuracy, with the confusion matrix, prevalences and the majority baseline in its
table, and always with a note of what answering the commonest label every time would score: 87 %
right can be worse than that. Then macro and weighted F1, balanced accuracy, MCC, with two labels F1
of the one that is looked for, and precision, recall and F1 of each label on their own denominators.
Attempts at one item and items of one cluster are never taken as independent.

With `separator` a text holds a set of labels (see `multilabel`). Pass rule: the value is 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, mean_metric, score_of
from modiste.evaluate.scorer import Check, Scorer
from modiste.evaluate.scorers.labels import Labels
from modiste.evaluate.scorers.multilabel import MultiLabel
from modiste.evaluate.scorers.references import as_text, no_reference
from modiste.evaluate.spec import Spec
from modiste.evaluate.stats.classification import (
    ClassificationReport,
    ClassReport,
    Share,
    classification_report,
)
from modiste.evaluate.stats.estimates import Estimate, z_of

MOST_SHOWN = 20
"""Labels that all have metrics of their own; with more, those that are watched."""


class Classification(Check):
    def __init__(self, spec: ClassificationSpec, names: Sequence[str]) -> None:
        super().__init__(spec.name, {**spec.config, "labels": list(names)})
        self._spec = spec
        self._labels = Labels(names) if names else None

    def fitted(self, items: Sequence[Item]) -> Scorer:
        """Labels that the suite does not list are those of the references, sorted."""
        of_items = {as_text(item.reference) for item in items if item.reference is not None}
        names = self._spec.labels or tuple(sorted(of_items))
        if len(names) < 2:
            raise InvalidInput(
                f"the references name {len(names)} labels ({', '.join(names)}); two are needed",
                param="dataset.reference",
            )
        if strange := sorted(of_items - set(names)):
            raise InvalidInput(
                f"references are {', '.join(map(repr, strange[:5]))}, not among the labels"
                f" {', '.join(names)}",
                param="dataset.reference",
            )
        try:
            return Classification(self._spec, names)
        except ValueError as error:
            raise InvalidInput(str(error), param="dataset.reference") from None

    def look(self, item: Item, answer: Answer) -> Score:
        if item.reference is None:
            return no_reference(item)
        if self._labels is None:
            return unscored(Status.ERROR, "no labels are known; list them in the suite")
        right, said = as_text(item.reference), self._labels.read(answer.text)
        reason = "" if said is not None else "no label can be read from the answer"
        return scored(said == right, label=said, reason=reason, right=right)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        having = [(sample, score_of(self.name, sample)) for sample in samples]
        graded = [(sample, score) for sample, score in having if score is not None]
        n_unscored = len(having) - len(graded)
        if not graded or self._labels is None:
            return (mean_metric(self, samples, name="accuracy"),)
        report = classification_report(
            [score.detail["right"] for _, score in graded],
            [score.label for _, score in graded],
            self._in_order([score.detail["right"] for _, score in graded]),
            clusters=dependent([sample for sample, _ in graded]),
        )
        whole = {
            "macro_f1": report.macro_f1,
            "weighted_f1": report.weighted_f1,
            "balanced_accuracy": report.balanced_accuracy,
            "mcc": report.mcc,
            **({"f1": report.f1} if report.positive is not None else {}),
        }
        watched = self._spec.watch or (report.labels if len(report.labels) <= MOST_SHOWN else ())
        for label in watched:
            whole |= _of_class(report.of(label))
        first = mean_metric(
            self, samples, name="accuracy", notes=_notes(report), table=_table(report)
        )
        return (first, *(self._metric(name, of, n_unscored) for name, of in whole.items()))

    def _metric(self, name: str, estimate: Estimate | None, n_unscored: int) -> Metric:
        if estimate is None:
            return Metric(self.name, name, None, n_unscored, notes=("it has no denominator",))
        return Metric(self.name, name, replace(estimate, n_unscored=n_unscored), n_unscored)

    def _in_order(self, right: Sequence[str]) -> tuple[str, ...]:
        """Of two labels the one that is looked for comes second: the rarer one unless said."""
        names = self._labels.names if self._labels else ()
        if len(names) != 2:
            return names
        often = Counter(right)
        positive = self._spec.positive or min(names, key=lambda name: often[name])
        return tuple(sorted(names, key=lambda name: name == positive))


def dependent(samples: Sequence[Sample]) -> list[tuple[str, str]] | None:
    """What each sample shares with others; None where every sample stands alone."""
    units = [
        ("cluster", sample.item.cluster) if sample.item.cluster else ("item", sample.item.key)
        for sample in samples
    ]
    return None if len(set(units)) == len(units) else units


def _of_class(found: ClassReport) -> dict[str, Estimate | None]:
    label = found.label
    return {
        f"precision.{label}": _estimate(found.precision),
        f"recall.{label}": _estimate(found.recall),
        f"f1.{label}": found.f1,
    }


def _estimate(share: Share) -> Estimate | None:
    if share.value is None or share.ci is None:
        return None
    se = share.ci.width / (2 * z_of(share.ci.level))
    return Estimate(value=share.value, se=se, ci=share.ci, n=share.n, method=share.ci.method)


def _notes(report: ClassificationReport) -> tuple[str, ...]:
    base, accuracy = report.baseline, report.accuracy.value or 0.0
    said = f"always answering {base.label!r} would be right in {base.accuracy:.1%}"
    if report.positive is not None:
        prevalence = report.of(report.positive).prevalence
        said += f" (prevalence of {report.positive!r}: {prevalence:.1%})"
    if accuracy <= base.accuracy:
        said += f", which this model with {accuracy:.1%} does not beat"
    elif not report.beats_baseline:
        said += f"; that this model with {accuracy:.1%} is better is not shown"
    unread = report.n_unparseable
    more = (f"{unread} of {report.n} answers name no label and count as wrong",) if unread else ()
    return (said, *more)


def _table(report: ClassificationReport) -> dict[str, Any]:
    """What a report draws; JSON."""

    def shown(share: Share) -> dict[str, Any]:
        ci = None if share.ci is None else [share.ci.lo, share.ci.hi]
        return {"value": share.value, "ci": ci, "n": share.n}

    return {
        "labels": list(report.labels),
        "confusion": [list(row) for row in report.confusion],
        "unparseable": report.n_unparseable,
        "baseline": {
            "label": report.baseline.label,
            "accuracy": report.baseline.accuracy,
            "macro_f1": report.baseline.macro_f1,
        },
        "per_class": [
            {
                "label": one.label,
                "support": one.support,
                "prevalence": one.prevalence,
                "precision": shown(one.precision),
                "recall": shown(one.recall),
                "f1": None if one.f1 is None else one.f1.value,
                "f1_ci": None if one.f1 is None else [one.f1.ci.lo, one.f1.ci.hi],
            }
            for one in report.per_class
        ],
    }


class ClassificationSpec(Spec):
    kind: Literal["classification"] = "classification"
    name: str = "classification"
    labels: tuple[str, ...] = ()
    """All there are; without, those that the references name."""
    positive: str | None = None
    """Of two labels the one that is looked for; the rarer one by default."""
    watch: tuple[str, ...] = ()
    """Labels with metrics of their own; all by default, where there are at most 20."""
    separator: str | None = Field(default=None, min_length=1)
    """Parts the labels of one text; with it, answers and references are sets of labels."""

    def model_post_init(self, context: object) -> None:
        if self.labels:
            Labels(self.labels)
            known = set(self.labels)
            named = {*self.watch, *([] if self.positive is None else [self.positive])}
            if strange := sorted(named - known):
                raise ValueError(f"{', '.join(strange)} is not among the labels")
        if len(self.labels) == 1:
            raise ValueError("labels has one entry; at least two are needed")

    def build(self) -> Scorer:
        if self.separator is not None:
            return MultiLabel(self.name, self.config, self.labels, self.separator, watch=self.watch)
        return Classification(self, self.labels)
