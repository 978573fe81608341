"""Context precision and context recall: were useful passages found first, and enough of them?

Precision: the mean of precision@k over the ranks k of useful passages, judged one passage at a time
against the answer or a reference; exact and without a judge where rows name the ids of what was
found and of what is relevant. Recall: the share of the reference's claims that the passages
together support. Both are RAGAS' algorithms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import model_validator

from modiste.evaluate.items import Answer, Item, Models, Score, Status, scored, unscored
from modiste.evaluate.judges import prompting
from modiste.evaluate.judges.asking import NOTHING, Reply, ask
from modiste.evaluate.judges.reading import json_reader, object_of
from modiste.evaluate.judges.spec import JudgeFields
from modiste.evaluate.rag.claims import claims_of, prompt_hashes
from modiste.evaluate.rag.contexts import contexts_of, reference_of
from modiste.evaluate.rag.faithfulness import supported_share
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.spec import Spec

USEFUL = object_of(
    reason={"type": "string"}, useful={"type": "integer", "minimum": 0, "maximum": 1}
)


class ContextPrecisionSpec(JudgeFields, Spec):
    kind: Literal["context_precision"]
    name: str = "context_precision"
    model: str = ""
    """The judge's name at the endpoint; none is needed with `retrieved` and `relevant`."""
    contexts: str = "{{contexts}}"
    """Template, or one field in braces: the passages in the order in which they were found."""
    against: Literal["answer", "reference"] = "answer"
    """What a passage must have been useful for."""
    retrieved: str | None = None
    """Template: ids of what was found, in order. With `relevant`, nothing is asked of a judge."""
    relevant: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> ContextPrecisionSpec:
        if (self.retrieved is None) != (self.relevant is None):
            raise ValueError("retrieved and relevant go together; give both or none")
        if self.retrieved is None and not self.model:
            raise ValueError("model is missing; name a judge, or give retrieved and relevant")
        return self

    def build(self) -> ContextPrecision:
        return ContextPrecision(self)


class ContextRecallSpec(JudgeFields, Spec):
    kind: Literal["context_recall"]
    name: str = "context_recall"
    contexts: str = "{{contexts}}"
    """Template, or one field in braces: the passages, a list or a text."""

    def build(self) -> ContextRecall:
        return ContextRecall(self)


class ContextPrecision(Scorer):
    def __init__(self, spec: ContextPrecisionSpec) -> None:
        self._spec = spec
        self._prompt = prompting.load("passage_useful")
        super().__init__(
            spec.name, {**spec.config, "prompts": {self._prompt.name: self._prompt.sha256}}
        )

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        if self._spec.retrieved is not None and self._spec.relevant is not None:
            return _by_ids(
                contexts_of(self._spec.retrieved, item, param="retrieved"),
                contexts_of(self._spec.relevant, item, param="relevant"),
            )
        passages = contexts_of(self._spec.contexts, item)
        if not passages:
            return unscored(Status.SKIPPED, "the item has no contexts")
        target = answer.text.strip()
        if self._spec.against == "reference":
            target = reference_of(self._spec.reference, item)
        if not target:
            return unscored(Status.SKIPPED, f"there is no {self._spec.against} to judge against")
        request = self._spec.material(item).request
        replies = await asyncio.gather(
            *(self._ask(request, target, passage, models) for passage in passages)
        )
        return _by_verdicts(replies)

    async def _ask(
        self, request: str, target: str, passage: str, models: Models
    ) -> Reply[dict[str, Any]]:
        data = {"request": request, "answer": target, "passage": passage}
        prompt = self._spec.prompt(prompting.fill(self._prompt, data), schema=USEFUL)
        return await ask(models, self._spec.model, prompt, json_reader(USEFUL))


class ContextRecall(Scorer):
    def __init__(self, spec: ContextRecallSpec) -> None:
        config = {**spec.config, "prompts": prompt_hashes()}
        super().__init__(spec.name, config)
        self._spec = spec

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        passages = contexts_of(self._spec.contexts, item)
        if not passages:
            return unscored(Status.SKIPPED, "the item has no contexts")
        reference = reference_of(self._spec.reference, item)
        if not reference:
            return unscored(Status.SKIPPED, "the item has no reference")
        request = self._spec.material(item).request
        claims = await claims_of(reference, self._spec, models, request=request)
        return await supported_share(
            claims, "\n".join(passages), self._spec, models, what="the reference"
        )


def precision_at_ranks(useful: Sequence[bool]) -> float:
    """Σ_k precision@k · v_k / Σ v_k over ranks; 0 where nothing is useful."""
    hits, total = 0, 0.0
    for rank, is_useful in enumerate(useful, start=1):
        if is_useful:
            hits += 1
            total += hits / rank
    return total / hits if hits else 0.0


def _by_verdicts(replies: Sequence[Reply[dict[str, Any]]]) -> Score:
    usage = sum((reply.usage for reply in replies), NOTHING)
    useful: list[bool] = []
    for rank, reply in enumerate(replies, start=1):
        if reply.value is None:
            return reply.no_score(f"judging passage {rank}")
        useful.append(bool(reply.value["useful"]))
    return scored(
        precision_at_ranks(useful),
        reason=f"{sum(useful)} of {len(useful)} passages useful",
        passages=[reply.value for reply in replies],
        usage=usage.told(),
    )


def _by_ids(retrieved: Sequence[str], relevant: Sequence[str]) -> Score:
    if not retrieved:
        return unscored(Status.SKIPPED, "nothing was retrieved")
    if not relevant:
        return unscored(Status.SKIPPED, "nothing is relevant")
    useful = [one in set(relevant) for one in retrieved]
    return scored(precision_at_ranks(useful), reason=f"{sum(useful)} of {len(useful)} ids relevant")
