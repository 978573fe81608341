"""Two answers to one item, side by side, and what a judge made of them.

Everything is signed in one way: a difference is b − a, so +1 is a preference for b. A pair that was
judged in both orders is won only where both orders agree; a judge that follows the slot and not the
answer makes ties. A look that failed makes the pair unscored, never a tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from modiste.evaluate.items import Exchange, Item, Sample, Status
from modiste.evaluate.judges.asking import NOTHING, Usage


class Side(StrEnum):
    A = "a"
    B = "b"


class Outcome(StrEnum):
    A = "a"
    B = "b"
    TIE = "tie"

    @classmethod
    def of(cls, difference: float) -> Outcome:
        if difference == 0:
            return cls.TIE
        return cls.B if difference > 0 else cls.A

    @property
    def sign(self) -> int:
        return {"a": -1, "tie": 0, "b": 1}[self.value]


@dataclass(frozen=True)
class Pair:
    """Answers of two models to the same item."""

    item: Item
    a: str
    b: str
    attempt: int = 0
    earlier_a: tuple[Exchange, ...] = ()
    """What was said before, where a suite lets models answer several times."""
    earlier_b: tuple[Exchange, ...] = ()


class Unpaired(NamedTuple):
    """A sample that has no partner, or a partner without an answer."""

    key: str
    attempt: int
    reason: str


class Paired(NamedTuple):
    pairs: tuple[Pair, ...]
    left_out: tuple[Unpaired, ...]


def pairs_of(a: Iterable[Sample], b: Iterable[Sample]) -> Paired:
    """Pairs the samples of two runs by item and attempt; what has no pair is told, not dropped."""
    first = {(sample.item.key, sample.attempt): sample for sample in a}
    second = {(sample.item.key, sample.attempt): sample for sample in b}
    pairs: list[Pair] = []
    left_out: list[Unpaired] = []
    for key in (*first, *(key for key in second if key not in first)):
        one, other = first.get(key), second.get(key)
        if one is None or other is None:
            left_out.append(Unpaired(*key, f"only {'b' if one is None else 'a'} was asked"))
        elif one.answer.failure is not None:
            left_out.append(Unpaired(*key, f"a gave no answer: {one.answer.failure.message}"))
        elif other.answer.failure is not None:
            left_out.append(Unpaired(*key, f"b gave no answer: {other.answer.failure.message}"))
        else:
            a_said, b_said = one.answer, other.answer
            earlier = (a_said.earlier, b_said.earlier)
            pairs.append(Pair(one.item, a_said.text, b_said.text, key[1], *earlier))
    return Paired(tuple(pairs), tuple(left_out))


@dataclass(frozen=True)
class Look:
    """One reading of a pair by a judge."""

    first: Side | None
    """Which answer stood first; None where they were not shown together."""
    status: Status
    a: float | None = None
    """Points of each, None unless scored."""
    b: float | None = None
    reason: str = ""
    """The judge's, or why there is none."""
    inconsistent: bool = False
    """The totals it stated are not the sums of its points; the sums count."""
    weight: float = 1.0
    """Of its preference where looks are pooled (Arena-Hard: 3 for a strong one)."""
    usage: Usage = NOTHING
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def difference(self) -> float | None:
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True)
class PairVerdict:
    """All looks at one pair, and what they come to. Unless scored, figures are None."""

    key: str
    attempt: int
    status: Status
    looks: tuple[Look, ...]
    length_a: int
    """Characters."""
    length_b: int
    outcome: Outcome | None = None
    a: float | None = None
    """Mean points over the orders."""
    b: float | None = None
    difference: float | None = None
    """b − a."""
    consistent: bool | None = None
    """Whether both orders agree; None where only one was asked."""
    cluster: str | None = None
    reason: str = ""
    members: Mapping[str, PairVerdict] = field(default_factory=dict)
    """Of a panel, each judge's own; the panel itself has no looks."""

    @property
    def every_look(self) -> tuple[Look, ...]:
        """Its own, and those of a panel's judges."""
        others = (look for member in self.members.values() for look in member.every_look)
        return (*self.looks, *others)

    @property
    def usage(self) -> Usage:
        return sum((look.usage for look in self.every_look), NOTHING)


VERDICTS: TypeAdapter[PairVerdict] = TypeAdapter(PairVerdict)


def verdict_of(pair: Pair, looks: Sequence[Look]) -> PairVerdict:
    """What the looks at one pair come to.

    The mean is taken within each order first, then over the orders. An order without a single
    scored look makes the pair unscored, with the status of its first failure.
    """
    orders = [
        [look for look in looks if look.first is first]
        for first in (Side.A, Side.B, None)
        if any(look.first is first for look in looks)
    ]
    same: dict[str, Any] = {
        "key": pair.item.key,
        "attempt": pair.attempt,
        "looks": tuple(looks),
        "length_a": len(pair.a),
        "length_b": len(pair.b),
        "cluster": pair.item.cluster,
    }
    for order in orders:
        if all(look.difference is None for look in order):
            return PairVerdict(status=order[0].status, reason=order[0].reason, **same)
    means = [_means(order) for order in orders]
    a, b = (sum(of) / len(means) for of in zip(*means, strict=True))
    signs = {Outcome.of(second - first) for first, second in means}
    return PairVerdict(
        status=Status.SCORED,
        outcome=signs.pop() if len(signs) == 1 else Outcome.TIE,
        a=a,
        b=b,
        difference=b - a,
        consistent=None if len(means) == 1 else not signs,
        reason=next((look.reason for look in looks if look.difference is not None), ""),
        **same,
    )


def _means(order: Sequence[Look]) -> tuple[float, float]:
    scored = [(look.a, look.b) for look in order if look.a is not None and look.b is not None]
    return sum(a for a, _ in scored) / len(scored), sum(b for _, b in scored) / len(scored)
