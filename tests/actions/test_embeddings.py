"""Who may ask for vectors, how many at once, and how a request ends early."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from modiste.actions import embeddings
from modiste.actions.embeddings import AT_ONCE, EmbedAsk
from modiste.actions.inference import Renderers, Serving
from modiste.errors import Busy, Forbidden
from modiste.serve.sequence import Embed
from modiste.store.database import Database
from modiste.types import Actor, Scope

ASK = EmbedAsk("modiste-tiny", ((5, 6),) * 300)


@dataclass
class Engine:
    running: int = 0
    most: int = 0
    asked: int = 0
    fails_at: int = -1

    async def embed(self, request: Embed) -> tuple[float, ...]:
        self.asked += 1
        if self.asked == self.fails_at:
            raise Busy("full")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0.001)
        finally:
            self.running -= 1
        return (1.0, 0.0)


def serving(database: Database, engine: Engine) -> Serving:
    return Serving(database, engine, Renderers())  # type: ignore[arg-type]


def test_only_so_many_texts_are_in_the_engine_at_once(database: Database, admin: Actor) -> None:
    engine = Engine()
    made = asyncio.run(embeddings.create(serving(database, engine), admin, ASK))
    assert made.vectors.shape == (300, 2)
    assert made.n_tokens == 600
    assert 1 < engine.most <= AT_ONCE


def test_one_failure_ends_the_request_and_everything_it_asked(
    database: Database, admin: Actor
) -> None:
    engine = Engine(fails_at=70)
    with pytest.raises(Busy, match="full"):
        asyncio.run(embeddings.create(serving(database, engine), admin, ASK))
    assert engine.running == 0
    assert engine.asked < 300


def test_leaving_ends_everything_it_asked(database: Database, admin: Actor) -> None:
    engine = Engine()

    async def leave() -> None:
        making = embeddings.create(serving(database, engine), admin, ASK)
        task = asyncio.create_task(making)
        while engine.running == 0:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    assert engine.running == 0
    assert engine.asked < 300


def test_a_key_without_the_scope_may_not_embed(database: Database, admin: Actor) -> None:
    engine = Engine()
    stranger = replace(admin, scopes=frozenset({Scope.DATA}))
    with pytest.raises(Forbidden, match="infer"):
        asyncio.run(embeddings.create(serving(database, engine), stranger, ASK))
    assert engine.asked == 0
