"""Several judges grade single answers: their mean or median, each one's own figure beside it.

A scorer of a suite, `panel`. Where all judges grade on one scale, so does the panel; else every
grade is made a share of its scale first. The median is what a majority is on a scale: at least half
of the judges grant so much, and at least half no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Item, Models, Sample, Score, scored, unscored
from modiste.evaluate.judges.asking import Usage
from modiste.evaluate.judges.judge import Scale
from modiste.evaluate.judges.panel import SHARES, Panel, as_share, check_members, few_families
from modiste.evaluate.judges.pointwise import MtBenchSingleSpec, RubricSpec
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.spec import Spec
from modiste.evaluate.stats.krippendorff import krippendorff_alpha

STEPS = 50
"""Of the scale, to which grades are rounded where agreement is told: weighted ones never repeat."""


class RubricPanelSpec(Panel, Spec):
    kind: Literal["panel"]
    name: str = "panel"
    judges: tuple[Annotated[RubricSpec | MtBenchSingleSpec, Field(discriminator="kind")], ...] = (
        Field(min_length=2, max_length=9)
    )
    combine: Literal["mean", "median"] = "mean"

    @model_validator(mode="after")
    def _whole_panel(self) -> RubricPanelSpec:
        check_members([judge.name for judge in self.judges], self.least)
        return self

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(model for judge in self.judges for model in judge.models)

    @property
    def graders(self) -> tuple[str, ...]:
        return self.models

    def build(self) -> RubricPanel:
        return RubricPanel(self)


@dataclass
class _Figure:
    """Figures of a panel on a scale that is not its own."""

    name: str
    scale: Scale | None
    unit: str
    higher_is_better: bool = True


class RubricPanel(Scorer):
    def __init__(self, spec: RubricPanelSpec) -> None:
        self._spec = spec
        self._judges = {each.name: each.build() for each in spec.judges}
        config = {
            "kind": spec.kind,
            "version": spec.version,
            "combine": spec.combine,
            "least": spec.needed(len(self._judges)),
            "judges": [judge.config for judge in self._judges.values()],
        }
        super().__init__(spec.name, config)
        scales = {judge.scale for judge in self._judges.values()}
        self._as_shares = len(scales) > 1
        self._ends = SHARES if self._as_shares else next(iter(scales)) or SHARES
        self.scale = self._ends
        self.unit = "share" if self._as_shares else "points"

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        told = await asyncio.gather(
            *(judge.grade(item, answer, models) for judge in self._judges.values())
        )
        scores = dict(zip(self._judges, told, strict=True))
        values = {
            n: self._value(n, score.value) for n, score in scores.items() if score.value is not None
        }
        detail: dict[str, Any] = {
            "judges": values,
            "replies": {name: _shown(score) for name, score in scores.items()},
            "usage": _usage(told).told(),
        }
        silent = {name: score for name, score in scores.items() if score.value is None}
        if len(values) < self._spec.needed(len(scores)):
            missing = "; ".join(f"{name}: {score.reason}" for name, score in silent.items())
            why = f"{len(silent)} of {len(scores)} judges gave no grade ({missing})"
            return unscored(next(iter(silent.values())).status, why, **detail)
        combined = (
            median(values.values()) if self._spec.combine == "median" else fmean(values.values())
        )
        said = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        return scored(
            combined,
            reason=said + (f"; no grade of {', '.join(silent)}" if silent else ""),
            spread=max(values.values()) - min(values.values()),
            **detail,
        )

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        """The panel's mean, each judge's, and how far they lie apart."""
        own = [figure(self, samples, self._of(name), name=f"judge.{name}") for name in self._judges]
        apart = _Figure(self.name, (0.0, self._ends[1] - self._ends[0]), self.unit, False)

        def spread(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else score.detail["spread"]

        notes = (*few_families(self._spec.models), *self._agreement(samples))
        return (
            mean_metric(self, samples, notes=notes),
            *own,
            figure(apart, samples, spread, name="spread"),
        )

    def close(self) -> None:
        super().close()
        for judge in self._judges.values():
            judge.close()

    def _of(self, name: str) -> Any:
        def value(sample: Sample) -> float | None:
            score = sample.scores.get(self.name)
            return None if score is None else score.detail.get("judges", {}).get(name)

        return value

    def _value(self, name: str, value: float) -> float:
        scale = self._judges[name].scale
        return as_share(value, scale) if self._as_shares and scale is not None else value

    def _agreement(self, samples: Sequence[Sample]) -> tuple[str, ...]:
        of = [self._of(name) for name in self._judges]
        step = (self._ends[1] - self._ends[0]) / STEPS
        units = [
            [None if (v := value(sample)) is None else round(v / step) for value in of]
            for sample in samples
        ]
        try:
            alpha = krippendorff_alpha(units, "interval")
        except InvalidInput as error:
            return (f"how far the judges agree cannot be told: {error.message}",)
        ends = f"{alpha.ci.lo:.2f} … {alpha.ci.hi:.2f}"
        return (f"the judges agree with Krippendorff's α = {alpha.value:.2f} ({ends})",)


def _shown(score: Score) -> dict[str, Any]:
    detail = {name: value for name, value in score.detail.items() if name != "usage"}
    return {
        "status": score.status.value,
        "label": score.label,
        "reason": score.reason,
        **detail,
    }


def _usage(scores: Sequence[Score]) -> Usage:
    told: list[Mapping[str, Any]] = [s.detail["usage"] for s in scores if "usage" in s.detail]
    return sum((Usage(**each) for each in told), Usage())
