"""Which judge to take: the one nearest to the experts, or a cheaper one that may be as near.

A judge whose τ-b lies below zero for certain prefers the worse answers, and is refused. Between two
whose difference in τ-b may be zero, the cheaper one is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modiste.evaluate.judges.card import JudgeCard
from modiste.evaluate.judges.experts import ExpertPair, where_defined
from modiste.evaluate.stats.correlation import correlation_diff
from modiste.evaluate.stats.estimates import Estimate


@dataclass(frozen=True)
class Refused:
    judge: str
    reason: str


@dataclass(frozen=True)
class Rival:
    """A judge that was compared with the best one."""

    judge: str
    difference: Estimate
    """τ-b of the best minus its own, on the pairs that both have scored."""
    cheaper: bool | None
    """None where the two costs cannot be compared."""


@dataclass(frozen=True)
class Choice:
    judge: str | None
    """None: no judge can be taken."""
    reason: str
    best: str | None
    """The one with the highest τ-b."""
    rivals: tuple[Rival, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...] = ()


def choose(cards: Sequence[JudgeCard], pairs: Sequence[ExpertPair], *, seed: int = 0) -> Choice:
    """By the rule above; see `Choice.reason`."""
    refused = tuple(
        Refused(card.name, reason) for card in cards if (reason := _why_refused(card)) is not None
    )
    names = {one.judge for one in refused}
    taken = sorted(
        (card for card in cards if card.name not in names), key=lambda card: -_tau(card).value
    )
    if not taken:
        return Choice(None, "every judge is refused", None, (), refused)
    best, *others = taken
    preferences = {pair.pair.item.key: pair.preference for pair in pairs}
    rivals = tuple(
        Rival(other.name, difference, _cheaper(other, best))
        for other in others
        if (difference := _difference(best, other, preferences, seed)) is not None
    )
    as_good = {rival.judge for rival in rivals if rival.cheaper and rival.difference.ci.lo <= 0}
    candidates = [card for card in others if card.name in as_good]
    chosen = min(candidates, key=_cost, default=best)
    reason = f"highest τ-b ({_tau(best).value:.3f})"
    if chosen is not best:
        rival = next(rival for rival in rivals if rival.judge == chosen.name)
        ci = rival.difference.ci
        reason = (
            f"cheaper than {best.name}, whose τ-b is {rival.difference.value:+.3f} from its own "
            f"({ci.level:.0%} CI {ci.lo:+.3f} to {ci.hi:+.3f}, which holds 0)"
        )
    return Choice(chosen.name, reason, best.name, rivals, refused, _warnings(chosen))


def _tau(card: JudgeCard) -> Estimate:
    assert card.tau is not None  # noqa: S101 - those without are refused
    return card.tau


def _why_refused(card: JudgeCard) -> str | None:
    if card.tau is None:
        return "its verdicts do not vary with the experts': τ-b is undefined"
    ci = card.tau.ci
    if ci.hi < 0:
        return (
            f"it prefers what experts do not: τ-b is {card.tau.value:.3f} "
            f"({ci.level:.0%} CI {ci.lo:.3f} to {ci.hi:.3f})"
        )
    return None


def _warnings(card: JudgeCard) -> tuple[str, ...]:
    ci = _tau(card).ci
    if ci.lo <= 0:
        return (
            f"τ-b of {card.name} may be zero ({ci.level:.0%} CI {ci.lo:.3f} to {ci.hi:.3f}): "
            "nothing shows yet that it agrees with experts more than chance does",
        )
    return ()


def _difference(
    best: JudgeCard, other: JudgeCard, preferences: Mapping[str, float], seed: int
) -> Estimate | None:
    keys = [key for key in best.differences if key in other.differences]
    one, two = ([card.differences[key] for key in keys] for card in (best, other))
    wanted = [preferences[key] for key in keys]
    return where_defined(lambda: correlation_diff(one, two, wanted, seed=seed))


def _cheaper(other: JudgeCard, best: JudgeCard) -> bool | None:
    """By money where both have prices, by tokens where neither has."""
    mine, its = other.costs, best.costs
    if mine.per_1000 is not None and its.per_1000 is not None:
        return mine.per_1000.value < its.per_1000.value
    if mine.per_1000 is not None or its.per_1000 is not None:
        return None
    if mine.tokens is None or its.tokens is None:
        return None
    return mine.tokens.value < its.tokens.value


def _cost(card: JudgeCard) -> float:
    known = card.costs.per_1000 or card.costs.tokens
    return float("inf") if known is None else known.value
