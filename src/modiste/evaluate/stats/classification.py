"""How a classifier does against what is right: per class, in all, and beside guessing.

The report always tells how often each class occurs and what always answering the commonest one
would score: a classifier can be 87 % right and worse than that. An answer that names no label is a
wrong prediction and is counted apart. What has no denominator is None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.bootstrap import interval_of_draws, multinomial_draws
from modiste.evaluate.stats.columns import Floats, Ints, Labels, Numbers, same_length
from modiste.evaluate.stats.confusion import (
    Table,
    balanced_accuracy,
    confusion_of,
    f1s,
    listed,
    macro_f1,
    mcc,
    mean_of_defined,
    precisions,
    recalls,
)
from modiste.evaluate.stats.estimates import Estimate, Interval, wilson
from modiste.evaluate.stats.ranking import auprc, auroc

DRAWS = 2_000


@dataclass(frozen=True)
class Share:
    """`k` of `n`; no value and no interval where n is 0."""

    k: int
    n: int
    value: float | None
    ci: Interval | None


@dataclass(frozen=True)
class ClassReport:
    label: Hashable
    support: int
    prevalence: float
    precision: Share
    recall: Share
    specificity: Share
    f1: float | None


@dataclass(frozen=True)
class Averages:
    """Over the classes that have the figure."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Baseline:
    """Always answering the commonest class."""

    label: Hashable
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class ClassificationReport:
    labels: tuple[Hashable, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are what is right, columns what was said; the last column is what named no label."""
    per_class: tuple[ClassReport, ...]
    accuracy: Share
    balanced_accuracy: Estimate | None
    mcc: Estimate | None
    macro_f1: Estimate | None
    macro: Averages
    micro: Averages
    weighted: Averages
    baseline: Baseline
    n_unparseable: int
    positive: Hashable | None
    """With two labels: the one that is looked for."""
    f1: Estimate | None
    """Of `positive`."""
    auroc: Estimate | None
    auprc: Estimate | None
    n: int
    method: str

    def of(self, label: Hashable) -> ClassReport:
        return self.per_class[self.labels.index(label)]

    @property
    def beats_baseline(self) -> bool:
        """Is its whole accuracy interval above what always answering the commonest class scores?"""
        return self.accuracy.ci is not None and self.accuracy.ci.lo > self.baseline.accuracy


def classification_report(
    y: Labels,
    yhat: Labels,
    labels: Sequence[Hashable],
    *,
    unparseable: Hashable = None,
    score: Numbers | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> ClassificationReport:
    """Shares with Wilson's intervals on their own denominators; F1, MCC and balanced accuracy with
    percentile bootstrap intervals, drawn within each class.

    Args:
        y, yhat: (n,) what is right and what was said.
        labels: all there are. Of two, the second is the positive one.
        unparseable: what stands in `yhat` for an answer that named no label.
        score: (n,) with two labels, how much speaks for the second: adds AUROC and AUPRC.

    Raises:
        InvalidInput: no item, labels that are not in `labels`, fewer than two of them.
    """
    n = _checked(y, yhat, labels, unparseable, score)
    table = confusion_of(y, yhat, labels, unparseable=unparseable)
    positive = labels[1] if len(labels) == 2 else None
    drawn = _drawn(table, seed)

    def estimate(figure: Callable[[Table], Floats]) -> Estimate | None:
        return _estimate(float(figure(table)), figure(drawn), n, level, seed)

    ranked = score is not None and 0 < table[1].sum() < n
    is_positive = [label == positive for label in listed(y)]
    return ClassificationReport(
        labels=tuple(labels),
        confusion=tuple(tuple(row) for row in table.tolist()),
        per_class=tuple(_of_class(table, at, label, level) for at, label in enumerate(labels)),
        accuracy=_share(int(np.trace(table)), n, level),
        balanced_accuracy=estimate(balanced_accuracy),
        mcc=estimate(mcc),
        macro_f1=estimate(macro_f1),
        macro=_averages(table, None),
        micro=_micro(table),
        weighted=_averages(table, table.sum(axis=1)),
        baseline=_baseline(table, labels),
        n_unparseable=int(table[:, -1].sum()),
        positive=positive,
        f1=estimate(lambda cells: f1s(cells)[..., 1]) if positive is not None else None,
        auroc=auroc(score, is_positive, level=level) if ranked and score is not None else None,
        auprc=auprc(score, is_positive, level=level, seed=seed)
        if ranked and score is not None
        else None,
        n=n,
        method=f"Wilson; percentile bootstrap within classes, {DRAWS} draws, seed {seed}",
    )


def _checked(
    y: Labels,
    yhat: Labels,
    labels: Sequence[Hashable],
    unparseable: Hashable,
    score: Numbers | None,
) -> int:
    if len(labels) < 2 or len(set(labels)) < len(labels) or unparseable in labels:
        raise InvalidInput(
            f"labels are {list(labels)}; at least two different ones are needed, without "
            f"{unparseable!r}, which stands for no label"
        )
    if score is not None and len(labels) != 2:
        raise InvalidInput(f"score is for two labels, there are {len(labels)}")
    n = same_length(y=y, yhat=yhat) if score is None else same_length(y=y, yhat=yhat, score=score)
    if n == 0:
        raise InvalidInput("y has 0 items, at least 1 is needed")
    return n


def _drawn(table: Ints, seed: int) -> Ints:
    """(draws, K, K + 1): each class's items drawn again."""
    rng = np.random.default_rng(seed)
    return np.stack([multinomial_draws(row, DRAWS, rng) for row in table], axis=1)


def _estimate(value: float, drawn: Floats, n: int, level: float, seed: int) -> Estimate | None:
    """None where the figure is undefined, or on so many draws that they show nothing."""
    if np.isnan(value) or np.isnan(drawn).mean() > 0.5:
        return None
    return interval_of_draws(value, drawn, items=n, level=level, seed=seed)


def _of_class(table: Ints, at: int, label: Hashable, level: float) -> ClassReport:
    n, support, said = int(table.sum()), int(table[at].sum()), int(table[:, at].sum())
    right = int(table[at, at])
    f1 = float(f1s(table)[at])
    return ClassReport(
        label=label,
        support=support,
        prevalence=support / n,
        precision=_share(right, said, level),
        recall=_share(right, support, level),
        specificity=_share(n - support - (said - right), n - support, level),
        f1=None if np.isnan(f1) else f1,
    )


def _share(k: int, n: int, level: float) -> Share:
    return Share(k, n, k / n, wilson(k, n, level=level)) if n else Share(k, 0, None, None)


def _averages(table: Ints, weights: Ints | None) -> Averages:
    return Averages(
        *(_or_none(mean_of_defined(of(table), weights)) for of in (precisions, recalls, f1s))
    )


def _micro(table: Ints) -> Averages:
    """All decisions in one pot: recall is accuracy, precision that of the answers with a label."""
    right, n, said = int(np.trace(table)), int(table.sum()), int(table[:, :-1].sum())
    return Averages(right / said if said else None, right / n, 2 * right / (n + said))


def _baseline(table: Ints, labels: Sequence[Hashable]) -> Baseline:
    commonest = int(table.sum(axis=1).argmax())
    said = np.zeros_like(table)
    said[:, commonest] = table.sum(axis=1)
    accuracy = float(said[commonest, commonest] / table.sum())
    return Baseline(labels[commonest], accuracy, float(macro_f1(said)))


def _or_none(value: Floats) -> float | None:
    return None if np.isnan(value) else float(value)
