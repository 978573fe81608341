"""Many prompts in one request: refused together, run some at a time, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest

from modiste.actions import texts
from modiste.actions.inference import Renderers, Serving
from modiste.actions.texts import AT_ONCE, TextAsk
from modiste.errors import BadRequest, Busy, Forbidden
from modiste.serve.sequence import (
    Event,
    Failed,
    FailureCode,
    Finished,
    FinishReason,
    Generate,
    Logprob,
    Tokens,
)
from modiste.store.database import Database
from modiste.types import Actor, Scope

from .engines import Engine, says

ASK = TextAsk("modiste-tiny", ("a", "b"))


def serving(database: Database, engine: Engine) -> Serving:
    return Serving(database, engine, Renderers())  # type: ignore[arg-type]


def test_one_bad_prompt_refuses_the_request_before_the_engine_is_asked(
    database: Database, admin: Actor
) -> None:
    engine = Engine(says((5,)))
    with pytest.raises(BadRequest, match="prompt 1 has"):
        asyncio.run(
            texts.begin(serving(database, engine), admin, replace(ASK, prompts=("a", "b " * 3000)))
        )
    stranger = replace(admin, scopes=frozenset({Scope.DATA}))
    with pytest.raises(Forbidden):
        asyncio.run(texts.begin(serving(database, engine), stranger, ASK))
    assert engine.asked == []


def test_only_so_many_prompts_are_in_the_engine_at_once(database: Database, admin: Actor) -> None:
    most = 0

    class Counting(Engine):
        async def generate(self, request: Generate) -> AsyncGenerator[Event]:
            nonlocal most
            async with aclosing(super().generate(request)) as events:
                most = max(most, len(self.asked) - len(self.closed) + 1)
                async for event in events:
                    yield event

    async def run(n: int) -> None:
        engine = Counting(says((5,)))
        ask = replace(ASK, prompts=("a",) * 40, n=n)
        done = await (await texts.begin(serving(database, engine), admin, ask)).whole()
        assert len(done.choices) == 40 * n
        assert len(engine.closed) == 40 * n

    asyncio.run(run(1))
    asyncio.run(run(4))
    assert 1 < most <= AT_ONCE


def test_one_failure_ends_all_prompts(database: Database, admin: Actor) -> None:
    def script(request: Generate) -> list[Event | BaseException]:
        if len(engine.asked) == 3:
            return [Failed(request.id, FailureCode.BUSY, "full", 2.0)]
        return [Tokens(request.id, (5,))] * 1000

    engine = Engine(script)

    async def run() -> None:
        ask = replace(ASK, prompts=("a",) * 40)
        await (await texts.begin(serving(database, engine), admin, ask)).whole()

    with pytest.raises(Busy, match="full"):
        asyncio.run(run())
    assert len(engine.closed) == len(engine.asked) < 40


def test_of_several_answers_the_likeliest_per_token_is_told(
    database: Database, admin: Actor
) -> None:
    """By the seed of each choice: the first is told -2 and -1 in the mean, the second -1."""
    likely: dict[str, list[float]] = {"-0": [-3.0, -1.0], "-1": [-1.0], "-2": [-0.5, -2.5, -3.0]}

    def script(request: Generate) -> list[Event | BaseException]:
        told = likely[request.id[-2:]]
        tokens = tuple(range(20, 20 + len(told)))
        return [
            Tokens(request.id, tokens, tuple(Logprob(value) for value in told)),
            Finished(request.id, FinishReason.LENGTH, len(told)),
        ]

    async def run() -> texts.TextCompletion:
        ask = replace(ASK, prompts=("a",), n=2, best_of=3)
        return await (await texts.begin(serving(database, Engine(script)), admin, ask)).whole()

    done = asyncio.run(run())
    assert [choice.index for choice in done.choices] == [0, 1]
    assert [[t.logprob for t in c.tokens] for c in done.choices] == [[-1.0], [-3.0, -1.0]]
    assert done.usage.completion_tokens == 6
