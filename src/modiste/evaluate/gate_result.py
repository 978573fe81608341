"""What a gate found: pass, fail or insufficient evidence, with every number it was decided by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from modiste.evaluate.differences import Difference
from modiste.evaluate.own_figures import OwnFigure
from modiste.evaluate.record import Record
from modiste.evaluate.stats.estimates import Estimate


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INSUFFICIENT = "insufficient evidence"

    @property
    def exit_code(self) -> int:
        return {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INSUFFICIENT: 2}[self]


@dataclass(frozen=True)
class Condition:
    """One line of the gate."""

    name: str
    outcome: Outcome
    sentence: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """Everything the outcome was decided by; JSON."""


@dataclass(frozen=True)
class GateResult:
    """What a decision rested on, whole: it can be read and recomputed without the runs."""

    gate: Mapping[str, Any]
    gate_sha256: str
    conditions: tuple[Condition, ...]
    candidates: tuple[Record, ...]
    baselines: tuple[Record, ...]
    approved_by: tuple[str, ...] | None
    """None: nobody was asked yet."""

    @property
    def outcome(self) -> Outcome:
        found = {condition.outcome for condition in self.conditions}
        for worst in (Outcome.FAIL, Outcome.INSUFFICIENT):
            if worst in found:
                return worst
        return Outcome.PASS

    @property
    def in_the_way(self) -> tuple[Condition, ...]:
        return tuple(c for c in self.conditions if c.outcome is not Outcome.PASS)

    def with_condition(self, condition: Condition) -> GateResult:
        """One more, that whoever asks the gate knows of."""
        return replace(self, conditions=(*self.conditions, condition))

    def to_json(self) -> dict[str, Any]:
        written: dict[str, Any] = RESULT.dump_python(self, mode="json")
        return {"outcome": str(self.outcome), **written}


RESULT: TypeAdapter[GateResult] = TypeAdapter(GateResult)


def numbers_of(difference: Difference) -> dict[str, Any]:
    """Everything behind a difference, candidate minus baseline."""
    found = difference.estimate
    return {
        "metric": difference.kind.metric,
        "unit": difference.kind.unit,
        "higher_is_better": difference.kind.higher_is_better,
        "baseline": difference.baseline,
        "candidate": difference.candidate,
        **_estimate_numbers(found),
        "wins": difference.wins,
        "ties": difference.ties,
        "losses": difference.losses,
        "wins_are_of_the_figure": difference.of_items,
        "unpaired": difference.n_unpaired,
        "baseline_unscored": difference.baseline_unscored.n,
        "baseline_attempts": difference.baseline_unscored.attempts,
        "candidate_unscored": difference.candidate_unscored.n,
        "candidate_attempts": difference.candidate_unscored.attempts,
        "p": difference.p,
        "mde": difference.mde,
        "verdict": str(difference.verdict),
        "more_items": difference.decision.more_items,
    }


def own_numbers(figure: OwnFigure) -> dict[str, Any]:
    return {
        "metric": figure.metric,
        "unit": figure.unit,
        **_estimate_numbers(figure.estimate),
        "unscored": figure.n_unscored,
        "attempts": figure.n_attempts,
    }


def _estimate_numbers(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {"value": None}
    return {
        "value": found.value,
        "lo": found.ci.lo,
        "hi": found.ci.hi,
        "level": found.ci.level,
        "se": found.se,
        "n": found.n,
        "n_clusters": found.n_clusters,
        "method": found.method,
    }
