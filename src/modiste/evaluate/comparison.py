"""Two runs of one suite: which model is better, on what evidence, and what would decide.

Runs are compared only where the same items were graded by the same scorers; what else differs
between them (prompt, sampling, load) is told, for it may be the reason. Every figure is candidate
minus baseline over the items that have a score in both. The primary metric is tested alone, all
others share Holm's correction, and so do the slices of the primary metric.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.differences import Difference, Kind, mean_difference, with_holm
from modiste.evaluate.items import Item, Sample
from modiste.evaluate.metric import Metric
from modiste.evaluate.pairing import Column, Pairs
from modiste.evaluate.record import Record, Run
from modiste.evaluate.stats.multiplicity import holm
from modiste.evaluate.taken_apart import Shown, by_item_kind, labels_of, metric_difference
from modiste.evaluate.verdict import Decision, Verdict

MOST_DELTAS = 20
"""Items shown on which one of the two is furthest ahead."""
EXPENSES: tuple[tuple[Kind, Callable[[Sample], float | None]], ...] = (
    (
        Kind("latency", False, "s"),
        lambda s: None if s.answer.failure else s.answer.latency_s or None,
    ),
    (
        Kind("tokens", False, "tokens"),
        lambda s: None if s.answer.failure else s.answer.n_tokens or None,
    ),
    (Kind("cost", False, "micro"), lambda s: None if s.answer.failure else s.answer.cost_micro),
)
"""What an answer takes; told beside every comparison, and no part of its family."""


class Delta(NamedTuple):
    """One item, its first attempt in both runs, and the primary scorer's values."""

    item: Item
    baseline: Sample
    candidate: Sample
    baseline_value: float
    candidate_value: float

    @property
    def gap(self) -> float:
        return self.candidate_value - self.baseline_value


@dataclass(frozen=True)
class Comparison:
    baseline: Record
    candidate: Record
    delta: float | None
    """The smallest difference that matters, in the metric's own unit."""
    n_both: int
    only_baseline: tuple[str, ...]
    """Keys of items that only one was asked."""
    only_candidate: tuple[str, ...]
    differences: tuple[Difference, ...]
    """The primary metric first."""
    slices: tuple[Difference, ...]
    """Of the primary metric, by slice."""
    expenses: tuple[Difference, ...]
    """Latency, tokens, cost."""
    not_compared: tuple[Shown, ...]
    notes: tuple[str, ...]
    """What else differs between the runs."""
    worst: tuple[Delta, ...]
    """Items on which the candidate is furthest behind."""
    best: tuple[Delta, ...]

    @property
    def primary(self) -> Difference:
        return self.differences[0]

    def difference(self, wanted: str) -> Difference:
        """By `SCORER.METRIC`, or by the scorer alone, which means its first.

        Raises:
            InvalidInput: that was not compared.
        """
        for each in (*self.differences, *self.expenses):
            if wanted in (each.kind.metric, each.kind.metric.split(".")[0]):
                return each
        there = ", ".join(each.kind.metric for each in self.differences)
        raise InvalidInput(f"metric is {wanted!r}; compared were {there}", param="metric")


def compare(
    baseline: Run, candidate: Run, *, metrics: Sequence[str] = (), delta: float | None = None
) -> Comparison:
    """Is the candidate better than the baseline?

    Args:
        metrics: `SCORER` or `SCORER.METRIC`, the primary one first; by default the suite's primary
            metric and every other that both runs have.
        delta: the smallest difference that matters; without it nothing is told to be equivalent.

    Raises:
        InvalidInput: the runs have not the same items or scorers, or no such metric; with all that
            differs.
    """
    chosen = _chosen(baseline, candidate, metrics)
    _same_ground(baseline.record, candidate.record, {metric.scorer for metric in chosen})
    pairs = Pairs.of(baseline, candidate)
    columns = {name: pairs.scores(name) for name in dict.fromkeys(m.scorer for m in chosen)}
    made: list[Difference] = []
    shown: list[Shown] = []
    for metric in chosen:
        other = _of(candidate, metric.id)
        told = metric_difference(
            pairs,
            columns[metric.scorer],
            metric,
            other,
            leads=baseline.metric(metric.scorer) is metric,
            labels=labels_of(baseline, metric.scorer),
            delta=delta,
        )
        made.append(told) if isinstance(told, Difference) else shown.append(told)
    if shown and shown[0].metric == chosen[0].id:
        raise InvalidInput(f"{shown[0].metric} cannot be compared: {shown[0].why}", param="metric")
    first, by_item = columns[chosen[0].scorer], by_item_kind(chosen[0], columns[chosen[0].scorer])
    worst, best = _extremes(pairs, first, by_item)
    return Comparison(
        baseline=baseline.record,
        candidate=candidate.record,
        delta=delta,
        n_both=len(pairs.items),
        only_baseline=pairs.only_baseline,
        only_candidate=pairs.only_candidate,
        differences=(made[0], *_family(made[1:])),
        slices=tuple(_family(_by_slice(pairs, first, by_item, delta))),
        expenses=tuple(_expenses(pairs)),
        not_compared=tuple(shown),
        notes=_notes(baseline.record, candidate.record),
        worst=worst,
        best=best,
    )


def _chosen(baseline: Run, candidate: Run, wanted: Sequence[str]) -> list[Metric]:
    """The baseline's metrics that both have, the primary one first."""
    both = [m for m in baseline.metrics if any(m.id == other.id for other in candidate.metrics)]
    there = ", ".join(metric.id for metric in both) or "none"
    if not both:
        raise InvalidInput(
            f"the runs have no metric in common: {_ids(baseline)} and {_ids(candidate)}",
            param="metric",
        )
    if not wanted:
        primary = next((m for m in both if baseline.record.primary in (m.id, m.scorer)), both[0])
        return [primary, *(m for m in both if m is not primary)]
    found = {name: next((m for m in both if name in (m.id, m.scorer)), None) for name in wanted}
    if missing := [name for name, metric in found.items() if metric is None]:
        raise InvalidInput(
            f"metric is {', '.join(map(repr, missing))}; both runs have {there}", param="metric"
        )
    return [metric for metric in found.values() if metric is not None]


def _ids(run: Run) -> str:
    return ", ".join(metric.id for metric in run.metrics) or "none"


def _same_ground(baseline: Record, candidate: Record, scorers: set[str]) -> None:
    """
    Raises:
        InvalidInput: scores of the two say nothing about each other.
    """
    problems = []
    if baseline.dataset_sha256 != candidate.dataset_sha256:
        problems.append(
            f"the items differ (dataset {baseline.dataset_sha256[:12]} of suite "
            f"{baseline.suite!r}, {candidate.dataset_sha256[:12]} of suite {candidate.suite!r}): "
            "run both on the same suite and data"
        )
    changed = sorted(
        name for name in scorers if baseline.scorers.get(name) != candidate.scorers.get(name)
    )
    if changed:
        problems.append(
            f"scorer {', '.join(changed)} is not the same in both: `modiste eval rescore` grades "
            "stored answers again, without new generations"
        )
    if problems:
        raise InvalidInput(
            f"runs {baseline.run_id} and {candidate.run_id} cannot be compared: "
            f"{'; '.join(problems)}"
        )


def _notes(baseline: Record, candidate: Record) -> tuple[str, ...]:
    notes = []
    if baseline.run_id == candidate.run_id:
        notes.append("both are the same run")
    if baseline.prompt_sha256 != candidate.prompt_sha256:
        notes.append(
            f"the prompts differ ({baseline.prompt_sha256[:12]} and {candidate.prompt_sha256[:12]})"
            ": the difference is of model and prompt together"
        )
    for name in sorted({*baseline.sampling, *candidate.sampling}):
        a, b = baseline.sampling.get(name), candidate.sampling.get(name)
        if a != b:
            notes.append(f"sampling differs: {name} is {a!r} in A and {b!r} in B")
    if baseline.attempts != candidate.attempts:
        notes.append(f"A made {baseline.attempts} attempts at each item, B {candidate.attempts}")
    if baseline.concurrency != candidate.concurrency:
        notes.append(
            f"latencies are of different loads: {baseline.concurrency} requests at a time in A, "
            f"{candidate.concurrency} in B"
        )
    if baseline.code_version != candidate.code_version:
        notes.append(
            f"A was made by Modiste {baseline.code_version}, B by {candidate.code_version}"
        )
    if baseline.model_version == candidate.model_version and baseline.subject == candidate.subject:
        notes.append("both are of the same model")
    return tuple(notes)


def _family(differences: Sequence[Difference]) -> list[Difference]:
    tested = [each.p for each in differences if each.p is not None]
    if not tested:
        return list(differences)
    adjusted = iter(holm(tested).p)
    return with_holm(
        differences, [None if each.p is None else next(adjusted) for each in differences]
    )


def _by_slice(pairs: Pairs, column: Column, kind: Kind, delta: float | None) -> list[Difference]:
    return [
        mean_difference(kind, column, clusters=pairs.clusters, delta=delta, part=part, mask=mask)
        for part, mask in pairs.slices.items()
    ]


def _expenses(pairs: Pairs) -> list[Difference]:
    found = []
    for kind, value in EXPENSES:
        column = pairs.column(value)
        if column.both.any():
            made = mean_difference(kind, column, clusters=pairs.clusters)
            same = Decision(Verdict.EQUIVALENT, 0, "the same on every item")
            found.append(replace(made, decision=same) if not made.wins + made.losses else made)
    return found


def _extremes(
    pairs: Pairs, column: Column, kind: Kind
) -> tuple[tuple[Delta, ...], tuple[Delta, ...]]:
    gaps = column.candidate.means - column.baseline.means
    better = gaps if kind.higher_is_better else -gaps
    places = np.flatnonzero(~np.isnan(better))
    order = places[np.argsort(better[places], kind="stable")]
    behind = [int(at) for at in order[:MOST_DELTAS] if better[at] < 0]
    ahead = [int(at) for at in order[::-1][:MOST_DELTAS] if better[at] > 0]

    def delta(at: int) -> Delta:
        return Delta(
            pairs.items[at],
            pairs.baseline.first[at],
            pairs.candidate.first[at],
            float(column.baseline.means[at]),
            float(column.candidate.means[at]),
        )

    return tuple(map(delta, behind)), tuple(map(delta, ahead))


def _of(run: Run, metric: str) -> Metric:
    return next(each for each in run.metrics if each.id == metric)
