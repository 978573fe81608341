"""OpenAI's graders at work: `openai`, with the grader's JSON under `grader`.

A string check and a label give 0 or 1, a text similarity 0 to 1, a score model a number of its
range, python and multi any number. Grading models are asked through the endpoint like every other
and answer in JSON that a schema holds them to, reason first; what cannot be read is `parse_failed`.
A multi of which one grader has no score has none. An answer that is no JSON, where templates name
`sample.output_json`, gets the lowest score and not none: leaving it out would flatter the model.
Pass rule: `pass_threshold` where the grader has one; `passed` is the share from there on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from modiste.evaluate.items import (  # fmt: skip
    Answer,
    Item,
    Models,
    Prompt,
    Sample,
    Score,
    Status,
    scored,
    unscored,
)
from modiste.evaluate.judges.asking import ask
from modiste.evaluate.judges.reading import json_reader, object_of
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers import overlap
from modiste.evaluate.scorers.arithmetic import Formula
from modiste.evaluate.scorers.json_text import read_json
from modiste.evaluate.scorers.openai_specs import (
    Grader,
    LabelModel,
    Multi,
    PythonGrader,
    Said,
    ScoreModel,
    Similarity,
    StringCheck,
)
from modiste.evaluate.scorers.python_function import PythonChild, PythonFailed
from modiste.evaluate.spec import Spec
from modiste.evaluate.template import Template
from modiste.types import Message, Role

PYTHON_S = 30.0
MAX_TOKENS = 1_024


@dataclass(frozen=True)
class Seen:
    """What templates and functions see."""

    item: Item
    sample: Mapping[str, Any] = field(default_factory=dict)

    def filled(self, source: str, param: str) -> str:
        """
        Raises:
            InvalidInput: a name that is not there.
        """
        return Template(source, param=param).render(self.item.row, sample=self.sample)


def seen(item: Item, answer: Answer) -> Seen:
    try:
        output = read_json(answer.text, lenient=True)
    except ValueError:
        output = None
    calls = [
        {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.calls
    ]
    return Seen(item, {"output_text": answer.text, "output_json": output, "output_tools": calls})


class OpenAIGrader(Scorer):
    def __init__(self, spec: OpenAISpec) -> None:
        super().__init__(spec.name, spec.config)
        self._grader = spec.grader
        self.scale = scale_of(spec.grader)
        self.unit = "share" if self.scale == (0.0, 1.0) else "points"
        self._children: dict[str, PythonChild] = {}

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        return await self._graded(self._grader, seen(item, answer), models)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        first, least = mean_metric(self, samples), getattr(self._grader, "pass_threshold", None)
        if least is None:
            return (first,)

        def passes(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else float((score.value or 0.0) >= least)

        return (first, figure(_Shares(self.name), samples, passes, name="passed"))

    def close(self) -> None:
        super().close()
        for child in self._children.values():
            child.close()

    async def _graded(self, grader: Grader, sees: Seen, models: Models) -> Score:
        if sees.sample["output_json"] is None and _needs_json(grader):
            lowest = (scale_of(grader) or (0.0, 1.0))[0]
            return scored(lowest, reason="the answer is no JSON")
        if isinstance(grader, StringCheck):
            return _checked(grader, sees)
        if isinstance(grader, Similarity):
            return await self.aside.do(lambda: _similar(grader, sees))
        if isinstance(grader, PythonGrader):
            return await self.aside.do(lambda: self._computed(grader, sees))
        if isinstance(grader, LabelModel):
            return await _labelled(grader, sees, models)
        if isinstance(grader, ScoreModel):
            return await _rated(grader, sees, models)
        return await self._combined(grader, sees, models)

    def _computed(self, grader: PythonGrader, sees: Seen) -> Score:
        child = self._children.setdefault(
            grader.source, PythonChild(grader.source, "grade", limit_s=PYTHON_S)
        )
        try:
            value = child.call(dict(sees.sample), dict(sees.item.row))
        except PythonFailed as failure:
            return unscored(failure.status, str(failure))
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return unscored(Status.ERROR, f"grade returned {str(value)[:80]!r}, expected a number")
        return scored(value)

    async def _combined(self, multi: Multi, sees: Seen, models: Models) -> Score:
        parts = {name: await self._graded(one, sees, models) for name, one in multi.graders.items()}
        for name, part in parts.items():
            if part.value is None:
                return unscored(part.status, f"{name}: {part.reason}")
        values = {name: part.value for name, part in parts.items() if part.value is not None}
        try:
            return scored(Formula(multi.calculate_output).value(values), parts=values)
        except ValueError as error:
            return unscored(Status.ERROR, str(error), parts=values)


@dataclass
class _Shares:
    """Whether a score passes is a share, whatever the score's own scale."""

    name: str
    higher_is_better: bool = True
    scale: tuple[float, float] | None = (0.0, 1.0)
    unit: str = "share"


def _needs_json(grader: Grader) -> bool:
    if isinstance(grader, (PythonGrader, Multi)):
        return False
    return "sample.output_json" in grader.model_dump_json()


def scale_of(grader: Grader) -> tuple[float, float] | None:
    if isinstance(grader, ScoreModel):
        return grader.range
    return None if isinstance(grader, (PythonGrader, Multi)) else (0.0, 1.0)


def _checked(grader: StringCheck, sees: Seen) -> Score:
    said = sees.filled(grader.input, "grader.input")
    right = sees.filled(grader.reference, "grader.reference")
    holds = {
        "eq": said == right,
        "ne": said != right,
        "like": right in said,
        "ilike": right.casefold() in said.casefold(),
    }
    return scored(holds[grader.operation])


def _similar(grader: Similarity, sees: Seen) -> Score:
    said = sees.filled(grader.input, "grader.input")
    right = sees.filled(grader.reference, "grader.reference")
    metric = grader.evaluation_metric
    if metric == "fuzzy_match":
        return scored(overlap.fuzzy(said, right))
    if metric == "bleu":
        return scored(float(overlap.bleu(overlap.bleu_counts(said, [right]), sentence=True)))
    if metric == "gleu":
        return scored(overlap.gleu(said, [right]))
    ours, theirs = overlap.rouge_words(said), overlap.rouge_words(right)
    if metric == "rouge_l":
        return scored(overlap.rouge_l(ours, theirs))
    return scored(overlap.rouge_n(ours, theirs, int(metric[-1])))


async def _labelled(grader: LabelModel, sees: Seen, models: Models) -> Score:
    schema = object_of(reason={"type": "string"}, label={"enum": list(grader.labels)})
    prompt = _prompt(grader.input, sees, schema)
    reply = await ask(models, grader.model, prompt, json_reader(schema))
    if reply.value is None:
        return reply.no_score(grader.name)
    label = str(reply.value["label"])
    return scored(
        label in grader.passing_labels,
        label=label,
        reason=str(reply.value["reason"]),
        usage=reply.usage.told(),
    )


async def _rated(grader: ScoreModel, sees: Seen, models: Models) -> Score:
    low, high = grader.range
    result = {"type": "number", "minimum": low, "maximum": high}
    schema = object_of(reason={"type": "string"}, result=result)
    prompt = _prompt(grader.input, sees, schema, grader.sampling_params)
    reply = await ask(models, grader.model, prompt, json_reader(schema))
    if reply.value is None:
        return reply.no_score(grader.name)
    return scored(
        float(reply.value["result"]), reason=str(reply.value["reason"]), usage=reply.usage.told()
    )


def _prompt(
    said: Sequence[Said],
    sees: Seen,
    schema: Mapping[str, Any],
    sampling: Mapping[str, Any] | None = None,
) -> Prompt:
    """OpenAI adds the form of the answer out of sight; here it is the last message."""
    messages = [
        Message(
            Role.SYSTEM if one.role == "developer" else Role(one.role),
            sees.filled(one.text, f"grader.input[{at}]"),
        )
        for at, one in enumerate(said)
    ]
    form = f"Answer with one JSON object that follows this schema: {json.dumps(schema)}"
    wanted = {name: value for name, value in (sampling or {}).items() if value is not None}
    return Prompt(
        (*messages, Message(Role.USER, form)),
        max_tokens=int(wanted.get("max_completions_tokens", MAX_TOKENS)),
        temperature=float(wanted.get("temperature", 0.0)),
        top_p=float(wanted.get("top_p", 1.0)),
        seed=int(wanted.get("seed", 0)),
        schema=schema,
    )


class OpenAISpec(Spec):
    kind: Literal["openai"] = "openai"
    name: str = "openai"
    grader: Grader
    """The grader as OpenAI has it."""

    @property
    def models(self) -> tuple[str, ...]:
        """Those it asks."""
        parts = self.grader.graders.values() if isinstance(self.grader, Multi) else (self.grader,)
        return tuple(one.model for one in parts if isinstance(one, (LabelModel, ScoreModel)))

    @property
    def graders(self) -> tuple[str, ...]:
        return self.models

    @property
    def runs_code(self) -> bool:
        parts = self.grader.graders.values() if isinstance(self.grader, Multi) else (self.grader,)
        return any(isinstance(one, PythonGrader) for one in parts)

    def build(self) -> OpenAIGrader:
        return OpenAIGrader(self)
