"""Answers that name a set of labels: `classification` with a separator.

An answer is parted and each part read by `labels`; `none` or nothing is the empty set. A part that
is no label makes the set wrong and counts as one more that was said. Figures are the share of
exactly right sets, micro F1 = 2·TP / (said + should be said) over all decisions, and macro F1, the
mean of the labels' F1; intervals are drawn over items or clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, mean_metric, score_of
from modiste.evaluate.scorer import Check, Scorer
from modiste.evaluate.scorers.labels import Labels, folded
from modiste.evaluate.scorers.references import no_reference
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.columns import Floats
from modiste.evaluate.stats.confusion import Sums, divided, f1s, macro_f1
from modiste.evaluate.stats.sums import drawn_sums

DRAWS = 2_000
SEED = 0
EMPTY = ("", "none")
MOST_SHOWN = 20


class MultiLabel(Check):
    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        names: Sequence[str],
        separator: str,
        *,
        watch: Sequence[str] = (),
    ) -> None:
        super().__init__(name, {**config, "labels": list(names)})
        self._names, self._separator, self._watch = tuple(names), separator, tuple(watch)
        self._given = config
        self._labels = Labels(names) if names else None

    def fitted(self, items: Sequence[Item]) -> Scorer:
        of_items = {one for item in items for one in self._right(item.reference)}
        names = self._names or tuple(sorted(of_items))
        if strange := sorted(of_items - set(names)):
            raise InvalidInput(
                f"references name {', '.join(map(repr, strange[:5]))}, not among the labels"
                f" {', '.join(names)}",
                param="dataset.reference",
            )
        try:
            Labels(names)
        except ValueError as error:
            raise InvalidInput(str(error), param="dataset.reference") from None
        return MultiLabel(self.name, self._given, names, self._separator, watch=self._watch)

    def look(self, item: Item, answer: Answer) -> Score:
        if item.reference is None:
            return no_reference(item)
        if self._labels is None:
            return unscored(Status.ERROR, "no labels are known; list them in the suite")
        right = sorted(set(self._right(item.reference)))
        said, strange = self._read(answer.text)
        exact = said == right and not strange
        reason = f"no label: {', '.join(strange)}" if strange else ""
        return scored(
            exact,
            label=self._separator.join(said),
            reason=reason,
            right=right,
            said=said,
            strange=len(strange),
        )

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        having = [(sample, score_of(self.name, sample)) for sample in samples]
        graded = [(sample, score) for sample, score in having if score is not None]
        strange = sum(score.detail["strange"] > 0 for _, score in graded)
        notes = (f"{strange} answers hold parts that are no label",) if strange else ()
        first = mean_metric(self, samples, name="exact_match", notes=notes)
        if not graded:
            return (first,)
        rows = self._rows([score for _, score in graded])
        units = [sample.item.cluster or f"item:{sample.item.key}" for sample, _ in graded]
        drawn = drawn_sums(rows, draws=DRAWS, clusters=units, seed=SEED)
        figures: dict[str, Callable[[Floats], Floats]] = {
            "micro_f1": self._micro,
            "macro_f1": lambda cells: macro_f1(self._sums(cells)),
        }
        watched = self._watch or (self._names if len(self._names) <= MOST_SHOWN else ())
        for label in watched:
            at = self._names.index(label)
            figures[f"f1.{label}"] = lambda cells, at=at: f1s(self._sums(cells))[..., at]  # type: ignore[misc]
        n_unscored, n_items = len(having) - len(graded), len({s.item.key for s, _ in graded})

        def metric(name: str, figure: Callable[[Floats], Floats]) -> Metric:
            value, draws = float(figure(rows.sum(axis=0))), figure(drawn)
            if np.isnan(value) or np.isnan(draws).mean() > 0.5:
                return Metric(self.name, name, None, n_unscored, notes=("it has no denominator",))
            estimate = interval_of_draws(
                value, draws, items=n_items, seed=SEED,
                n_clusters=len(set(units)), n_unscored=n_unscored,
            )  # fmt: skip
            return Metric(self.name, name, estimate, n_unscored)

        return (first, *(metric(name, figure) for name, figure in figures.items()))

    def _right(self, reference: Any) -> list[str]:
        if reference is None:
            return []
        parts = reference if isinstance(reference, list) else str(reference).split(self._separator)
        return [text for part in parts if folded(text := str(part).strip()) not in EMPTY]

    def _read(self, text: str) -> tuple[list[str], list[str]]:
        """The labels of an answer, sorted, and parts that are none."""
        said, strange = set(), []
        for part in text.split(self._separator):
            if folded(part) in EMPTY:
                continue
            label = self._labels.read(part) if self._labels else None
            if label is None:
                strange.append(part.strip())
            else:
                said.add(label)
        return sorted(said), strange

    def _rows(self, scores: Sequence[Score]) -> Floats:
        """(n, 3K + 1): right, said, should be said, per label; parts that are none."""
        size, column = len(self._names), {name: at for at, name in enumerate(self._names)}
        rows = np.zeros((len(scores), 3 * size + 1))
        for row, score in zip(rows, scores, strict=True):
            said, right = set(score.detail["said"]), set(score.detail["right"])
            for label in said & right:
                row[column[label]] = 1
            for label in said:
                row[size + column[label]] = 1
            for label in right:
                row[2 * size + column[label]] = 1
            row[-1] = score.detail["strange"]
        return rows

    def _sums(self, cells: Floats) -> Sums:
        size = len(self._names)
        return Sums(cells[..., :size], cells[..., size : 2 * size], cells[..., 2 * size : 3 * size])

    def _micro(self, cells: Floats) -> Floats:
        right, said, support = (part.sum(axis=-1) for part in self._sums(cells))
        return divided(2 * right, said + support + cells[..., -1])
