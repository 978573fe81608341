"""Items, answers and the few lines that grade one with the other."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from modiste.evaluate.items import Answer, Item, Likelihood, Prompt, Sample, Score
from modiste.evaluate.metric import Metric
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers.registry import parse


class NoModels:
    """For scorers that must ask nobody."""

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        raise AssertionError("no model may be asked")

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        raise AssertionError("no model may be asked")

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError("no model may be asked")


class Bench:
    """A scorer as a suite would write it, put to work."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def score(self, answer: str | Answer, reference: Any = None, **row: Any) -> Score:
        item = Item("one", row, reference=reference)
        return self.grade(item, answer if isinstance(answer, Answer) else Answer(answer))

    def grade(self, item: Item, answer: Answer) -> Score:
        return asyncio.run(self.scorer.grade(item, answer, NoModels()))

    def samples(self, pairs: Sequence[tuple[Any, Any]]) -> list[Sample]:
        """Of (answer, reference) pairs, one item each."""
        items = [Item(f"i{at}", {}, reference=pair[1]) for at, pair in enumerate(pairs)]
        self.scorer = self.scorer.fitted(items)
        return [self.sample(item, pair[0]) for item, pair in zip(items, pairs, strict=True)]

    def sample(self, item: Item, answer: str | Answer, attempt: int = 0) -> Sample:
        answer = answer if isinstance(answer, Answer) else Answer(answer)
        return Sample(item, attempt, (), answer, {self.scorer.name: self.grade(item, answer)})

    def metrics(self, samples: Sequence[Sample]) -> dict[str, Metric]:
        return {metric.name: metric for metric in self.scorer.metrics(samples)}


@pytest.fixture
def bench() -> Callable[..., Bench]:
    def made(kind: str, **options: Any) -> Bench:
        (scorer,) = parse([{"kind": kind, **options}])
        return Bench(scorer)

    return made
