"""What the live engine is asked, and that it is waited for; whole certificates: test_parity.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import Busy, ParityFailed, Unavailable
from modiste.serve.sequence import (
    Event,
    Failed,
    FailureCode,
    Finished,
    FinishReason,
    Generate,
    Tokens,
)
from modiste.types import Example, SampleType
from modiste.work import live
from modiste.work.live import Asked, Patience
from modiste.work.trained_rows import GreedyAnswer, Row

BASE = Path("/base")
EXAMPLE = Example(line=1, sample_type=SampleType.PRETRAIN, text="t")


def row(*, greedy: bool) -> Row:
    answer = GreedyAnswer(2, [8, 9], [1.0, 1.0]) if greedy else None
    return Row(1, EXAMPLE, [1, 2, 3], [False, True, True], [-1.0, -1.0], [-2.0, -2.0], answer)


ASKED = Asked([row(greedy=True), row(greedy=False)], BASE, "/adapter", "v1")


class Engine:
    def __init__(self, *first: Event) -> None:
        self.first = list(first)
        self.asked: list[Generate] = []

    def __call__(self, *_: Any) -> Engine:
        return self

    async def score(self, *asked: Any) -> list[float]:
        return [float(token) for token in asked[-1][1:]]

    async def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        if self.first:
            yield self.first.pop(0)
            return
        yield Tokens("greedy", (8,))
        yield Tokens("greedy", (9,))
        yield Finished("greedy", FinishReason.LENGTH)

    async def status(self, *, timeout_s: float) -> dict[str, Any]:
        return {"bases": {str(BASE): {"linear": "bf16", "exact": True}}}

    async def close(self) -> None:
        pass


def patience(seconds: float) -> Patience:
    return Patience(lambda: None, seconds, seconds)


def asked_of(engine: Engine, monkeypatch: pytest.MonkeyPatch, seconds: float = 5.0) -> live.Told:
    monkeypatch.setattr(live, "EngineStream", engine)
    monkeypatch.setattr(live, "RETRY_S", 0.01)
    return asyncio.run(live.of_engine(ASKED, BASE, patience(seconds)))


def test_rows_are_scored_and_those_with_a_prompt_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    told = asked_of(engine, monkeypatch)
    assert told.answers.logprobs == [[2.0, 3.0], [2.0, 3.0]]
    assert told.answers.greedy == [[8, 9]]
    assert told.lane == {"linear": "bf16", "exact": True}
    (request,) = engine.asked
    assert (request.ids, request.adapter, request.adapter_version) == ((1, 2), "/adapter", "v1")
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.0, 2)
    assert request.stop_ids == frozenset(), "what stands behind the end is compared too"


def test_an_answer_that_a_restart_cut_short_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(Failed("greedy", FailureCode.RESTARTING, "gone", None))
    assert asked_of(engine, monkeypatch).answers.greedy == [[8, 9]]
    assert len(engine.asked) == 2


def test_an_engine_that_stays_full_leaves_the_model_unchecked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(*[Failed("greedy", FailureCode.BUSY, "full", None) for _ in range(1000)])
    with pytest.raises(ParityFailed, match=r"was not there for 0 s: full") as told:
        asked_of(engine, monkeypatch, seconds=0.1)
    assert told.value.error_code == "parity_unchecked"


@pytest.mark.parametrize("error", [Unavailable("starting"), Busy("full")])
def test_patience_asks_again_until_there_is_an_answer(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RETRY_S", 0.01)
    errors = [error, error]

    async def ask() -> str:
        if errors:
            raise errors.pop()
        return "here"

    async def asking() -> str:
        return await patience(5.0)(ask)

    assert asyncio.run(asking()) == "here"
