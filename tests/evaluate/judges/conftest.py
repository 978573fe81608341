"""Doubles of judges: what they say follows from what they are shown, and every prompt is kept."""

from __future__ import annotations

import json
import re

import pytest

from modiste.evaluate.items import Answer, Failure, Item, Prompt
from modiste.evaluate.judges.pairs import Pair
from modiste.evaluate.judges.pairwise import PairwiseSpec

FENCED = re.compile(r"<<(\w+) ([0-9a-f]{8})>>\n(.*?)\n<<END \2>>", re.DOTALL)


def fenced(prompt: Prompt) -> dict[str, str]:
    """What stands between fences in the last user message but repairs."""
    return {name: text for name, _, text in FENCED.findall(prompt.messages[1].content)}


class Double:
    """A judge that says `reply(what is shown, prompt)`; a Failure is passed on as one."""

    def __init__(self, reply):
        self.reply = reply
        self.prompts: list[Prompt] = []
        self.shown: list[dict[str, str]] = []

    async def chat(self, model, prompt):
        self.prompts.append(prompt)
        self.shown.append(fenced(prompt))
        said = self.reply(self.shown[-1], prompt)
        if isinstance(said, Answer):
            return said
        if isinstance(said, Failure):
            return Answer(failure=said)
        text = said if isinstance(said, str) else json.dumps(said)
        return Answer(text, prompt_tokens=100, completion_tokens=20, latency_s=0.5, cost_micro=30)

    async def embed(self, model, texts):
        raise NotImplementedError

    async def likelihoods(self, model, text, continuations):
        raise NotImplementedError


def totals(first, second, why="because"):
    return {"justification": why, "score_answer_1": first, "score_answer_2": second}


@pytest.fixture
def double():
    return Double


@pytest.fixture
def said_totals():
    return totals


@pytest.fixture
def by_quality(double):
    """Doubles whose verdict is a function of the two answers: quality(answer) -> 0..3 points."""

    def make(points):
        return double(lambda shown, _: totals(*points(shown["ANSWER_1"], shown["ANSWER_2"])))

    return make


@pytest.fixture
def legal():
    def make(**more):
        return PairwiseSpec(kind="pairwise", model="judge", pack="legal_quality", **more)

    return make


@pytest.fixture
def pair():
    def make(a, b, key="k", question="Is it so?", **row):
        return Pair(Item(key, {"question": question, **row}), a, b)

    return make
