"""A prompt meets a model: what is refused before it, and what the engine is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modiste.actions import completions, models
from modiste.actions.answers import Completion, Usage
from modiste.actions.completions import Ask
from modiste.actions.inference import Renderers, Serving
from modiste.errors import BadRequest, Forbidden, NotFound
from modiste.prepare import render
from modiste.serve.sequence import Sampling
from modiste.store.database import Database
from modiste.types import Actor, Message, Role, Scope

from .engines import Engine, says

HI = (Message(Role.USER, "hi"),)
ASK = Ask(model="modiste-tiny", messages=HI)


@pytest.fixture
def tokens(database: Database, admin: Actor) -> Callable[[str], tuple[int, ...]]:
    with database.transaction(write=False) as tx:
        renderer = render.load(Path(models.get(tx, admin, "modiste-tiny").path))
    return lambda text: tuple(renderer.encode(text))


def run(database: Database, actor: Actor, engine: Engine, ask: Ask) -> Completion:
    serving = Serving(database, engine, Renderers())  # type: ignore[arg-type]
    return asyncio.run(completions.create(serving, actor, ask))


def test_usage_counts_the_prompt_once_and_every_drawn_token(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    engine = Engine(says(tokens("Good day.")))
    done = run(database, admin, engine, replace(ASK, n=3))
    assert [choice.text for choice in done.choices] == ["Good day."] * 3
    n_each = len(tokens("Good day.")) + 1
    assert done.usage == Usage(len(engine.asked[0].ids), 3 * n_each)


def test_the_same_seed_asks_the_engine_for_the_same_and_another_for_another(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    def seeds(seed: int | None) -> list[int | None]:
        engine = Engine(says(tokens("x")))
        run(database, admin, engine, replace(ASK, n=2, sampling=Sampling(seed=seed)))
        return sorted(request.sampling.seed or 0 for request in engine.asked)

    assert seeds(5) == seeds(5)
    assert 5 in seeds(5)
    assert not set(seeds(5)) & set(seeds(6))
    # Two draws of 62 random bits agree once in 4.6e18 runs.
    assert seeds(None) != seeds(None)


def test_what_can_be_refused_is_refused_before_the_engine_is_asked(
    database: Database, admin: Actor
) -> None:
    engine = Engine(lambda request: [])
    stranger = replace(admin, scopes=frozenset({Scope.DATA}))
    with pytest.raises(Forbidden, match="infer"):
        run(database, stranger, engine, ASK)
    with pytest.raises(NotFound, match="modiste models add"):
        run(database, admin, engine, replace(ASK, model="mistral-small-latest"))
    long = (Message(Role.USER, "word " * 3000),)
    with pytest.raises(BadRequest, match="reads at most") as caught:
        run(database, admin, engine, replace(ASK, messages=long))
    assert caught.value.error_code == "context_length_exceeded"
    with pytest.raises(BadRequest):
        run(database, admin, engine, replace(ASK, messages=(Message(Role.ASSISTANT, "x"),)))
    assert engine.asked == []


def test_more_tokens_than_fit_are_as_many_as_fit(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    engine = Engine(says(tokens("x")))
    run(database, admin, engine, replace(ASK, sampling=Sampling(max_tokens=10**6)))
    with database.transaction(write=False) as tx:
        context = models.get(tx, admin, "modiste-tiny").max_context_length
    asked = engine.asked[0]
    assert asked.sampling.max_tokens == context - len(asked.ids)
