"""One answer at a time: a rubric with a text for each grade, or MT-Bench's rating from 1 to 10.

Where the judge's endpoint tells log-probabilities, the grade is the mean over all grades weighted
by their probability at the token of the grade (G-Eval): it clumps less than the most likely one.
Both are kept. Steps from criterion to grade, which G-Eval lets the judge write, are written once by
`written_steps` and then belong to the rubric, so that every answer is graded by the same ones.
These are scorers of a suite; `ByPoints` makes a judge of pairs out of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from modiste.evaluate.items import Answer, Item, Models, Prompt, Score, Status, TokenLogprob, scored
from modiste.evaluate.judges import prompting
from modiste.evaluate.judges.asking import Reply, Usage, ask
from modiste.evaluate.judges.forms import Theirs, fastchat, rating_reader
from modiste.evaluate.judges.judge import PairJudge, Said, Scale
from modiste.evaluate.judges.pairs import Look, Pair
from modiste.evaluate.judges.reading import Read, Unreadable, bracket_reader, json_reader, object_of
from modiste.evaluate.judges.spec import JudgeFields, Material, conversation
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.spec import Spec
from modiste.types import Message

LEAST_SHARE = 0.01
"""Grades less likely than this do not count (as in DeepEval's G-Eval)."""
ALTERNATIVES = 20
GRADE = re.compile(r'"score"\s*:\s*"?(\d+)|\[RESULT\]\s*\(?(\d+)')
DEFAULT_LEVELS = {
    1: "Fails: wrong, beside the point, or no use to whoever asked.",
    2: "Weak: serious faults outweigh what is right.",
    3: "Passable: mostly right, with faults that matter.",
    4: "Good: right and useful, with small faults.",
    5: "Excellent: right, complete, and to the point.",
}


class RubricSpec(JudgeFields, Spec):
    kind: Literal["rubric"]
    name: str = "rubric"
    criterion: str = "how well the answer serves whoever asked"
    """What is graded, in one sentence."""
    levels: Mapping[int, str] = Field(default=DEFAULT_LEVELS, min_length=2)
    """What each grade means; whole numbers without gaps, lowest is worst."""
    steps: tuple[str, ...] = Field(default=(), max_length=8)
    """What to look at, in this order; `modiste judge steps` lets the judge write them."""
    role: str = "a strict and fair examiner"
    pack: Literal["rubric", "rubric_result"] = "rubric"
    """`rubric` replies in JSON; `rubric_result` writes `Feedback: … [RESULT] 4`, which models tuned
    as judges in the manner of Prometheus expect."""
    logprobs: bool = True
    """Ask for log-probabilities and weight by them where they come."""

    @field_validator("levels")
    @classmethod
    def _without_gaps(cls, value: Mapping[int, str]) -> Mapping[int, str]:
        grades = sorted(value)
        if grades != list(range(grades[0], grades[-1] + 1)) or grades[0] < 0 or grades[-1] > 9:
            raise ValueError(f"levels are {grades}; use whole numbers from 0 to 9 without gaps")
        return dict(sorted(value.items()))

    def build(self) -> Rubric:
        return Rubric(self)

    def judge(self) -> ByPoints:
        return ByPoints(self.build())


class MtBenchSingleSpec(JudgeFields, Spec):
    kind: Literal["mt_bench_single"]
    name: str = "mt_bench_single"
    prompts: str | None = None
    """Path of FastChat's `judge_prompts.jsonl`, whose `single-v1` and (with a reference)
    `single-math-v1` are used then, and for two answers their `-multi-turn`."""

    def build(self) -> MtBenchSingle:
        return MtBenchSingle(self)

    def judge(self) -> ByPoints:
        return ByPoints(self.build())


class Rubric(Scorer):
    """A grade by a rubric."""

    scale: Scale
    unit = "points"

    def __init__(self, spec: RubricSpec) -> None:
        self._spec = spec
        self._prompt = prompting.load(spec.pack)
        super().__init__(
            spec.name, {**spec.config, "prompts": {self._prompt.name: self._prompt.sha256}}
        )
        self._levels = tuple(spec.levels.items())
        self.scale = (float(self._levels[0][0]), float(self._levels[-1][0]))

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        reply = await ask(
            models, self._spec.model, self.prompt(self._spec.material(item), answer), self.reader()
        )
        if reply.value is None:
            return reply.no_score("grading by the rubric")
        return self._scored(reply.value, reply)

    def prompt(self, material: Material, answer: Answer) -> Prompt:
        messages = prompting.fill(
            self._prompt,
            {**material.shown(), **_one(answer)},
            role=self._spec.role,
            criterion=self._spec.criterion,
            levels=self._levels,
            steps=self._spec.steps,
        )
        return self._spec.prompt(
            messages,
            schema=self.schema() if self._spec.pack == "rubric" else None,
            top_logprobs=ALTERNATIVES if self._spec.logprobs else None,
        )

    def schema(self) -> dict[str, Any]:
        grades = [grade for grade, _ in self._levels]
        return object_of(
            evidence={"type": "array", "items": {"type": "string"}, "maxItems": 5},
            reason={"type": "string"},
            score={"type": "integer", "minimum": grades[0], "maximum": grades[-1]},
        )

    def reader(self) -> Read[dict[str, Any]]:
        if self._spec.pack == "rubric":
            return json_reader(self.schema())
        return _result_reader([grade for grade, _ in self._levels])

    def _scored(self, found: Mapping[str, Any], reply: Reply[dict[str, Any]]) -> Score:
        grade = found["score"]
        grades = [level for level, _ in self._levels]
        weighted = weighted_grade(reply.answer.logprobs, grade, grades)
        return scored(
            grade if weighted is None else weighted,
            label=str(grade),
            reason=found["reason"],
            grade=grade,
            weighted=weighted,
            evidence=found["evidence"],
            usage=reply.usage.told(),
        )


class MtBenchSingle(Scorer):
    """MT-Bench's rating."""

    scale: Scale = (1.0, 10.0)
    unit = "points"

    def __init__(self, spec: MtBenchSingleSpec) -> None:
        self._spec = spec
        self._own = prompting.load("mt_bench_single")
        self._theirs: Theirs | None = None if spec.prompts is None else fastchat(spec.prompts)
        config = {
            **spec.config,
            "prompts": self._theirs.sha256 if self._theirs else {self._own.name: self._own.sha256},
        }
        super().__init__(spec.name, config)

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        prompt = self._spec.prompt(self._messages(self._spec.material(item), answer))
        reply = await ask(models, self._spec.model, prompt, rating_reader())
        if reply.value is None:
            return reply.no_score("rating the answer")
        said = reply.answer.text.strip()
        return scored(reply.value, label=f"{reply.value:g}", reason=said, usage=reply.usage.told())

    def _messages(self, material: Material, answer: Answer) -> tuple[Message, ...]:
        if self._theirs is None:
            return prompting.fill(self._own, {**material.shown(), **_one(answer)})
        kind = "single-v1" if material.reference is None else "single-math-v1"
        return self._theirs.asked(kind, material, {"answer": Said(answer.text, answer.earlier)})


def _one(answer: Answer) -> dict[str, str | None]:
    """By its name in the prompts."""
    return {"answer": answer.text, "earlier": conversation(answer.earlier)}


class ByPoints(PairJudge):
    """A scorer of single answers as a judge of pairs: whoever has more points wins."""

    def __init__(self, scorer: Rubric | MtBenchSingle) -> None:
        super().__init__(scorer.config, scorer.scale)
        self._scorer = scorer

    async def looks(self, pair: Pair, models: Models) -> tuple[Look, ...]:
        scores = [
            await self._scorer.grade(pair.item, Answer(text=text, earlier=earlier), models)
            for text, earlier in ((pair.a, pair.earlier_a), (pair.b, pair.earlier_b))
        ]
        usage = sum((_usage(score) for score in scores), Usage())
        failed = next((score for score in scores if score.value is None), None)
        if failed is not None:
            return (Look(None, failed.status, reason=failed.reason, usage=usage),)
        a, b = scores
        reason = f"a: {a.reason}\nb: {b.reason}"
        return (Look(None, Status.SCORED, a.value, b.value, reason, usage=usage),)


async def written_steps(spec: RubricSpec, models: Models) -> Reply[dict[str, Any]]:
    """Three or four steps for this rubric, in the judge's words, as `{"steps": [...]}`."""
    text = {"type": "string", "minLength": 1}
    schema = object_of(steps={"type": "array", "items": text, "minItems": 3, "maxItems": 4})
    messages = prompting.fill(
        prompting.load("rubric_steps"),
        {},
        role=spec.role,
        criterion=spec.criterion,
        levels=tuple(spec.levels.items()),
    )
    return await ask(models, spec.model, spec.prompt(messages, schema=schema), json_reader(schema))


def weighted_grade(
    tokens: Sequence[TokenLogprob], grade: int, grades: Sequence[int]
) -> float | None:
    """Σ s·p(s) / Σ p(s) over the grades at the token of the grade; None where it is not told."""
    text = "".join(token.text for token in tokens)
    places = [match.span(match.lastindex or 1) for match in GRADE.finditer(text)]
    if not places or text[slice(*places[-1])] != str(grade):
        return None
    at = places[-1][0]
    for token in tokens:
        if at < len(token.text):
            break
        at -= len(token.text)
    before, after = token.text[:at], token.text[at + 1 :]
    shares: dict[int, float] = {}
    for alternative, logprob in token.top or ((token.text, token.logprob),):
        digit = alternative.removeprefix(before).removesuffix(after).strip()
        share = math.exp(logprob)
        if digit.isdecimal() and int(digit) in grades and share >= LEAST_SHARE:
            shares[int(digit)] = shares.get(int(digit), 0.0) + share
    mass = sum(shares.values())
    return sum(grade * share for grade, share in shares.items()) / mass if mass else None


def _result_reader(grades: Sequence[int]) -> Read[dict[str, Any]]:
    read_grade = bracket_reader(r"\[RESULT\]\s*\(?(\d+)", "[RESULT] and the grade")

    def read(text: str) -> dict[str, Any]:
        grade = int(read_grade(text))
        if grade not in grades:
            raise Unreadable(f"{grade} is not between {grades[0]} and {grades[-1]}")
        feedback = text.rpartition("[RESULT]")[0].strip().removeprefix("Feedback:").strip()
        return {"score": grade, "reason": feedback, "evidence": []}

    return read


def _usage(score: Score) -> Usage:
    told = score.detail.get("usage")
    return Usage(**told) if told else Usage()
