"""One metric of two runs on the same items: candidate minus baseline, and what that allows to say.

A win is not told where more than 2 % of either side's attempts have no score, for those that failed
may be the ones that differ. Where several metrics are looked at, those that are not the primary one
share Holm's correction: a difference that only luck among many could show is no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special

from modiste.evaluate.pairing import Column, Floats, Ints, Mask
from modiste.evaluate.stats.estimates import Estimate, Scale
from modiste.evaluate.stats.paired import centre, paired_difference
from modiste.evaluate.stats.power import mde_of
from modiste.evaluate.verdict import Decision, Verdict, Wording, decide, told

MOST_UNSCORED = 0.02
"""Share of a side's attempts without a score above which nothing is told to be better."""
MARK = "*"
Part = tuple[str, str]
"""Name and value of a slice."""


class Kind(NamedTuple):
    """What is known of a metric besides its values."""

    metric: str
    higher_is_better: bool = True
    unit: str = "share"

    @property
    def scale(self) -> Scale | None:
        return (0.0, 1.0) if self.unit == "share" else None

    @property
    def wording(self) -> Wording:
        if self.unit == "share":
            return Wording()
        return Wording(factor=1.0, unit=self.unit)


class Unscored(NamedTuple):
    """Attempts of one side."""

    n: int
    attempts: int

    @property
    def share(self) -> float:
        return self.n / self.attempts if self.attempts else 1.0


@dataclass(frozen=True)
class Difference:
    """One metric, over all items or one slice of them."""

    kind: Kind
    part: Part | None
    baseline: float | None
    """Over the items that both have a score for; None where there is none."""
    candidate: float | None
    estimate: Estimate | None
    """Candidate minus baseline; None where it cannot be made, and `decision` says why."""
    wins: int
    """Items on which the candidate scores better."""
    ties: int
    losses: int
    n_unpaired: int
    """Items asked in both without a score in both."""
    baseline_unscored: Unscored
    candidate_unscored: Unscored
    p: float | None
    p_holm: float | None
    """Among the family it was tested with; None where it is the primary metric."""
    mde: float | None
    decision: Decision
    of_items: bool = True
    """Wins, ties and losses are of this figure item by item. False: it is of all items together
    (macro F1, a quantile), and they are of the scorer's value for each item, whatever its class."""

    @property
    def counts(self) -> str:
        """Wins, ties and losses, marked where they are not of the figure itself."""
        return f"{self.wins}/{self.ties}/{self.losses}{'' if self.of_items else MARK}"

    @property
    def verdict(self) -> Verdict:
        return self.decision.verdict

    @property
    def name(self) -> str:
        return (
            self.kind.metric
            if self.part is None
            else f"{self.kind.metric} where {told_part(self.part)}"
        )


def mark_told(differences: Sequence[Difference]) -> str | None:
    """What the mark beside counts says, where one is there."""
    marked = [each.kind.metric for each in differences if not each.of_items]
    if not marked:
        return None
    scorers = ", ".join(dict.fromkeys(metric.partition(".")[0] for metric in marked))
    return (
        f"{MARK} the figure is of all items together and has no value for one; counted are all "
        f"items, of whatever class, on which B's score of {scorers} is better, equal or worse"
    )


def told_part(part: Part) -> str:
    return f"{part[0]} = {part[1]}"


def mean_difference(
    kind: Kind,
    column: Column,
    *,
    clusters: Ints | None,
    delta: float | None = None,
    part: Part | None = None,
    mask: Mask | None = None,
) -> Difference:
    """Of a metric that is the mean over items.

    Args:
        mask: (n,) the items of `part`; all without.
    """
    there = column.both if mask is None else column.both & mask
    a, b = column.baseline.means[there], column.candidate.means[there]
    asked = len(there) if mask is None else int(mask.sum())
    among = clusters[there] if clusters is not None else None
    return decided(
        kind,
        _estimate(b, a, among, kind, asked - len(a)),
        ends=(float(a.mean()), float(b.mean())) if len(a) else (None, None),
        gaps=(b - a) if kind.higher_is_better else (a - b),
        n_unpaired=asked - len(a),
        unscored=unscored_of(column, mask),
        delta=delta,
        part=part,
    )


def unscored_of(column: Column, mask: Mask | None) -> tuple[Unscored, Unscored]:
    of = slice(None) if mask is None else mask
    a, b = (Unscored(int(side.unscored[of].sum()), int(side.attempts[of].sum())) for side in column)
    return a, b


def decided(
    kind: Kind,
    estimate: Estimate | str,
    *,
    ends: tuple[float | None, float | None],
    gaps: Floats,
    n_unpaired: int,
    unscored: tuple[Unscored, Unscored],
    delta: float | None,
    part: Part | None,
) -> Difference:
    """
    Args:
        estimate: candidate minus baseline, or why there is none.
        gaps: (n,) by how much the candidate is better on each item.
    """
    found = None if isinstance(estimate, str) else estimate
    return Difference(
        kind=kind,
        part=part,
        baseline=ends[0],
        candidate=ends[1],
        estimate=found,
        wins=int((gaps > 0).sum()),
        ties=int((gaps == 0).sum()),
        losses=int((gaps < 0).sum()),
        n_unpaired=n_unpaired,
        baseline_unscored=unscored[0],
        candidate_unscored=unscored[1],
        p=p_of(found) if found else None,
        p_holm=None,
        mde=mde_of(found) if found else None,
        decision=_decision(kind, estimate, unscored, delta),
    )


def with_holm(
    differences: Sequence[Difference], adjusted: Sequence[float | None]
) -> list[Difference]:
    """Verdicts of a family, each held to its adjusted p.

    Args:
        adjusted: of each; None where there was nothing to test.
    """
    tested = sum(p is not None for p in adjusted)
    return [_held(each, p, tested) for each, p in zip(differences, adjusted, strict=True)]


def _held(difference: Difference, p: float | None, n_tested: int) -> Difference:
    if p is None or difference.estimate is None:
        return difference
    decision = difference.decision
    alpha = 1 - difference.estimate.ci.level
    if decision.verdict in (Verdict.BETTER, Verdict.WORSE) and p > alpha:
        why = f"Holm's correction for {n_tested} comparisons leaves p = {p:.3g}"
        decision = _insufficient(difference.estimate, difference.kind.wording, why)
    return replace(difference, p_holm=p, decision=decision)


def p_of(difference: Estimate) -> float:
    """Two-sided, of no difference at all; below 1 − level where the interval leaves zero out."""
    if difference.se <= 0:
        return 1.0
    t = abs(centre(difference)) / difference.se
    if difference.df is None:
        return float(2 * special.ndtr(-t))
    return float(2 * special.stdtr(difference.df, -t))


def _estimate(
    candidate: Floats, baseline: Floats, clusters: Ints | None, kind: Kind, n_unpaired: int
) -> Estimate | str:
    """The difference, or why there is none."""
    if len(baseline) == 0:
        return "no item has a score in both runs"
    if clusters is not None and len(np.unique(clusters)) < 2:
        return f"all {len(baseline)} items share one source, which shows no spread"
    binary = all(bool(np.isin(side, (0.0, 1.0)).all()) for side in (baseline, candidate))
    if len(baseline) == 1 and not binary:
        return "one item shows no spread"
    return paired_difference(candidate, baseline, clusters, scale=kind.scale, n_unscored=n_unpaired)


def _decision(
    kind: Kind, estimate: Estimate | str, unscored: tuple[Unscored, Unscored], delta: float | None
) -> Decision:
    if isinstance(estimate, str):
        return Decision(Verdict.INSUFFICIENT, None, f"{estimate}: {Verdict.INSUFFICIENT}")
    made = decide(
        estimate, delta=delta, higher_is_better=kind.higher_is_better, wording=kind.wording
    )
    most, side = max((unscored[0].share, "A"), (unscored[1].share, "B"))
    if most > MOST_UNSCORED and made.verdict in (Verdict.BETTER, Verdict.EQUIVALENT):
        why = (
            f"{most:.1%} of the attempts of {side} have no score, and more than "
            f"{MOST_UNSCORED:.0%} block a verdict of {made.verdict}"
        )
        return _insufficient(estimate, kind.wording, why)
    return made


def _insufficient(estimate: Estimate, wording: Wording, why: str) -> Decision:
    sentence = f"{told(estimate, wording)}: {Verdict.INSUFFICIENT}; {why}"
    return Decision(Verdict.INSUFFICIENT, None, sentence)
