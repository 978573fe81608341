"""A prompt meets a model: what is refused before it, and every way it can end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import modiste
from modiste.actions import completions, models
from modiste.actions.completions import (
    Answer,
    Ask,
    Completion,
    Delta,
    Ended,
    Renderers,
    Serving,
    Usage,
)
from modiste.errors import BadRequest, Busy, Forbidden, ModisteError, NotFound, Unavailable
from modiste.prepare import render
from modiste.serve.sequence import Event, Failed, FailureCode, Finished, FinishReason, Generate
from modiste.serve.sequence import Tokens as Told
from modiste.store.database import Database
from modiste.types import Actor, Message, Role, Scope

HI = (Message(Role.USER, "hi"),)
ASK = Ask(model="modiste-tiny", messages=HI)
Script = Callable[[Generate], list[Event | BaseException]]


@dataclass
class Engine:
    """Tells what its script says for each request."""

    script: Script
    asked: list[Generate] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def generate(self, request: Generate) -> AsyncGenerator[Event]:
        self.asked.append(request)
        try:
            for event in self.script(request):
                await asyncio.sleep(0)
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.closed.append(request.id)


@pytest.fixture
def tokens(database: Database, admin: Actor) -> Callable[[str], tuple[int, ...]]:
    with database.transaction(write=False) as tx:
        renderer = render.load(Path(models.get(tx, admin, "modiste-tiny").path))
    return lambda text: tuple(renderer.encode(text))


def says(ids: tuple[int, ...], *, reason: FinishReason = FinishReason.STOP) -> Script:
    """All tokens in one event, as an engine that runs ahead does."""
    stop = int(reason is FinishReason.STOP)
    return lambda request: [
        Told(request.id, ids),
        Finished(request.id, reason, len(ids) + stop),
    ]


def run(database: Database, actor: Actor, engine: Engine, ask: Ask) -> Completion:
    serving = Serving(database, engine, Renderers())  # type: ignore[arg-type]
    return asyncio.run(completions.create(serving, actor, ask))


def stream(
    database: Database, actor: Actor, engine: Engine, ask: Ask
) -> list[Delta | Ended | Usage]:
    async def read() -> list[Delta | Ended | Usage]:
        serving = Serving(database, engine, Renderers())  # type: ignore[arg-type]
        answer: Answer = await completions.begin(serving, actor, ask)
        async with aclosing(answer.events()) as events:
            return [event async for event in events]

    return asyncio.run(read())


def test_usage_counts_the_prompt_once_and_every_drawn_token(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    engine = Engine(says(tokens("Good day.")))
    done = run(database, admin, engine, replace(ASK, n=3))
    assert [choice.text for choice in done.choices] == ["Good day."] * 3
    n_each = len(tokens("Good day.")) + 1
    assert done.usage == Usage(len(engine.asked[0].ids), 3 * n_each)


def test_a_stop_string_ends_the_count_at_the_token_that_completed_it(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    ids = tokens("one two three four")
    engine = Engine(says(ids))
    done = run(database, admin, engine, replace(ASK, stop=("two",)))
    assert done.choices[0].text == "one "
    assert done.choices[0].reason is FinishReason.STOP
    n_until = next(n for n in range(len(ids)) if "two" in _text(database, admin, ids[:n]))
    assert done.usage.completion_tokens == n_until


def _text(database: Database, admin: Actor, ids: tuple[int, ...]) -> str:
    with database.transaction(write=False) as tx:
        return render.load(Path(models.get(tx, admin, "modiste-tiny").path)).decode(ids)


def test_the_same_seed_asks_the_engine_for_the_same_and_another_for_another(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    def seeds(seed: int | None) -> list[int | None]:
        engine = Engine(says(tokens("x")))
        run(database, admin, engine, replace(ASK, n=2, seed=seed))
        return sorted(request.sampling.seed or 0 for request in engine.asked)

    assert seeds(5) == seeds(5)
    assert 5 in seeds(5)
    assert not set(seeds(5)) & set(seeds(6))
    # Two draws of 62 random bits agree once in 4.6e18 runs.
    assert seeds(None) != seeds(None)


def test_a_character_that_the_length_cut_in_half_is_marked_and_not_lost(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    ids = tokens("🙂")
    assert len(ids) > 1, "this base spells the character in several tokens"
    engine = Engine(says(ids[:-1], reason=FinishReason.LENGTH))
    done = run(database, admin, engine, ASK)
    assert done.choices[0].text == "\ufffd"
    assert done.choices[0].reason is FinishReason.LENGTH


def test_text_held_for_a_stop_string_comes_out_at_the_end(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    engine = Engine(says(tokens("almost sto")))
    done = run(database, admin, engine, replace(ASK, stop=("stop",)))
    assert done.choices[0].text == "almost sto"


def test_the_usage_is_the_last_event(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    told = stream(database, admin, Engine(says(tokens("a b"))), replace(ASK, n=2))
    assert isinstance(told[-1], Usage)
    assert sorted(e.index for e in told if isinstance(e, Ended)) == [0, 1]
    for index in (0, 1):
        mine = [e for e in told if isinstance(e, Delta | Ended) and e.index == index]
        assert isinstance(mine[-1], Ended)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (FailureCode.BUSY, Busy),
        (FailureCode.RESTARTING, Unavailable),
        (FailureCode.TOO_LONG, BadRequest),
        (FailureCode.ADAPTER, Unavailable),
    ],
)
def test_what_the_engine_refuses_its_caller_is_told(
    database: Database, admin: Actor, code: FailureCode, kind: type[ModisteError]
) -> None:
    engine = Engine(lambda request: [Failed(request.id, code, "because", 2.0)])
    with pytest.raises(kind, match="because") as caught:
        run(database, admin, engine, ASK)
    assert caught.value.retry_after_s == 2.0


def test_one_failing_choice_ends_all_and_leaves_nothing_running(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    def script(request: Generate) -> list[Event | BaseException]:
        if request.id.endswith("-1"):
            return [Failed(request.id, FailureCode.BUSY, "full")]
        return [Told(request.id, tokens("a"))] * 1000

    engine = Engine(script)
    with pytest.raises(Busy):
        run(database, admin, engine, replace(ASK, n=3))
    assert sorted(engine.closed) == sorted(request.id for request in engine.asked)


@pytest.mark.parametrize("n", [1, 2])
def test_a_mistake_of_ours_is_raised_and_does_not_hang(
    database: Database, admin: Actor, n: int
) -> None:
    engine = Engine(lambda request: [ZeroDivisionError("ours")])
    with pytest.raises(ZeroDivisionError):
        run(database, admin, engine, replace(ASK, n=n))


def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    for ending in ([], [Finished("x", FinishReason.CANCELLED, 1)]):
        engine = Engine(lambda request, e=ending: [Told(request.id, tokens("a")), *e])  # type: ignore[misc]
        with pytest.raises(Unavailable, match="again"):
            run(database, admin, engine, ASK)


def test_leaving_a_stream_early_closes_its_sequences(
    database: Database, admin: Actor, tokens: Callable[[str], tuple[int, ...]]
) -> None:
    engine = Engine(lambda request: [Told(request.id, tokens("a"))] * 1000)

    async def leave() -> None:
        serving = Serving(database, engine, Renderers())  # type: ignore[arg-type]
        answer = await completions.begin(serving, admin, replace(ASK, n=2))
        async with aclosing(answer.events()) as events:
            await anext(events)

    asyncio.run(leave())
    assert sorted(engine.closed) == sorted(request.id for request in engine.asked)


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
    run(database, admin, engine, replace(ASK, max_tokens=10**6))
    with database.transaction(write=False) as tx:
        context = models.get(tx, admin, "modiste-tiny").max_context_length
    asked = engine.asked[0]
    assert asked.sampling.max_tokens == context - len(asked.ids)


def test_a_renderer_is_loaded_once_per_base(
    database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction(write=False) as tx:
        base = Path(models.get(tx, admin, "modiste-tiny").path)
    loaded: list[Path] = []
    really = render.load

    def load(path: Path) -> render.Renderer:
        loaded.append(path)
        return really(path)

    monkeypatch.setattr(render, "load", load)

    async def many() -> None:
        renderers = Renderers()
        found = await asyncio.gather(*(renderers.get(base) for _ in range(5)))
        assert all(each is found[0] for each in found)

    asyncio.run(many())
    assert loaded == [base]


def test_a_model_that_the_engine_cannot_compute_is_refused_with_a_way_out(
    database: Database, admin: Actor, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(random_base("mixtral", vocab_size=4096), tmp_path / "base"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(Path(modiste.__file__).parent / "bases" / "tiny" / name, base / name)
    models.add_base(database, admin, name="experts", path=str(base))
    with pytest.raises(
        BadRequest, match="experts is not served here: model_type 'mixtral'"
    ) as told:
        run(database, admin, Engine(says((1,))), replace(ASK, model="experts"))
    assert told.value.error_code == "model_not_served"
    assert "modiste models export experts --form merged" in told.value.message
