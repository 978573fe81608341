"""How surprised a model is by the right answer: `perplexity`.

Nothing is generated: the model tells the log-likelihood of the reference behind the plain text of
the prompt. A sample's value is −log p / tokens (nats per token), or with `per: byte` bits per byte,
which can be compared between models whose tokenizers differ; nats per token cannot. The first
metric is the mean over items, `corpus` the same with all references as one text, and `perplexity`
is e to the power of that. Lower is better; there is no pass rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

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
from modiste.evaluate.metric import Metric, mean_metric, score_of
from modiste.evaluate.scorer import Scorer, Wonder
from modiste.evaluate.scorers.references import as_text, no_reference
from modiste.evaluate.spec import Spec
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.columns import Floats
from modiste.evaluate.stats.sums import drawn_sums

DRAWS = 2_000
SEED = 0


class Perplexity(Scorer):
    higher_is_better = False
    scale: tuple[float, float] | None = None
    reads_answer = False

    def __init__(self, spec: PerplexitySpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec
        self.unit = "nats/token" if spec.per == "token" else "bits/byte"

    def wonders(self, item: Item, prompt: Prompt) -> Wonder | None:
        if item.reference is None:
            return None
        text = "\n\n".join(message.content or "" for message in prompt.messages)
        return Wonder(text, (self._spec.delimiter + as_text(item.reference),))

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        if item.reference is None:
            return no_reference(item)
        told = answer.told.get(self.name)
        if told is None:
            return unscored(Status.SKIPPED, "the model was not asked how likely the reference is")
        if told.failure is not None:
            return unscored(Status.ERROR, f"no likelihoods: {told.failure.message}")
        (found,) = told.likelihoods
        continued = self._spec.delimiter + as_text(item.reference)
        size = found.n_tokens if self._spec.per == "token" else len(continued.encode())
        if size == 0:
            return unscored(Status.SKIPPED, "the reference is empty")
        surprise = -found.logprob if self._spec.per == "token" else -found.logprob / math.log(2)
        return scored(surprise / size, surprise=surprise, size=size, greedy=found.greedy)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        having = [(sample, score_of(self.name, sample)) for sample in samples]
        rows = np.asarray(
            [(score.detail["surprise"], score.detail["size"]) for _, score in having if score],
            dtype=np.float64,
        )
        units = [s.item.cluster or f"item:{s.item.key}" for s, score in having if score]
        first = mean_metric(self, samples)
        if len(set(units)) < 2:
            return (first,)
        n_unscored = len(having) - len(rows)
        drawn = _per(drawn_sums(rows, draws=DRAWS, clusters=units, seed=SEED))
        value = _per(rows.sum(axis=0))

        def metric(name: str, value: Floats, drawn: Floats, unit: str) -> Metric:
            estimate = interval_of_draws(
                float(value), drawn, items=len({s.item.key for s, score in having if score}),
                seed=SEED, n_clusters=len(set(units)), n_unscored=n_unscored,
            )  # fmt: skip
            return Metric(self.name, name, estimate, n_unscored, higher_is_better=False, unit=unit)

        corpus = metric("corpus", value, drawn, self.unit)
        if self._spec.per == "byte":
            return (first, corpus)
        return (first, corpus, metric("perplexity", np.exp(value), np.exp(drawn), "tokens"))


def _per(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


class PerplexitySpec(Spec):
    kind: Literal["perplexity"] = "perplexity"
    name: str = "perplexity"
    per: Literal["token", "byte"] = "token"
    delimiter: str = Field(default=" ", max_length=8)
    """Stands between the prompt and the reference, and counts as part of it."""

    def build(self) -> Perplexity:
        return Perplexity(self)
