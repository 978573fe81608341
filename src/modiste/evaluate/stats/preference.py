"""Which of two answers people or judges prefer: wins, ties, losses, and what they show.

Ties are told, never dropped in silence: as half a win each in the win rate, left out only of the
test and the share that say so. Where both answers are bad nobody won, which is a tie that is no
praise: it counts half in the win rate and not in "win or tie".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt

import numpy as np
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Labels, a_count, a_share
from modiste.evaluate.stats.estimates import Estimate, Interval, mean_estimate, wilson, z_of
from modiste.evaluate.stats.paired import sign_test


class Outcome(StrEnum):
    """Of one comparison, for the answer that is asked about."""

    WIN = "win"
    TIE = "tie"
    LOSS = "loss"
    BOTH_BAD = "both bad"


@dataclass(frozen=True)
class Preference:
    wins: int
    ties: int
    losses: int
    both_bad: int
    win_or_tie: Estimate
    """Share of comparisons that were won or a tie of good answers."""
    half_tie: Estimate
    """Win rate with ties as half a win each."""
    decisive: Interval | None
    """Where the share of wins among wins and losses lies; None where all are ties."""
    decisive_share: float | None
    sign_p: float
    """Exact, two-sided, of wins against losses; with clusters too optimistic, see notes."""
    n: int
    method: str
    notes: tuple[str, ...] = ()


def preference(
    w: int,
    t: int,
    l: int,  # noqa: E741
    both_bad: int = 0,
    clusters: Labels | None = None,
    *,
    level: float = 0.95,
    n_unscored: int = 0,
) -> Preference:
    """What `w` wins, `t` ties, `l` losses and `both_bad` show.

    Args:
        clusters: what each comparison shares with others (question, annotator), one label each: of
            the wins first, then of ties, losses and both bad. `preference_of` sorts them.

    Raises:
        InvalidInput: no comparison, a count that is none, or not one cluster label for each.
    """
    wins, ties, losses = a_count("w", w), a_count("t", t), a_count("l", l)
    counts = (wins, ties, losses, a_count("both_bad", both_bad))
    n, decisive = sum(counts), wins + losses
    if n == 0 or (n == 1 and not decisive):
        raise InvalidInput(f"{n} comparisons without win or loss show nothing; make more of them")
    half = np.repeat([1.0, 0.5, 0.0, 0.5], counts)
    liked = np.repeat([1.0, 1.0, 0.0, 0.0], counts)
    dependent = "the sign test and the decisive share take comparisons as independent"
    return Preference(
        wins=wins,
        ties=ties,
        losses=losses,
        both_bad=counts[3],
        win_or_tie=mean_estimate(liked, clusters, level=level, n_unscored=n_unscored),
        half_tie=mean_estimate(half, clusters, level=level, scale=(0, 1), n_unscored=n_unscored),
        decisive=wilson(wins, decisive, level=level) if decisive else None,
        decisive_share=wins / decisive if decisive else None,
        sign_p=sign_test(wins, losses).p,
        n=n,
        method="ties as half a win; Wilson and exact sign test on decisive comparisons",
        notes=() if clusters is None else (dependent,),
    )


def preference_of(
    outcomes: Iterable[Outcome], clusters: Labels | None = None, *, level: float = 0.95,
    n_unscored: int = 0,
) -> Preference:  # fmt: skip
    """The same from one outcome per comparison."""
    found = [Outcome(outcome) for outcome in outcomes]
    order = list(Outcome)
    if clusters is not None:
        if len(clusters) != len(found):
            raise InvalidInput(f"clusters has {len(clusters)} labels for {len(found)} outcomes")
        at = sorted(range(len(found)), key=lambda i: order.index(found[i]))
        clusters = [clusters[i] for i in at]
    w, t, l, both_bad = (found.count(outcome) for outcome in order)  # noqa: E741
    return preference(w, t, l, both_bad, clusters, level=level, n_unscored=n_unscored)


def decisive_needed(p: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Decisive comparisons that show a win share of `p` to differ from ½ that often.

    Raises:
        InvalidInput: p is ½ or no share.
    """
    if a_share("p", p) == 0.5:
        raise InvalidInput("p = 0.5 never shows; name the win share that should be seen")
    beta = float(special.ndtri(a_share("power", power)))
    z = 0.5 * z_of(1 - a_share("alpha", alpha)) + beta * sqrt(p * (1 - p))
    return ceil((z / (p - 0.5)) ** 2 - 1e-9)
