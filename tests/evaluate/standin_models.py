"""Doubles of models and small suites for the tests of evaluations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from modiste.errors import ModisteError, NotYetSupported
from modiste.evaluate.asking import asking_of
from modiste.evaluate.dataset import items_of
from modiste.evaluate.items import Answer, Item, Likelihood, Models, Prompt, Score
from modiste.evaluate.run import Plan
from modiste.evaluate.scorer import Check, Scorer, fitted
from modiste.evaluate.suite import Suite
from modiste.prepare.sources.document import Item as RowIn


@dataclass
class Scripted(Models):
    """Answers as `say` does, and remembers what it was asked."""

    say: Callable[[Prompt], str | Answer] = lambda prompt: prompt.messages[-1].content or ""
    pause_s: float = 0.0
    asked: list[tuple[str, Prompt]] = field(default_factory=list)
    wondered: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    silent: ModisteError | None = None
    """What asking for likelihoods ends in."""

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        self.asked.append((model, prompt))
        await asyncio.sleep(self.pause_s)
        said = self.say(prompt)
        return said if isinstance(said, Answer) else Answer(text=said, completion_tokens=1)

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        self.wondered.append((text, tuple(continuations)))
        if self.silent is not None:
            raise self.silent
        return tuple(Likelihood(-float(len(each)), len(each), False) for each in continuations)

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        raise NotYetSupported("no embeddings here")


class Look(Check):
    """A scorer made of a function."""

    def __init__(self, look: Callable[[Item, Answer], Score], *, name: str = "look") -> None:
        super().__init__(name, {"kind": "look"})
        self._look = look

    def look(self, item: Item, answer: Answer) -> Score:
        return self._look(item, answer)


SUITE: dict[str, Any] = {
    "name": "capitals",
    "dataset": {"file_id": "f", "id": "{{id}}", "reference": "{{capital}}"},
    "prompt": "Capital of {{country}}?",
    "models": {"base": {"model": "tiny"}},
    "scorers": ["exact"],
}


def suite(**changes: Any) -> Suite:
    return Suite.model_validate({**SUITE, **changes})


def rows(n: int) -> list[RowIn]:
    made = [{"id": f"r{i}", "country": f"c{i}", "capital": f"C{i}"} for i in range(n)]
    return [RowIn(line, b"", row) for line, row in enumerate(made, 1)]


def plan_of(n: int = 5, *, scorers: Sequence[Scorer] | None = None, **changes: Any) -> Plan:
    wanted = suite(**changes)
    items = items_of(rows(n), wanted.dataset, name="rows.jsonl")
    built = [spec.build() for spec in wanted.scorers] if scorers is None else scorers
    asking = asking_of(wanted, wanted.models["base"])
    return Plan(items, wanted.attempts, asking, fitted(built, items))
