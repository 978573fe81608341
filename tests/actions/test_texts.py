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
from modiste.serve.sequence import Event, Failed, FailureCode, Generate, Tokens
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
