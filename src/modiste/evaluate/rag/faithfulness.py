"""Faithfulness: the share of an answer's claims that its contexts support. RAGAS' algorithm.

Claims are split and verified by a judge (`rag.claims`). An answer without claims, and an item
without contexts, is skipped with the reason; it is neither faithful nor unfaithful.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from modiste.evaluate.items import Answer, Item, Models, Sample, Score, Status, scored, unscored
from modiste.evaluate.judges.spec import JudgeFields
from modiste.evaluate.metric import Metric, estimate_of, mean_metric, means_of
from modiste.evaluate.rag.claims import Claims, Verdicts, claims_of, prompt_hashes, verify
from modiste.evaluate.rag.contexts import contexts_of
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.spec import Spec


class FaithfulnessSpec(JudgeFields, Spec):
    kind: Literal["faithfulness"]
    name: str = "faithfulness"
    contexts: str = "{{contexts}}"
    """Template, or one field in braces: the passages, a list or a text."""

    def build(self) -> Faithfulness:
        return Faithfulness(self)


class Faithfulness(Scorer):
    def __init__(self, spec: FaithfulnessSpec) -> None:
        config = {**spec.config, "prompts": prompt_hashes()}
        super().__init__(spec.name, config)
        self._spec = spec

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        contexts = contexts_of(self._spec.contexts, item)
        if not contexts:
            return unscored(Status.SKIPPED, "the item has no contexts")
        request = self._spec.material(item).request
        claims = await claims_of(answer.text, self._spec, models, request=request)
        return await supported_share(
            claims, "\n".join(contexts), self._spec, models, what="the answer"
        )

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        """The mean, and how often the judge's quotations for supported claims are not there."""
        missing = means_of(samples, lambda sample: _quotes_missing(sample.scores.get(self.name)))
        return (
            mean_metric(self, samples),
            Metric(
                scorer=self.name,
                name="quote_missing",
                estimate=estimate_of(missing, scale=(0.0, 1.0)),
                n_unscored=missing.n_unscored,
                higher_is_better=False,
            ),
        )


async def supported_share(
    claims: Claims, context: str, spec: JudgeFields, models: Models, *, what: str
) -> Score:
    """Supported claims of all claims.

    Args:
        what: whose claims they are, for reasons.
    """
    if claims.failure is not None:
        return claims.failure.no_score(f"splitting {what} into claims")
    if not claims.claims:
        return unscored(Status.SKIPPED, f"{what} makes no claim", usage=claims.usage.told())
    found = await verify(claims.claims, context, spec, models)
    if found.failure is not None:
        return found.failure
    return _share(claims, found)


def _share(claims: Claims, found: Verdicts) -> Score:
    supported = [verdict for verdict in found.verdicts if verdict.supported]
    refuted = next((verdict for verdict in found.verdicts if not verdict.supported), None)
    n = len(found.verdicts)
    told = f"{len(supported)} of {n} claims supported"
    return scored(
        len(supported) / n,
        reason=told if refuted is None else f"{told}; not: {refuted.claim.text}",
        claims=[verdict.told() for verdict in found.verdicts],
        uncovered_sentences=list(claims.uncovered),
        quotes_missing=sum(verdict.quote_missing for verdict in supported),
        usage=(claims.usage + found.usage).told(),
    )


def _quotes_missing(score: Score | None) -> float | None:
    """Of the supported claims of one answer; None where none is supported."""
    if score is None or score.value is None:
        return None
    claims: Sequence[Any] = score.detail["claims"]
    supported = [claim for claim in claims if claim["supported"]]
    if not supported:
        return None
    return sum(bool(claim["quote_missing"]) for claim in supported) / len(supported)
