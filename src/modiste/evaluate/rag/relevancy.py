"""Answer relevancy: how near the questions that an answer answers are to the one that was asked.

Mean cosine between the embedding of the question and those of questions written from the answer
alone, zero where the answer avoids answering. RAGAS' algorithm, with one difference that is ours:
whether it avoids answering is asked once, at temperature 0. The value belongs to the embedding
model, may be negative, and must never be compared across embedding models; it is therefore part of
the scorer's identity.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from modiste.errors import ModisteError
from modiste.evaluate.items import Answer, Item, Models, Score, Status, scored, unscored
from modiste.evaluate.judges import prompting
from modiste.evaluate.judges.asking import NOTHING, Reply, ask
from modiste.evaluate.judges.reading import json_reader, object_of
from modiste.evaluate.judges.spec import JudgeFields
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.spec import Spec

QUESTION = object_of(question={"type": "string", "minLength": 1})
NONCOMMITTAL = object_of(
    reason={"type": "string"}, noncommittal={"type": "integer", "minimum": 0, "maximum": 1}
)


class AnswerRelevancySpec(JudgeFields, Spec):
    kind: Literal["answer_relevancy"]
    name: str = "answer_relevancy"
    embedding_model: str = Field(min_length=1)
    """Its name at the endpoint."""
    questions: int = Field(default=3, ge=1, le=10)
    """Written from each answer."""
    temperature: float = Field(default=0.7, gt=0, le=2)
    """Of those questions; at 0 all would be the same."""

    @property
    def models(self) -> tuple[str, ...]:
        return (*super().models, self.embedding_model)

    def build(self) -> AnswerRelevancy:
        return AnswerRelevancy(self)


class AnswerRelevancy(Scorer):
    scale = (-1.0, 1.0)
    unit = "points"

    def __init__(self, spec: AnswerRelevancySpec) -> None:
        self._spec = spec
        self._question = prompting.load("question_of")
        self._evasion = prompting.load("noncommittal")
        prompts = {text.name: text.sha256 for text in (self._question, self._evasion)}
        config = {**spec.config, "prompts": prompts}
        super().__init__(spec.name, config)

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        request = self._spec.material(item).request
        if not answer.text.strip():
            return unscored(Status.SKIPPED, "the answer is empty")
        evasion, *written = await asyncio.gather(
            self._ask_evasion(answer, models),
            *(self._ask_question(answer, models, nth) for nth in range(self._spec.questions)),
        )
        usage = sum((reply.usage for reply in (evasion, *written)), NOTHING)
        for asked, reply in (("noncommittal or not", evasion), *(("question", w) for w in written)):
            if reply.value is None:
                return replace(reply, usage=usage).no_score(f"judging an answer ({asked})")
        questions = [reply.value["question"].strip() for reply in written if reply.value]
        cosines = await self._cosines(request, questions, models)
        if isinstance(cosines, Score):
            return cosines
        noncommittal = bool(evasion.value and evasion.value["noncommittal"])
        mean = float(np.mean(cosines))
        return scored(
            0.0 if noncommittal else mean,
            label="noncommittal" if noncommittal else "committal",
            reason=evasion.value["reason"] if noncommittal and evasion.value else "",
            questions=questions,
            cosines=[round(cosine, 6) for cosine in cosines],
            distinct_questions=len(set(questions)),
            usage=usage.told(),
        )

    async def _ask_question(
        self, answer: Answer, models: Models, nth: int
    ) -> Reply[dict[str, Any]]:
        messages = prompting.fill(self._question, {"answer": answer.text})
        prompt = self._spec.prompt(messages, schema=QUESTION, nth=nth)
        return await ask(models, self._spec.model, prompt, json_reader(QUESTION))

    async def _ask_evasion(self, answer: Answer, models: Models) -> Reply[dict[str, Any]]:
        messages = prompting.fill(self._evasion, {"answer": answer.text})
        prompt = replace(self._spec.prompt(messages, schema=NONCOMMITTAL), temperature=0.0)
        return await ask(models, self._spec.model, prompt, json_reader(NONCOMMITTAL))

    async def _cosines(
        self, request: str, questions: list[str], models: Models
    ) -> list[float] | Score:
        try:
            vectors = await models.embed(self._spec.embedding_model, [request, *questions])
        except ModisteError as error:
            return unscored(Status.ERROR, f"embedding the questions: {error.message}")
        table = np.asarray(vectors, dtype=np.float64)
        lengths = np.linalg.norm(table, axis=1)
        if not lengths.all():
            return unscored(Status.ERROR, f"{self._spec.embedding_model} gave a vector of zeros")
        units = table / lengths[:, None]
        return [float(cosine) for cosine in units[1:] @ units[0]]
