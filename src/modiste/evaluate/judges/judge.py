"""Whoever judges pairs: asked in both orders, several times if wished, all pairs at once.

`judge_pairs` is what a comparison of two runs calls. Judges are blind: they see two answers and
never a model's name.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field

from modiste.errors import InvalidInput
from modiste.evaluate.items import Exchange, Models, Prompt, Status
from modiste.evaluate.judges.asking import Usage, ask
from modiste.evaluate.judges.pairs import Look, Pair, PairVerdict, Side, verdict_of
from modiste.evaluate.judges.plain import without_markdown
from modiste.evaluate.judges.reading import Read
from modiste.evaluate.judges.spec import JudgeFields, Material, conversation, identity_of
from modiste.evaluate.metric import Metric
from modiste.evaluate.spec import Spec

Scale = tuple[float, float]
Order = Literal["both", "random", "fixed"]


class PairFields(JudgeFields):
    """What judges that see two answers at once have in common."""

    order: Order = "both"
    """Show each pair in both orders and believe only what both agree on; or in one order, drawn by
    chance; or always a first."""
    per_order: int = Field(default=1, ge=1, le=32)
    """Times each order is asked; above 1 with a temperature."""
    plain: bool = False
    """Show both answers without their Markdown, where form must not pass for content."""


class Said(NamedTuple):
    """One side of a pair."""

    text: str
    earlier: tuple[Exchange, ...] = ()

    def without_markdown(self) -> Said:
        earlier = (Exchange(asked, without_markdown(text)) for asked, text in self.earlier)
        return Said(without_markdown(self.text), tuple(earlier))


def both(first: Said, second: Said) -> dict[str, str | None]:
    """By its name in the prompts."""
    return {
        "answer_1": first.text,
        "answer_2": second.text,
        "earlier_1": conversation(first.earlier),
        "earlier_2": conversation(second.earlier),
    }


class Points(NamedTuple):
    """One look, by slot."""

    first: float
    second: float
    reason: str
    inconsistent: bool = False
    weight: float = 1.0
    detail: Mapping[str, Any] = MappingProxyType({})


class PairJudge(ABC):
    """One way to weigh two answers."""

    def __init__(self, config: Mapping[str, Any], scale: Scale) -> None:
        """
        Args:
            config: all that its verdicts depend on, hashes of prompts among it; JSON.
            scale: fewest and most points that it gives an answer.
        """
        self.config = dict(config)
        self.scale = scale

    @property
    def identity(self) -> str:
        return identity_of(self.config)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever reads its verdicts must know."""
        return ()

    @property
    def member_scales(self) -> Mapping[str, Scale]:
        """Of a panel, each judge's by its name."""
        return {}

    @abstractmethod
    async def looks(self, pair: Pair, models: Models) -> tuple[Look, ...]: ...

    async def verdict(self, pair: Pair, models: Models) -> PairVerdict:
        return verdict_of(pair, await self.looks(pair, models))


class JudgeSpec(Protocol):
    def judge(self) -> PairJudge: ...


class SideBySide(PairJudge):
    """A judge that sees both answers in one prompt."""

    def __init__(self, spec: PairFields, config: Mapping[str, Any], scale: Scale) -> None:
        super().__init__(config, scale)
        self.spec = spec

    @property
    def warnings(self) -> tuple[str, ...]:
        if self.spec.order == "fixed":
            return (
                "order is fixed: a always stands first, so a preference for the slot counts as a "
                "preference for a model; use order: both",
            )
        return ()

    @abstractmethod
    def prompt(self, material: Material, first: Said, second: Said, extra: Any, nth: int) -> Prompt:
        """What to ask; `extra` is what `before` found."""

    @abstractmethod
    def reader(self) -> Read[Points]:
        """How to read the reply."""

    def check(self, material: Material, pair: Pair) -> None:
        """
        Raises:
            InvalidInput: this judge cannot be shown the pair.
        """

    async def before(self, material: Material, models: Models) -> tuple[Any, Usage]:
        """What the judge is asked before it sees the answers; by default nothing."""
        return None, Usage()

    async def looks(self, pair: Pair, models: Models) -> tuple[Look, ...]:
        try:
            material = self.spec.material(pair.item)
            self.check(material, pair)
        except InvalidInput as error:
            return (Look(None, Status.ERROR, reason=error.message),)
        extra, usage = await self.before(material, models)
        asked = [
            self._look(pair, first, material, extra, nth, models)
            for nth in range(self.spec.per_order)
            for first in self._orders(pair)
        ]
        found = list(await asyncio.gather(*asked))
        if usage.calls:
            found[0] = replace(found[0], usage=found[0].usage + usage)
        return tuple(found)

    def _orders(self, pair: Pair) -> tuple[Side, ...]:
        if self.spec.order == "both":
            return (Side.A, Side.B)
        if self.spec.order == "fixed":
            return (Side.A,)
        drawn = random.Random(f"{self.spec.seed} {pair.item.key} {pair.attempt}")  # noqa: S311
        return (drawn.choice((Side.A, Side.B)),)

    async def _look(
        self, pair: Pair, first: Side, material: Material, extra: Any, nth: int, models: Models
    ) -> Look:
        one, two = Said(pair.a, pair.earlier_a), Said(pair.b, pair.earlier_b)
        if first is Side.B:
            one, two = two, one
        if self.spec.plain:
            one, two = one.without_markdown(), two.without_markdown()
        prompt = self.prompt(material, one, two, extra, nth)
        reply = await ask(models, self.spec.model, prompt, self.reader())
        detail = {"said": reply.answer.text}
        if reply.value is None:
            return Look(first, reply.status, reason=reply.reason, usage=reply.usage, detail=detail)
        points = reply.value
        a, b = (points.first, points.second)
        if first is Side.B:
            a, b = b, a
        return Look(
            first,
            Status.SCORED,
            a,
            b,
            points.reason,
            points.inconsistent,
            points.weight,
            reply.usage,
            {**detail, **points.detail},
        )


async def judge_pairs(
    spec: JudgeSpec,
    pairs: Sequence[Pair],
    models: Models,
    *,
    concurrency: int = 8,
    on_verdict: Callable[[PairVerdict], None] = lambda verdict: None,
) -> list[PairVerdict]:
    """A verdict for every pair, in their order.

    Args:
        spec: a judge as a file describes it (`judges.specs.parse_judge`).
        concurrency: pairs at a time.
        on_verdict: told of each as it is ready, so that it can be kept.
    """
    judge = spec.judge()
    places = asyncio.Semaphore(concurrency)

    async def one(pair: Pair) -> PairVerdict:
        async with places:
            verdict = await judge.verdict(pair, models)
        on_verdict(verdict)
        return verdict

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(pair)) for pair in pairs]
    return [task.result() for task in tasks]


def family(model: str) -> str:
    """Whose model a name means, as far as a name tells: `mistral` of `mistralai/mistral-small`."""
    base = model.split(":")[1] if model.startswith("ft:") else model
    last = base.rsplit("/", 1)[-1].lower()
    return "".join(_letters(last))


def _letters(text: str) -> Iterator[str]:
    for letter in text:
        if not letter.isalpha():
            return
        yield letter


def own_kin(judge_model: str, candidates: Sequence[str]) -> tuple[str, ...]:
    """Candidates of the judge's own family, which judges tend to prefer."""
    return tuple(name for name in candidates if family(name) == family(judge_model))


def with_kin(
    metrics: Sequence[Metric], specs: Sequence[Spec], candidate: str
) -> tuple[Metric, ...]:
    """A note beside the first figure of every scorer whose judge is of the candidate's family."""
    notes = {
        spec.name: f"{', '.join(kin)} judges a model of its own family, which judges prefer"
        for spec in specs
        if (kin := [name for name in spec.graders if own_kin(name, [candidate])])
    }
    noted: list[Metric] = []
    for metric in metrics:
        note = notes.pop(metric.scorer, None)
        noted.append(metric if note is None else replace(metric, notes=(*metric.notes, note)))
    return tuple(noted)
