"""Judges held against experts: a card for each, what people reach themselves, and the choice."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from modiste.evaluate.items import Models
from modiste.evaluate.judges.card import JudgeCard, Judged, card_of, sha256_of
from modiste.evaluate.judges.choice import Choice, choose
from modiste.evaluate.judges.experts import ExpertPair, Experts, experts_of
from modiste.evaluate.judges.judge import judge_pairs
from modiste.evaluate.judges.pairs import PairVerdict
from modiste.evaluate.judges.specs import AnyJudgeSpec


@dataclass(frozen=True)
class Calibration:
    experts: Experts
    cards: tuple[JudgeCard, ...]
    choice: Choice


CALIBRATIONS: TypeAdapter[Calibration] = TypeAdapter(Calibration)
CARDS: TypeAdapter[JudgeCard] = TypeAdapter(JudgeCard)


async def judged_by(
    spec: AnyJudgeSpec,
    pairs: Sequence[ExpertPair],
    models: Models,
    *,
    retest: int = 30,
    concurrency: int = 8,
    on_verdict: Callable[[PairVerdict], None] = lambda verdict: None,
) -> Judged:
    """Every pair judged, and some of them twice.

    Args:
        retest: how many are judged a second time, drawn by the judge's seed.
    """
    judge = spec.judge()
    shown = [pair.pair for pair in pairs]
    verdicts = await judge_pairs(
        spec, shown, models, concurrency=concurrency, on_verdict=on_verdict
    )
    drawn = random.Random(spec.seed).sample(shown, min(retest, len(shown)))  # noqa: S311
    again = await judge_pairs(spec, drawn, models, concurrency=concurrency) if drawn else []
    model = spec.models[0] if len(spec.models) == 1 else None
    return Judged(spec.name, judge.identity, verdicts, model, again, judge.warnings)


def calibrated(
    judged: Sequence[Judged],
    pairs: Sequence[ExpertPair],
    experts: Sequence[str],
    *,
    clusters: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Calibration:
    """
    Args:
        experts: their names, in the order of the votes.
        clusters: by key of a pair, what it shares with others.

    Raises:
        InvalidInput: no pairs, or verdicts on others than these.
    """
    names = None if clusters is None else [clusters[pair.pair.item.key] for pair in pairs]
    cards = tuple(card_of(one, pairs, clusters=clusters) for one in judged)
    return Calibration(experts_of(pairs, experts, names), cards, choose(cards, pairs, seed=seed))


def outdated(card: JudgeCard, spec: AnyJudgeSpec, pairs: Sequence[ExpertPair] = ()) -> str | None:
    """Why a card says nothing of this judge any more, or None.

    A card is of one model, its prompts, criteria and sampling, and of the pairs it was made on.
    """
    judge = spec.judge()
    if card.identity != judge.identity:
        return (
            f"the card of {card.name} is of the judge {card.identity}, this one is "
            f"{judge.identity}: model, prompts, criteria or sampling differ; calibrate it again"
        )
    if pairs and card.pairs_sha256 != sha256_of(pairs):
        return f"the card of {card.name} was made on other pairs; calibrate it again"
    return None
