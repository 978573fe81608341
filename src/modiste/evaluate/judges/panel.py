"""Several judges on the same pairs: what most of them prefer, or the mean of their points.

A panel of three families errs less alone in one direction than any judge does. Each judge keeps its
own verdict, with its orders and its words, and its own figures in the summary; how far they agree
stands beside them. A pair on which too few judges gave a verdict has none.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from modiste.evaluate.items import Item, Models, Status
from modiste.evaluate.judges.forms import ArenaHardSpec, MtBenchPairSpec, RubricPairSpec
from modiste.evaluate.judges.judge import PairJudge, Scale, family
from modiste.evaluate.judges.pairs import Look, Outcome, Pair, PairVerdict
from modiste.evaluate.judges.pairwise import PairwiseSpec
from modiste.evaluate.judges.pointwise import MtBenchSingleSpec, RubricSpec

Member = Annotated[
    PairwiseSpec
    | MtBenchPairSpec
    | RubricPairSpec
    | ArenaHardSpec
    | RubricSpec
    | MtBenchSingleSpec,
    Field(discriminator="kind"),
]
Combine = Literal["majority", "mean"]
MANY_FAMILIES = 3
SHARES: Scale = (0.0, 1.0)


class Panel(BaseModel):
    """What panels of pairs and of single answers have in common."""

    shared: Mapping[str, Any] = Field(default_factory=dict)
    """What the judges have in common; each may say otherwise for itself."""
    least: int | None = Field(default=None, ge=1)
    """Judges that must have given a verdict; more than half of them by default."""

    @model_validator(mode="before")
    @classmethod
    def _each_whole(cls, told: Any) -> Any:
        """A bare word is a model; who has no name is called by the model."""
        if not isinstance(told, Mapping) or not isinstance(told.get("judges"), Sequence):
            return told
        shared = told.get("shared") or {}
        return {**told, "judges": [_whole(each, shared) for each in told["judges"]]}

    def needed(self, n_judges: int) -> int:
        return n_judges // 2 + 1 if self.least is None else self.least


def _whole(judge: Any, shared: Any) -> Any:
    own = {"model": judge} if isinstance(judge, str) else judge
    if not isinstance(own, Mapping) or not isinstance(shared, Mapping):
        return judge
    merged = {**shared, **own}
    if isinstance(merged.get("model"), str):
        merged.setdefault("name", re.sub(r"[^A-Za-z0-9_-]+", "-", merged["model"])[:64].strip("-"))
    return merged


def check_members(names: Sequence[str], least: int | None) -> None:
    """
    Raises:
        ValueError: two of one name, or more verdicts wanted than there are judges.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two judges are called {twice[0]!r}; give one a name of its own")
    if least is not None and least > len(names):
        raise ValueError(f"least is {least}, and there are {len(names)} judges")


def few_families(models: Sequence[str]) -> tuple[str, ...]:
    """A warning of judges that are likely to err together."""
    there = sorted({family(model) for model in models})
    if len(there) >= MANY_FAMILIES:
        return ()
    return (
        f"the judges are of {len(there)} {'family' if len(there) == 1 else 'families'} "
        f"({', '.join(there)}); such judges err together, take {MANY_FAMILIES} or more",
    )


class PanelSpec(Panel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["panel"]
    name: str = "panel"
    judges: tuple[Member, ...] = Field(min_length=2, max_length=9)
    combine: Combine = "majority"
    """`majority`: an answer wins that more than half of the judges prefer; points are shares of
    judges, a tie half a vote. `mean`: points are the judges' mean, each scale made 0 to 1."""

    @model_validator(mode="after")
    def _whole_panel(self) -> PanelSpec:
        check_members([judge.name for judge in self.judges], self.least)
        return self

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(judge.model for judge in self.judges)

    @property
    def seed(self) -> int:
        return self.judges[0].seed

    def material(self, item: Item) -> None:
        """
        Raises:
            InvalidInput: the row lacks a field that a judge's template names.
        """
        for judge in self.judges:
            judge.material(item)

    def judge(self) -> PanelJudge:
        return PanelJudge(self)


class PanelJudge(PairJudge):
    def __init__(self, spec: PanelSpec) -> None:
        self._spec = spec
        self._judges = {each.name: each.judge() for each in spec.judges}
        config = {
            "kind": spec.kind,
            "combine": spec.combine,
            "least": spec.needed(len(self._judges)),
            "judges": [judge.config for judge in self._judges.values()],
        }
        super().__init__(config, SHARES)

    @property
    def warnings(self) -> tuple[str, ...]:
        own = (f"{name}: {said}" for name, each in self._judges.items() for said in each.warnings)
        return (*few_families(self._spec.models), *own)

    @property
    def member_scales(self) -> Mapping[str, Scale]:
        return {name: judge.scale for name, judge in self._judges.items()}

    async def looks(self, pair: Pair, models: Models) -> tuple[Look, ...]:
        return (await self.verdict(pair, models)).every_look

    async def verdict(self, pair: Pair, models: Models) -> PairVerdict:
        told = await asyncio.gather(
            *(judge.verdict(pair, models) for judge in self._judges.values())
        )
        members = dict(zip(self._judges, told, strict=True))
        return panel_verdict(
            pair,
            members,
            self.member_scales,
            combine=self._spec.combine,
            least=self._spec.needed(len(members)),
        )


def panel_verdict(
    pair: Pair,
    members: Mapping[str, PairVerdict],
    scales: Mapping[str, Scale],
    *,
    combine: Combine,
    least: int,
) -> PairVerdict:
    """What the judges' verdicts on one pair come to; those without one are left out and told."""
    silent = {n: v for n, v in members.items() if v.status is not Status.SCORED}
    same: dict[str, Any] = {
        "key": pair.item.key,
        "attempt": pair.attempt,
        "looks": (),
        "length_a": len(pair.a),
        "length_b": len(pair.b),
        "cluster": pair.item.cluster,
        "members": dict(members),
    }
    missing = "; ".join(f"{name}: {verdict.reason}" for name, verdict in silent.items())
    if len(members) - len(silent) < least:
        why = f"{len(silent)} of {len(members)} judges gave no verdict ({missing})"
        return PairVerdict(status=next(iter(silent.values())).status, reason=why, **same)
    spoke = {name: verdict for name, verdict in members.items() if name not in silent}
    a, b = _points(spoke, scales, combine)
    votes = [verdict.outcome for verdict in spoke.values()]
    if combine == "mean":
        outcome = Outcome.of(round(b - a, 9))
    else:
        most = (side for side in (Outcome.A, Outcome.B) if votes.count(side) * 2 > len(votes))
        outcome = next(most, Outcome.TIE)
    said = ", ".join(f"{name} {verdict.outcome}" for name, verdict in spoke.items())
    return PairVerdict(
        status=Status.SCORED,
        outcome=outcome,
        a=a,
        b=b,
        difference=b - a,
        reason=said + (f"; no verdict of {', '.join(silent)}" if silent else ""),
        **same,
    )


def _points(
    spoke: Mapping[str, PairVerdict], scales: Mapping[str, Scale], combine: Combine
) -> tuple[float, float]:
    if combine == "majority":
        signs = [
            0 if verdict.outcome is None else verdict.outcome.sign for verdict in spoke.values()
        ]
        b = sum(0.5 + sign / 2 for sign in signs) / len(signs)
        return 1.0 - b, b
    points = [
        (as_share(verdict.a or 0.0, scales[name]), as_share(verdict.b or 0.0, scales[name]))
        for name, verdict in spoke.items()
    ]
    a, b = (sum(side) / len(points) for side in zip(*points, strict=True))
    return a, b


def as_share(value: float, scale: Scale) -> float:
    """Where on its scale, from 0 to 1."""
    return (value - scale[0]) / (scale[1] - scale[0])
