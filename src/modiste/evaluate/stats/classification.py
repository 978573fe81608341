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
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.columns import Floats, Ints, Labels, Numbers, same_length
from modiste.evaluate.stats.confusion import (
    Sums,
    Table,
    balanced_accuracy,
    confusion_of,
    divided,
    f1s,
    listed,
    macro_f1,
    mcc,
    mean_of_defined,
    precisions,
    recalls,
    sums_of,
    weighted_f1,
)
from modiste.evaluate.stats.estimates import Estimate, Interval, wilson
from modiste.evaluate.stats.ranking import auprc, auroc
from modiste.evaluate.stats.sums import drawn_sums

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
    f1: Estimate | None


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
    weighted_f1: Estimate | None
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
    clusters: Labels | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> ClassificationReport:
    """Shares with Wilson's intervals on their own denominators; F1, MCC and balanced accuracy with
    bootstrap intervals, drawn within each class.

    Args:
        y, yhat: (n,) what is right and what was said.
        labels: all there are. Of two, the second is the positive one.
        unparseable: what stands in `yhat` for an answer that named no label.
        score: (n,) with two labels, how much speaks for the second: adds AUROC and AUPRC, whose
            intervals take items as independent.
        clusters: (n,) what each item shares with others, or the item of each attempt. Whole
            clusters are drawn then, for the intervals of shares too.

    Raises:
        InvalidInput: no item, labels that are not in `labels`, fewer than two of them.
    """
    n = _checked(y, yhat, labels, unparseable, score)
    table = confusion_of(y, yhat, labels, unparseable=unparseable)
    found = _Drawn.of(y, yhat, labels, sums_of(table), clusters, level, seed)
    sums = found.sums
    per_class = found.classes(labels)
    ranked = score if score is not None and 0 < sums.support[1] < n else None
    is_positive = [label == labels[1] for label in listed(y)]
    how = "Wilson; bootstrap within classes" if clusters is None else "cluster bootstrap"
    return ClassificationReport(
        labels=tuple(labels),
        confusion=tuple(tuple(row) for row in table.tolist()),
        per_class=per_class,
        accuracy=found.share(lambda s: s.right.sum(axis=-1), lambda s: s.support.sum(axis=-1)),
        balanced_accuracy=found.estimate(balanced_accuracy),
        mcc=found.estimate(mcc),
        macro_f1=found.estimate(macro_f1),
        weighted_f1=found.estimate(weighted_f1),
        macro=_averages(sums, None),
        micro=_micro(table),
        weighted=_averages(sums, sums.support),
        baseline=_baseline(table, labels),
        n_unparseable=int(table[:, -1].sum()),
        positive=labels[1] if len(labels) == 2 else None,
        f1=per_class[1].f1 if len(labels) == 2 else None,
        auroc=None if ranked is None else auroc(ranked, is_positive, level=level),
        auprc=None if ranked is None else auprc(ranked, is_positive, level=level),
        n=n,
        method=f"{how}, {DRAWS} draws, seed {seed}",
    )


@dataclass(frozen=True)
class _Drawn:
    """The sums of the items, and of the items drawn again: within each class, or whole clusters."""

    sums: Sums
    drawn: Sums
    """Each (draws, K)."""
    n: int
    n_clusters: int | None
    level: float
    seed: int

    @classmethod
    def of(
        cls,
        y: Labels,
        yhat: Labels,
        labels: Sequence[Hashable],
        sums: Sums,
        clusters: Labels | None,
        level: float,
        seed: int,
    ) -> _Drawn:
        right, said, size = listed(y), listed(yhat), len(labels)
        column = {label: at for at, label in enumerate(labels)}
        rows = np.zeros((len(right), 3 * size))
        for at, (wanted, got) in enumerate(zip(right, said, strict=True)):
            rows[at, 2 * size + column[wanted]] = 1
            if got in column:
                rows[at, size + column[got]] = 1
                rows[at, column[got]] = got == wanted
        strata = right if clusters is None else None
        drawn = drawn_sums(rows, draws=DRAWS, clusters=clusters, strata=strata, seed=seed)
        parts = Sums(drawn[:, :size], drawn[:, size : 2 * size], drawn[:, 2 * size :])
        n_clusters = None if clusters is None else len(set(listed(clusters)))
        return cls(sums, parts, len(right), n_clusters, level, seed)

    def interval(self, value: float, draws: Floats) -> Estimate | None:
        """None where it is undefined, or on so many draws that they show nothing."""
        if np.isnan(value) or np.isnan(draws).mean() > 0.5:
            return None
        return interval_of_draws(
            value, draws, items=self.n, level=self.level, seed=self.seed, n_clusters=self.n_clusters
        )

    def estimate(self, figure: Callable[[Sums], Floats]) -> Estimate | None:
        return self.interval(float(figure(self.sums)), figure(self.drawn))

    def share(self, k: Callable[[Sums], Table], of: Callable[[Sums], Table]) -> Share:
        """Wilson's interval, or what draws of clusters show; where they show no spread, Wilson's of
        no more items than there are clusters."""
        found = _share(int(k(self.sums)), int(of(self.sums)), self.level)
        if self.n_clusters is None or found.value is None:
            return found
        ratio = self.estimate(lambda s: divided(k(s), of(s)))
        if ratio is not None and ratio.ci.width > 0:
            return Share(found.k, found.n, found.value, ratio.ci)
        units = min(found.n, self.n_clusters)
        few = wilson(round(found.value * units), units, level=self.level)
        return Share(found.k, found.n, found.value, few)

    def classes(self, labels: Sequence[Hashable]) -> tuple[ClassReport, ...]:
        f1, drawn = f1s(self.sums), f1s(self.drawn)
        return tuple(
            ClassReport(
                label=label,
                support=int(self.sums.support[at]),
                prevalence=int(self.sums.support[at]) / self.n,
                precision=self._of(
                    at, lambda s, at: s.right[..., at], lambda s, at: s.said[..., at]
                ),
                recall=self._of(
                    at, lambda s, at: s.right[..., at], lambda s, at: s.support[..., at]
                ),
                specificity=self._of(at, _passed_over, _of_others),
                f1=self.interval(float(f1[at]), drawn[:, at]),
            )
            for at, label in enumerate(labels)
        )

    def _of(
        self, at: int, k: Callable[[Sums, int], Table], of: Callable[[Sums, int], Table]
    ) -> Share:
        return self.share(lambda s: k(s, at), lambda s: of(s, at))


def _of_others(sums: Sums, at: int) -> Table:
    """Items of the other classes."""
    return np.asarray(sums.support.sum(axis=-1) - sums.support[..., at])


def _passed_over(sums: Sums, at: int) -> Table:
    """Those of them that were not said to be of this one."""
    return np.asarray(_of_others(sums, at) - (sums.said[..., at] - sums.right[..., at]))


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


def _share(k: int, n: int, level: float) -> Share:
    return Share(k, n, k / n, wilson(k, n, level=level)) if n else Share(k, 0, None, None)


def _averages(sums: Sums, weights: Table | None) -> Averages:
    return Averages(
        *(_or_none(mean_of_defined(of(sums), weights)) for of in (precisions, recalls, f1s))
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
    return Baseline(labels[commonest], accuracy, float(macro_f1(sums_of(said))))


def _or_none(value: Floats) -> float | None:
    return None if np.isnan(value) else float(value)
