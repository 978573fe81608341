"""What a policy makes of what its detectors said about one text: decisions, and what follows.

Pure: readings in, a judgement out. A detector that failed, gave no score for a category it is to
score, or named a category that nobody knows, decides by its `on_error`: closed, as if the category
were violated; open, told and passed on. No path ends in "safe" without a score that says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from modiste.moderate.detectors import Detector, OnError, resolved
from modiste.moderate.policy import Action, CategorySpec, Place, Policy
from modiste.moderate.rules import Find, Span

UNKNOWN = "unknown"
"""Category of decisions about what a detector named and nobody knows."""
HOLE = re.compile(r"\{\{\s*(category|text)\s*\}\}")


class Reading(NamedTuple):
    """What one detector says of one text."""

    scores: Mapping[str, float]
    """By names of the detector's own."""
    finds: Sequence[Find] = ()
    """Of rules: what was found, and where."""


class Failure(NamedTuple):
    """A detector that said nothing."""

    why: str


@dataclass(frozen=True)
class Decision:
    category: str
    detector: str
    score: float | None
    """None where the detector failed."""
    threshold: float
    violated: bool
    action: Action
    place: Place | None
    finds: tuple[Find, ...] = ()
    failure: str | None = None
    """Why there is no score, or what is unknown about it."""


@dataclass(frozen=True)
class Judgement:
    """Of one text at one place."""

    place: Place | None
    decisions: tuple[Decision, ...]

    @property
    def violated(self) -> tuple[Decision, ...]:
        return tuple(each for each in self.decisions if each.violated)

    @property
    def flagged(self) -> bool:
        return bool(self.violated)

    @property
    def failures(self) -> tuple[Decision, ...]:
        return tuple(each for each in self.decisions if each.failure is not None)

    @property
    def deciding(self) -> Decision | None:
        """The violation with the strongest action, of those the highest score."""
        return max(
            self.violated,
            key=lambda each: (each.action.strength, each.score if each.score is not None else 1.0),
            default=None,
        )

    @property
    def action(self) -> Action | None:
        return self.deciding.action if self.deciding else None

    def scores(self) -> dict[str, float]:
        """The highest score of each category; none for categories without."""
        found: dict[str, float] = {}
        for each in self.decisions:
            if each.score is not None:
                found[each.category] = max(each.score, found.get(each.category, 0.0))
        return found


@dataclass(frozen=True)
class Wanted:
    """What a request wishes beside its policy: other thresholds, fewer categories."""

    thresholds: Mapping[str, float] = field(default_factory=dict)
    only: frozenset[str] | None = None
    """Categories that count; None means all."""


def judge(
    policy: Policy,
    place: Place | None,
    readings: Mapping[str, Reading | Failure],
    *,
    wanted: Wanted | None = None,
) -> Judgement:
    """
    Args:
        place: None where nobody says: then every category counts.
        readings: of every detector of `detectors_at`, by name; one that is missing has failed.
    """
    wanted = wanted or Wanted()
    decisions: list[Decision] = []
    for detector in detectors_at(policy, place):
        reading = readings.get(detector.name, Failure("was not asked"))
        decisions += _decisions(policy, place, detector, reading, wanted)
    return Judgement(place, tuple(decisions))


def categories_at(policy: Policy, place: Place | None) -> tuple[CategorySpec, ...]:
    return policy.categories if place is None else policy.at(place)


def detectors_at(policy: Policy, place: Place | None) -> tuple[Detector, ...]:
    """Those that score a category which applies there."""
    applied = {each.code for each in categories_at(policy, place)}
    return tuple(each for each in policy.detectors if each.codes(policy) & applied)


def _decisions(
    policy: Policy,
    place: Place | None,
    detector: Detector,
    reading: Reading | Failure,
    wanted: Wanted,
) -> Iterator[Decision]:
    owed = [
        spec
        for spec in categories_at(policy, place)
        if spec.code in detector.codes(policy) and (wanted.only is None or spec.code in wanted.only)
    ]
    if isinstance(reading, Failure):
        for spec in owed:
            yield _failed(spec, place, detector, wanted, f"{detector.name} {reading.why}")
        return
    scores: dict[str, float] = {}
    for name, score in reading.scores.items():
        code = resolved(detector, name, policy)
        if code is None:
            yield from _strange(policy, place, detector, name, score)
        elif not math.isnan(score):
            scores[code] = max(score, scores.get(code, 0.0))
    for spec in owed:
        if spec.code not in scores:
            why = f"{detector.name} gave no score for {spec.code}"
            yield _failed(spec, place, detector, wanted, why)
            continue
        threshold = wanted.thresholds.get(spec.code, spec.threshold)
        score = scores[spec.code]
        violated = score >= threshold
        finds = tuple(reading.finds) if violated else ()
        yield Decision(
            spec.code, detector.name, score, threshold, violated, spec.action, place, finds
        )


def _failed(
    spec: CategorySpec, place: Place | None, detector: Detector, wanted: Wanted, why: str
) -> Decision:
    """Closed, it is blocked whatever the category's action: there is nothing known to redact."""
    closed = detector.on_error is OnError.CLOSED
    threshold = wanted.thresholds.get(spec.code, spec.threshold)
    action = Action.BLOCK if closed and spec.action is not Action.FLAG else spec.action
    return Decision(spec.code, detector.name, None, threshold, closed, action, place, failure=why)


def _strange(
    policy: Policy, place: Place | None, detector: Detector, name: str, score: float
) -> Iterator[Decision]:
    """A category that nobody knows counts where the detector finds it more likely than not."""
    threshold = 0.5
    if not math.isnan(score) and score < threshold:
        return
    closed = detector.on_error is OnError.CLOSED
    why = f"{detector.name} speaks of {name[:100]!r}, which {policy.name} does not know"
    action = Action.BLOCK if closed else Action.FLAG
    yield Decision(UNKNOWN, detector.name, score, threshold, closed, action, place, failure=why)


def redacted(policy: Policy, judgement: Judgement, text: str) -> str:
    """The text with every find of a category that redacts replaced by its name in brackets."""
    marks: list[tuple[Span, str]] = [
        (find.span, policy.title(each.category))
        for each in judgement.violated
        if each.action is Action.REDACT
        for find in each.finds
    ]
    pieces, at = [], 0
    for (start, end), title in sorted(marks):
        if end <= at:
            continue
        if start >= at:
            pieces += [text[at:start], f"[{title}]"]
        at = end  # A find that begins within the last one is part of its gap.
    return "".join([*pieces, text[at:]])


def rewritten(policy: Policy, decision: Decision, text: str) -> str:
    """The template of the category that decided; what was written is never read as a template."""
    template = policy.category(decision.category).template or ""
    said = {"category": policy.title(decision.category), "text": text}
    return HOLE.sub(lambda hole: said[hole[1]], template)
