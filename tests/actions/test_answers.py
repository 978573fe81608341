"""Every way an accepted answer can end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import modiste
from modiste.actions.answers import Answer, Completion, Delta, Ended, Usage
from modiste.errors import BadRequest, Busy, ModisteError, Unavailable
from modiste.prepare import render
from modiste.serve.sequence import (
    Event,
    Failed,
    FailureCode,
    Finished,
    FinishReason,
    Generate,
    Sampling,
    Tokens,
)

from .engines import Engine, says

RENDERER = render.load(Path(modiste.__file__).parent / "bases" / "tiny")
PROMPT = Generate("p", "base", (1, 3, 4), sampling=Sampling(max_tokens=100, seed=7))


def tokens(text: str) -> tuple[int, ...]:
    return tuple(RENDERER.encode(text))


def answer(engine: Engine, **options: Any) -> Answer:
    return Answer(PROMPT, engine=engine, renderer=RENDERER, **options)  # type: ignore[arg-type]


def whole(engine: Engine, **options: Any) -> Completion:
    return asyncio.run(answer(engine, **options).whole())


def stream(engine: Engine, **options: Any) -> list[Delta | Ended | Usage]:
    async def read() -> list[Delta | Ended | Usage]:
        async with aclosing(answer(engine, **options).events()) as events:
            return [event async for event in events]

    return asyncio.run(read())


def test_a_stop_string_ends_the_count_at_the_token_that_completed_it() -> None:
    ids = tokens("one two three four")
    engine = Engine(says(ids))
    done = whole(engine, stop=("two",))
    assert done.choices[0].text == "one "
    assert done.choices[0].reason is FinishReason.STOP
    n_until = next(n for n in range(len(ids)) if "two" in RENDERER.decode(ids[:n]))
    assert done.usage.completion_tokens == n_until


def test_a_character_that_the_length_cut_in_half_is_marked_and_not_lost() -> None:
    ids = tokens("🙂")
    assert len(ids) > 1, "this base spells the character in several tokens"
    engine = Engine(says(ids[:-1], reason=FinishReason.LENGTH))
    done = whole(engine)
    assert done.choices[0].text == "\ufffd"
    assert done.choices[0].reason is FinishReason.LENGTH


def test_text_held_for_a_stop_string_comes_out_at_the_end() -> None:
    engine = Engine(says(tokens("almost sto")))
    done = whole(engine, stop=("stop",))
    assert done.choices[0].text == "almost sto"


def test_the_usage_is_the_last_event() -> None:
    told = stream(Engine(says(tokens("a b"))), n=2)
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
    code: FailureCode, kind: type[ModisteError]
) -> None:
    engine = Engine(lambda request: [Failed(request.id, code, "because", 2.0)])
    with pytest.raises(kind, match="because") as caught:
        whole(engine)
    assert caught.value.retry_after_s == 2.0


def test_one_failing_choice_ends_all_and_leaves_nothing_running() -> None:
    def script(request: Generate) -> list[Event | BaseException]:
        if request.id.endswith("-1"):
            return [Failed(request.id, FailureCode.BUSY, "full")]
        return [Tokens(request.id, tokens("a"))] * 1000

    engine = Engine(script)
    with pytest.raises(Busy):
        whole(engine, n=3)
    assert sorted(engine.closed) == sorted(request.id for request in engine.asked)


@pytest.mark.parametrize("n", [1, 2])
def test_a_mistake_of_ours_is_raised_and_does_not_hang(n: int) -> None:
    engine = Engine(lambda request: [ZeroDivisionError("ours")])
    with pytest.raises(ZeroDivisionError):
        whole(engine, n=n)


def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one() -> None:
    for ending in ([], [Finished("x", FinishReason.CANCELLED, 1)]):
        engine = Engine(lambda request, e=ending: [Tokens(request.id, tokens("a")), *e])  # type: ignore[misc]
        with pytest.raises(Unavailable, match="again"):
            whole(engine)


def test_leaving_a_stream_early_closes_its_sequences() -> None:
    engine = Engine(lambda request: [Tokens(request.id, tokens("a"))] * 1000)

    async def leave() -> None:
        async with aclosing(answer(engine, n=2).events()) as events:
            await anext(events)

    asyncio.run(leave())
    assert sorted(engine.closed) == sorted(request.id for request in engine.asked)


def test_the_opening_is_shown_first_and_not_before_the_engine_speaks() -> None:
    told = stream(Engine(says(tokens("there"))), n=2, opening="Well, ")
    first = next(e for e in told if isinstance(e, Delta) and e.index == 1)
    assert first.text.startswith("Well, ")
    engine = Engine(lambda request: [Failed(request.id, FailureCode.BUSY, "full")])
    with pytest.raises(Busy):
        stream(engine, opening="Well, ")
