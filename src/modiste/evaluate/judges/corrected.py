"""What people would say of all pairs, from a judge's verdict on each and people's on a few.

A judge alone has an interval that ignores its bias; a few people alone have a wide one. PPI++ takes
the judge's mean over all pairs and corrects it by how far it is off where people looked too, to the
degree to which the judge is of any use. The pairs that people judged must be a random draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from modiste.errors import InvalidInput
from modiste.evaluate.items import Status
from modiste.evaluate.judges.experts import ExpertPair
from modiste.evaluate.judges.pairs import PairVerdict
from modiste.evaluate.stats.corrected import PredictionPowered, ppi_plus_plus
from modiste.evaluate.stats.estimates import Estimate, mean_estimate

FEWEST_LABELS = 3


@dataclass(frozen=True)
class Corrected:
    """Win rate of b with ties as half a win, three ways."""

    judge: Estimate
    """By the judge alone, on all pairs: its interval knows nothing of its bias."""
    people: Estimate
    """By people alone, on their pairs."""
    corrected: PredictionPowered
    """By both; `lam` is how far the judge is trusted."""
    n_unscored: int
    """Pairs on which the judge gave no verdict."""


CORRECTED: TypeAdapter[Corrected] = TypeAdapter(Corrected)


def corrected(verdicts: Sequence[PairVerdict], people: Sequence[ExpertPair]) -> Corrected:
    """
    Raises:
        InvalidInput: too few pairs that both have judged, or that only the judge has.
    """
    said = {
        verdict.key: 0.5 + verdict.outcome.sign / 2
        for verdict in verdicts
        if verdict.status is Status.SCORED and verdict.outcome is not None
    }
    labels = {pair.pair.item.key: 0.5 + pair.preference / 2 for pair in people}
    both = [key for key in labels if key in said]
    rest = [key for key in said if key not in labels]
    if len(both) < FEWEST_LABELS or len(rest) < 2:
        raise InvalidInput(
            f"people and judge have {len(both)} pairs in common, and the judge {len(rest)} of its "
            f"own; at least {FEWEST_LABELS} in common and 2 of its own are needed"
        )
    y, f = [labels[key] for key in both], [said[key] for key in both]
    found = ppi_plus_plus(y, f, [said[key] for key in rest], scale=(0.0, 1.0))
    n_unscored = len(verdicts) - len(said)
    return Corrected(
        judge=mean_estimate(list(said.values()), scale=(0.0, 1.0), n_unscored=n_unscored),
        people=found.human_only,
        corrected=found,
        n_unscored=n_unscored,
    )
