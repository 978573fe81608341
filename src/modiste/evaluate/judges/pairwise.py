"""Two answers against a list of criteria, a point for each criterion that is met better.

Two packs: `pairwise_additive` gives points by criterion, and the sums are ours; `legal_quality` is
the form in which the judge states totals itself, kept for whoever needs figures in that form. They
are different judges and are calibrated apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from modiste.errors import InvalidInput
from modiste.evaluate.items import Models, Prompt
from modiste.evaluate.judges import prompting
from modiste.evaluate.judges.asking import Usage, ask
from modiste.evaluate.judges.judge import PairFields, Points, Said, SideBySide, both
from modiste.evaluate.judges.pairs import Pair
from modiste.evaluate.judges.reading import Read, json_reader, object_of
from modiste.evaluate.judges.spec import Material

LEGAL_CRITERIA = (
    "It cites the article of law that applies, explicitly and correctly, by number and code; a "
    "hint at the material given or at a code as a whole is no citation.",
    "It argues each point clearly and logically, and names the article that each point rests on.",
    "It is well structured in Markdown, clearly written, unambiguous, and its sources are given.",
)
"""Of the first pack: what legal experts asked of an answer."""

Criteria = tuple[tuple[str, str], ...]


class Thorough(NamedTuple):
    """What a judge wrote down before it saw the answers; None where it failed to."""

    checks: str | None
    own_answer: str | None


class PairwiseSpec(PairFields):
    kind: Literal["pairwise"]
    name: str = "pairwise"
    pack: Literal["pairwise_additive", "legal_quality"] = "pairwise_additive"
    criteria: tuple[str, ...] = Field(default=(), max_length=10)
    """What earns a point; the pack `legal_quality` brings three of its own."""
    role: str = "a careful and impartial judge"
    """Who the judge is to be, such as `an expert in French civil law`."""
    thorough: bool = False
    """Two calls more for each pair, before the judge sees the answers: what to check for this
    request, and the judge's own answer. Helps strong judges on hard pairs (LLMBar)."""

    @model_validator(mode="after")
    def _whole(self) -> PairwiseSpec:
        if not self.criteria and self.pack != "legal_quality":
            raise ValueError("criteria is empty; list what earns a point, one entry each")
        if self.thorough and self.pack != "pairwise_additive":
            raise ValueError("thorough goes with pack: pairwise_additive")
        return self

    def judge(self) -> PairwiseJudge:
        return PairwiseJudge(self)


class PairwiseJudge(SideBySide):
    def __init__(self, spec: PairwiseSpec) -> None:
        self._prompt = prompting.load(spec.pack)
        self._criteria: Criteria = tuple(
            (f"C{at}", text) for at, text in enumerate(spec.criteria or LEGAL_CRITERIA, start=1)
        )
        self._stages = tuple(
            prompting.load(name) for name in ("thorough_checks", "thorough_answer") if spec.thorough
        )
        prompts = {text.name: text.sha256 for text in (self._prompt, *self._stages)}
        config = {**spec.model_dump(mode="json", exclude={"name"}), "prompts": prompts}
        config["criteria"] = [text for _, text in self._criteria]
        super().__init__(spec, config, (0.0, float(len(self._criteria))))
        self._role = spec.role
        self._additive = spec.pack == "pairwise_additive"

    def check(self, material: Material, pair: Pair) -> None:
        if self._stages and (pair.earlier_a or pair.earlier_b):
            raise InvalidInput(
                "thorough prepares for one question, and these answers end a conversation; leave "
                "it out",
                param="thorough",
            )

    async def before(self, material: Material, models: Models) -> tuple[Thorough, Usage]:
        """Once for a pair, so that both orders see the same."""
        if not self._stages:
            return Thorough(None, None), Usage()
        checks, answer = await asyncio.gather(
            self._stage(0, material, _CHECKS_SCHEMA, models),
            self._stage(1, material, _ANSWER_SCHEMA, models),
        )
        found = Thorough(
            "\n".join(f"- {line}" for line in checks[0]["questions"]) if checks[0] else None,
            answer[0]["answer"] if answer[0] else None,
        )
        return found, checks[1] + answer[1]

    async def _stage(
        self, at: int, material: Material, schema: Mapping[str, Any], models: Models
    ) -> tuple[dict[str, Any] | None, Usage]:
        data = {"request": material.request, "context": material.context}
        messages = prompting.fill(self._stages[at], data, role=self._role)
        prompt = self.spec.prompt(messages, schema=schema)
        reply = await ask(models, self.spec.model, prompt, json_reader(schema))
        return reply.value, reply.usage

    def prompt(
        self, material: Material, first: Said, second: Said, extra: Thorough, nth: int
    ) -> Prompt:
        data = {
            **material.shown(),
            **both(first, second),
            "checks": extra.checks,
            "own_answer": extra.own_answer,
        }
        messages = prompting.fill(self._prompt, data, role=self._role, criteria=self._criteria)
        return self.spec.prompt(messages, schema=self.schema(), nth=nth)

    def schema(self) -> dict[str, Any]:
        if self._additive:
            return additive_schema([name for name, _ in self._criteria])
        return totals_schema(len(self._criteria))

    def reader(self) -> Read[Points]:
        names = [name for name, _ in self._criteria]
        return additive_reader(names) if self._additive else totals_reader(len(names))


def additive_schema(names: Sequence[str]) -> dict[str, Any]:
    point = {"type": "integer", "minimum": 0, "maximum": 1}
    entry = object_of(
        criterion={"type": "string", "enum": list(names)},
        reason={"type": "string"},
        answer_1=point,
        answer_2=point,
    )
    points = {"type": "array", "items": entry, "minItems": len(names), "maxItems": len(names)}
    return object_of(justification={"type": "string"}, points=points)


def totals_schema(n_criteria: int) -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 0, "maximum": n_criteria}
    return object_of(justification={"type": "string"}, score_answer_1=whole, score_answer_2=whole)


def additive_reader(names: Sequence[str]) -> Read[Points]:
    """Sums the points by criterion. Totals that a judge adds itself are checked, not believed."""
    schema = additive_schema(names)
    schema["properties"] |= {name: {"type": "number"} for name in _TOTALS}
    for part in (schema, schema["properties"]["points"]["items"]):
        part["additionalProperties"] = True

    def check(found: Mapping[str, Any]) -> str | None:
        given = [entry["criterion"] for entry in found["points"]]
        twice = sorted({name for name in given if given.count(name) > 1})
        return f"the criterion {twice[0]} has two entries" if twice else None

    read_json = json_reader(schema, check)

    def read(text: str) -> Points:
        found = read_json(text)
        first = sum(entry["answer_1"] for entry in found["points"])
        second = sum(entry["answer_2"] for entry in found["points"])
        stated = (found.get(_TOTALS[0], first), found.get(_TOTALS[1], second))
        return Points(
            first,
            second,
            found["justification"],
            inconsistent=stated != (first, second),
            detail={"points": found["points"]},
        )

    return read


def totals_reader(n_criteria: int) -> Read[Points]:
    read_json = json_reader(totals_schema(n_criteria))

    def read(text: str) -> Points:
        found = read_json(text)
        return Points(found["score_answer_1"], found["score_answer_2"], found["justification"])

    return read


_TOTALS = ("score_answer_1", "score_answer_2")


_CHECKS_SCHEMA = object_of(
    questions={"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}
)
_ANSWER_SCHEMA = object_of(answer={"type": "string"})
