"""A prompt meets a model: what is refused before it, and what the engine is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import completions, models
from modiste.actions.answers import Completion, Usage
from modiste.actions.completions import Ask
from modiste.actions.inference import Renderers, Serving
from modiste.actions.wishes import Tool, ToolChoice, Tools
from modiste.errors import BadRequest, Forbidden, InvalidInput, NotFound
from modiste.prepare import render
from modiste.prepare.manner import Effort
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


F = Tool({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}})


def test_tools_are_in_the_prompt_and_a_forced_call_has_a_grammar(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    engine = Engine(says(tokens("x")))
    for tools in (Tools(), Tools((F,)), Tools((F,), ToolChoice.ANY)):
        run(database, admin, engine, replace(ASK, tools=tools))
    without, free, forced = engine.asked
    assert len(without.ids) < len(free.ids) == len(forced.ids)
    assert without.grammar is free.grammar is None
    assert forced.grammar is not None
    run(database, admin, engine, replace(ASK, schema={"type": "object"}))
    assert engine.asked[-1].grammar is not None
    begun = (*HI, Message(Role.ASSISTANT, '{"a', prefix=True))
    run(database, admin, engine, replace(ASK, messages=begun, schema={"type": "object"}))
    grammar = engine.asked[-1].grammar
    assert grammar is not None
    assert grammar.begun == '{"a'


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"effort": Effort.HIGH}, "reasoning_effort"),
        ({"messages": (*HI, Message(Role.ASSISTANT, "x", thought="t"), *HI)}, "messages[1]"),
        ({"sampling": Sampling(logit_bias={10**6: 1.0})}, "logit_bias"),
        (
            {
                "messages": (*HI, Message(Role.ASSISTANT, "x", prefix=True)),
                "tools": Tools((F,), ToolChoice.ANY),
            },
            "tool_choice",
        ),
    ],
)
def test_what_the_base_cannot_be_held_to_is_refused_by_name(
    database: Database, admin: Actor, wish: dict[str, Any], param: str
) -> None:
    engine = Engine(lambda request: [])
    with pytest.raises(InvalidInput) as caught:
        run(database, admin, engine, replace(ASK, **wish))
    assert caught.value.param == param
    assert engine.asked == []


def test_no_effort_is_no_wish_of_a_base_that_does_not_think(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    engine = Engine(says(tokens("x")))
    for effort in (None, Effort.NONE):
        run(database, admin, engine, replace(ASK, effort=effort))
    assert engine.asked[0].ids == engine.asked[1].ids
