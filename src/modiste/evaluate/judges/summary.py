"""What a judge says of two models over all pairs: points, wins, and how far it can be believed.

Beside the preference stand the signs of a judge that does not judge: it contradicts itself when the
answers change places, prefers the first slot, prefers the longer answer, cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import TypeAdapter

from modiste.errors import InvalidInput
from modiste.evaluate.items import Status
from modiste.evaluate.judges.asking import NOTHING, Usage
from modiste.evaluate.judges.judge import Scale
from modiste.evaluate.judges.pairs import Look, Outcome, PairVerdict, Side
from modiste.evaluate.stats.agreement import Agreement
from modiste.evaluate.stats.bootstrap import bootstrap
from modiste.evaluate.stats.columns import Floats
from modiste.evaluate.stats.estimates import Estimate, mean_estimate
from modiste.evaluate.stats.krippendorff import krippendorff_alpha
from modiste.evaluate.stats.length_control import LengthControlled, lc_winrate
from modiste.evaluate.stats.paired import PairedDifference, paired_difference
from modiste.evaluate.stats.preference import Outcome as Liked
from modiste.evaluate.stats.preference import Preference, preference_of

DRAWS = 2000
LIKED = {1: Liked.WIN, 0: Liked.TIE, -1: Liked.LOSS}
MOST_UNSCORED = 0.02
"""A larger share without a verdict blocks any claim."""


@dataclass(frozen=True)
class Signs:
    """How a judge behaves, whatever the answers are. None where nothing shows it."""

    consistency: Estimate | None
    """Share of pairs on which both orders agree."""
    first_slot: Estimate | None
    """Share of decided looks that prefer the answer shown first; 0.5 is fair."""
    longer: Estimate | None
    """Share of decided pairs of unequal length that the longer answer wins."""
    unreadable: Estimate | None
    """Share of looks that gave no verdict."""
    n_inconsistent_totals: int
    """Looks whose stated totals contradict their points."""


@dataclass(frozen=True)
class PairSummary:
    """Everything is b against a."""

    n: int
    """Pairs with a verdict."""
    n_unscored: int
    unscored: dict[str, int]
    """By status."""
    a: Estimate | None
    """Mean points."""
    b: Estimate | None
    difference: PairedDifference | None
    """b − a, over clusters where items share a source."""
    wins_a: int
    wins_b: int
    ties: int
    preference: Preference | None
    """For b: win rate with ties as half a win, sign test."""
    length_controlled: LengthControlled | None
    """The win rate if answers were equally long, or why it cannot be told."""
    pooled: Estimate | None
    """The win rate over looks by their weight, where a judge weighs (Arena-Hard)."""
    length_ratio: float | None
    """Mean length of b's answers by that of a's."""
    signs: Signs
    usage: Usage
    notes: tuple[str, ...] = ()
    members: Mapping[str, PairSummary] = field(default_factory=dict)
    """Of a panel, each judge's own."""
    unanimous: Estimate | None = None
    """Share of the panel's verdicts on which all its judges agree."""
    alpha: Agreement | None = None
    """Krippendorff's, of the judges' preferences (ordinal: a, tie, b)."""


SUMMARIES: TypeAdapter[PairSummary] = TypeAdapter(PairSummary)


def summary_of(
    verdicts: Sequence[PairVerdict],
    *,
    scale: Scale | None = None,
    member_scales: Mapping[str, Scale] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> PairSummary:
    """
    Args:
        scale: fewest and most points of the judge (`PairJudge.scale`).
        member_scales: of each judge of a panel (`PairJudge.member_scales`).
        notes: what a reader must know (`PairJudge.warnings`).
    """
    scored = [verdict for verdict in verdicts if verdict.status is Status.SCORED]
    n_unscored = len(verdicts) - len(scored)
    clusters = clusters_of(scored)
    outcomes = [verdict.outcome for verdict in scored]
    return PairSummary(
        n=len(scored),
        n_unscored=n_unscored,
        unscored=_by_status(verdicts),
        a=estimated([verdict.a or 0.0 for verdict in scored], clusters, scale, n_unscored),
        b=estimated([verdict.b or 0.0 for verdict in scored], clusters, scale, n_unscored),
        difference=_difference(scored, clusters, scale, n_unscored),
        wins_a=outcomes.count(Outcome.A),
        wins_b=outcomes.count(Outcome.B),
        ties=outcomes.count(Outcome.TIE),
        preference=_preference(scored, clusters, n_unscored),
        length_controlled=_length_controlled(scored, n_unscored),
        pooled=_pooled(scored, clusters),
        length_ratio=_length_ratio(scored),
        signs=signs_of(verdicts),
        usage=sum((verdict.usage for verdict in verdicts), NOTHING),
        notes=(*notes, *_warnings(verdicts, n_unscored)),
        members={
            name: summary_of([verdict.members[name] for verdict in verdicts], scale=of)
            for name, of in member_scales.items()
        },
        unanimous=share([_agree(verdict) for verdict in scored if verdict.members]),
        alpha=_alpha(verdicts),
    )


def signs_of(verdicts: Sequence[PairVerdict]) -> Signs:
    looks = [look for verdict in verdicts for look in verdict.every_look]
    decided = [look for look in looks if look.difference and look.first is not None]
    told = [verdict.consistent for verdict in verdicts if verdict.consistent is not None]
    unequal = [
        verdict
        for verdict in verdicts
        if verdict.outcome in (Outcome.A, Outcome.B) and verdict.length_a != verdict.length_b
    ]
    return Signs(
        consistency=share(told),
        first_slot=share([_prefers_first(look) for look in decided]),
        longer=share([_longer_wins(verdict) for verdict in unequal]),
        unreadable=share([look.status is Status.PARSE_FAILED for look in looks]),
        n_inconsistent_totals=sum(look.inconsistent for look in looks),
    )


def share(flags: Sequence[bool]) -> Estimate | None:
    """Of true ones, with Wilson's interval; None of nothing."""
    return mean_estimate([float(flag) for flag in flags]) if flags else None


def _agree(verdict: PairVerdict) -> bool:
    """Among those that gave a verdict."""
    return len({member.outcome for member in verdict.members.values() if member.outcome}) == 1


def _alpha(verdicts: Sequence[PairVerdict]) -> Agreement | None:
    """None where there is no panel, or where all its judges always say the same one thing."""
    units = [
        [None if each.outcome is None else each.outcome.sign for each in verdict.members.values()]
        for verdict in verdicts
        if verdict.members
    ]
    try:
        return krippendorff_alpha(units, "ordinal") if units else None
    except InvalidInput:
        return None


def estimated(
    values: Sequence[float], clusters: Sequence[str] | None, scale: Scale | None, n_unscored: int
) -> Estimate | None:
    """A mean, or None where there are too few items to show any spread."""
    if _too_few(values, clusters):
        return None
    return mean_estimate(values, clusters, scale=scale, n_unscored=n_unscored)


def _too_few(items: Sequence[object], clusters: Sequence[str] | None) -> bool:
    return len(items) < 2 or (clusters is not None and len(set(clusters)) < 2)


def clusters_of(verdicts: Sequence[PairVerdict]) -> list[str] | None:
    """What pairs share: a source, or the item of several attempts; None where nothing is shared."""
    names = [
        f"item {verdict.key}" if verdict.cluster is None else f"cluster {verdict.cluster}"
        for verdict in verdicts
    ]
    return names if len(set(names)) < len(names) else None


def _difference(
    scored: Sequence[PairVerdict],
    clusters: Sequence[str] | None,
    scale: Scale | None,
    n_unscored: int,
) -> PairedDifference | None:
    if _too_few(scored, clusters):
        return None
    return paired_difference(
        [verdict.b or 0.0 for verdict in scored],
        [verdict.a or 0.0 for verdict in scored],
        clusters,
        scale=scale,
        n_unscored=n_unscored,
    )


def _preference(
    scored: Sequence[PairVerdict], clusters: Sequence[str] | None, n_unscored: int
) -> Preference | None:
    if _too_few(scored, clusters):
        return None
    told = [LIKED[_sign(verdict)] for verdict in scored]
    return preference_of(told, clusters, n_unscored=n_unscored)


def _length_controlled(scored: Sequence[PairVerdict], n_unscored: int) -> LengthControlled | None:
    lengths_a = [verdict.length_a for verdict in scored]
    lengths_b = [verdict.length_b for verdict in scored]
    if len(scored) < 2 or not sum(lengths_a) or not sum(lengths_b):
        return None
    won = [0.5 + _sign(verdict) / 2 for verdict in scored]
    return lc_winrate(won, lengths_a, lengths_b, n_unscored=n_unscored)


def _sign(verdict: PairVerdict) -> int:
    return 0 if verdict.outcome is None else verdict.outcome.sign


def _pooled(scored: Sequence[PairVerdict], clusters: Sequence[str] | None) -> Estimate | None:
    """Σ weight·{1, ½, 0} / Σ weight over looks, drawn again by pair."""
    looks = [[look for look in verdict.looks if look.difference is not None] for verdict in scored]
    if _too_few(scored, clusters) or all(look.weight == 1 for of in looks for look in of):
        return None
    won = [sum(look.weight * (0.5 + _direction(look) / 2) for look in of) for of in looks]
    weights = [sum(look.weight for look in of) for of in looks]
    return bootstrap(_ratio, won, weights, n=DRAWS, clusters=clusters)


def _ratio(won: Floats, weights: Floats) -> float:
    return float(won.sum() / weights.sum())


def _direction(look: Look) -> int:
    return Outcome.of(look.difference or 0.0).sign


def _prefers_first(look: Look) -> bool:
    return (_direction(look) < 0) == (look.first is Side.A)


def _longer_wins(verdict: PairVerdict) -> bool:
    return (verdict.length_b > verdict.length_a) == (verdict.outcome is Outcome.B)


def _length_ratio(scored: Sequence[PairVerdict]) -> float | None:
    total_a = sum(verdict.length_a for verdict in scored)
    return sum(verdict.length_b for verdict in scored) / total_a if total_a else None


def _by_status(verdicts: Sequence[PairVerdict]) -> dict[str, int]:
    found: dict[str, int] = {}
    for verdict in verdicts:
        if verdict.status is not Status.SCORED:
            found[verdict.status.value] = found.get(verdict.status.value, 0) + 1
    return found


def _warnings(verdicts: Sequence[PairVerdict], n_unscored: int) -> tuple[str, ...]:
    found: list[str] = []
    if verdicts and n_unscored / len(verdicts) > MOST_UNSCORED:
        found.append(
            f"{n_unscored} of {len(verdicts)} pairs have no verdict, more than "
            f"{MOST_UNSCORED:.0%}: what is missing may not be like the rest"
        )
    return tuple(found)
