"""Pairs that people have judged: their votes, how far they agree, and how well one predicts others.

The last is the ceiling: no judge can be asked to agree with an expert more than experts do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from modiste.errors import InvalidInput
from modiste.evaluate.judges.pairs import Outcome, Pair
from modiste.evaluate.judges.summary import estimated
from modiste.evaluate.stats.agreement import (
    Agreement,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1_counts,
)
from modiste.evaluate.stats.estimates import Estimate
from modiste.evaluate.stats.krippendorff import krippendorff_alpha

T = TypeVar("T")
LABELS = tuple(outcome.value for outcome in (Outcome.A, Outcome.TIE, Outcome.B))
"""In order, for weighted agreement."""


@dataclass(frozen=True)
class ExpertPair:
    """One pair with what each expert prefers."""

    pair: Pair
    votes: tuple[Outcome | None, ...]
    """By expert, in the same order everywhere; None where one did not vote."""
    models: tuple[str, str] | None = None
    """Whose answers a and b are, where that is known."""

    @property
    def cast(self) -> tuple[Outcome, ...]:
        return tuple(vote for vote in self.votes if vote is not None)

    @property
    def preference(self) -> float:
        """Mean vote, −1 for a to +1 for b."""
        return sum(vote.sign for vote in self.cast) / len(self.cast)

    @property
    def majority(self) -> Outcome | None:
        """What most voted for; None where two outcomes have as many votes."""
        modes = _modes(self.cast)
        return modes[0] if len(modes) == 1 else None


@dataclass(frozen=True)
class Between:
    """Two experts."""

    first: str
    second: str
    agreement: Estimate | None
    kappa: Agreement | None


@dataclass(frozen=True)
class Experts:
    """How far people agree with each other on the pairs."""

    names: tuple[str, ...]
    n_pairs: int
    n_undecided: int
    """Pairs without a majority."""
    agreement: Estimate | None
    """Share of pairs of experts that agree on a pair, by pair."""
    between: tuple[Between, ...]
    fleiss: Agreement | None
    """None where not everyone voted on everything."""
    alpha: Agreement | None
    """Krippendorff's, nominal; takes missing votes."""
    ac1: Agreement | None
    """Gwet's, which does not collapse where one outcome dominates."""
    ceiling: Estimate | None
    """Accuracy of one expert against the majority of the others, ties among them counted by
    chance."""


def experts_of(
    pairs: Sequence[ExpertPair], names: Sequence[str], clusters: Sequence[str] | None
) -> Experts:
    """
    Raises:
        InvalidInput: no pairs.
    """
    if not pairs:
        raise InvalidInput("there are no pairs that experts have judged")
    several = [pair for pair in pairs if len(pair.cast) > 1]
    kept = None if clusters is None else _kept(clusters, pairs, several)
    complete = all(None not in pair.votes for pair in pairs) and len(names) > 1
    units = [[None if v is None else v.value for v in pair.votes] for pair in pairs]
    counts = [[pair.cast.count(outcome) for outcome in Outcome] for pair in pairs]
    return Experts(
        names=tuple(names),
        n_pairs=len(pairs),
        n_undecided=sum(pair.majority is None for pair in pairs),
        agreement=estimated([_agreeing(pair.cast) for pair in several], kept, (0.0, 1.0), 0),
        between=tuple(
            _between(pairs, names, first, second)
            for first, second in combinations(range(len(names)), 2)
        ),
        fleiss=where_defined(lambda: fleiss_kappa(counts)) if complete else None,
        alpha=where_defined(lambda: krippendorff_alpha(units)) if several else None,
        ac1=where_defined(lambda: gwet_ac1_counts(counts)) if complete else None,
        ceiling=estimated([_one_of_others(pair.cast) for pair in several], kept, (0.0, 1.0), 0),
    )


def _kept(
    clusters: Sequence[str], pairs: Sequence[ExpertPair], kept: Sequence[ExpertPair]
) -> list[str]:
    wanted = {id(pair) for pair in kept}
    return [name for name, pair in zip(clusters, pairs, strict=True) if id(pair) in wanted]


def _modes(votes: Sequence[Outcome]) -> list[Outcome]:
    counts = Counter(votes)
    most = max(counts.values())
    return [outcome for outcome, n in counts.items() if n == most]


def _agreeing(votes: Sequence[Outcome]) -> float:
    together = list(combinations(votes, 2))
    return sum(one is other for one, other in together) / len(together)


def _one_of_others(votes: Sequence[Outcome]) -> float:
    """How often one expert says what most of the others say, each left out in turn."""
    hits = 0.0
    for at, vote in enumerate(votes):
        modes = _modes([*votes[:at], *votes[at + 1 :]])
        hits += (vote in modes) / len(modes)
    return hits / len(votes)


def _between(pairs: Sequence[ExpertPair], names: Sequence[str], first: int, second: int) -> Between:
    both = [
        (one, other)
        for one, other in ((pair.votes[first], pair.votes[second]) for pair in pairs)
        if one is not None and other is not None
    ]
    if len(both) < 2:
        return Between(names[first], names[second], None, None)
    a, b = ([vote.value for vote in votes] for votes in zip(*both, strict=True))
    same = [float(one is other) for one, other in both]
    return Between(
        names[first],
        names[second],
        estimated(same, None, (0.0, 1.0), 0),
        where_defined(lambda: cohen_kappa(a, b, labels=LABELS)),
    )


def where_defined(figure: Callable[[], T]) -> T | None:
    """A figure, or None where the data leave it without meaning (all votes are the same)."""
    try:
        return figure()
    except InvalidInput:
        return None
