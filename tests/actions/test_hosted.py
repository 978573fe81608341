"""Chats with hosted models: what is refused before, what is recorded after, however it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

import httpx
import pytest

from modiste.actions import completions, hosted, upstreams
from modiste.actions.answers import Choice, Delta, Ended, Usage
from modiste.actions.completions import Ask
from modiste.actions.inference import Renderers, Serving
from modiste.actions.upstreams import Hosted
from modiste.errors import Busy, Forbidden, NotYetSupported, UpstreamFailed
from modiste.serve.sequence import FinishReason, Sampling
from modiste.serve.upstream import Upstreams
from modiste.store.database import Database
from modiste.types import Actor, Message, Model, Role, Scope, Spent, ToolCall

BIG = Hosted("big", "https://x.test/v1", model="theirs")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
ASK = Ask(model="big", messages=(Message(Role.USER, "hi"),))
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def big(database: Database, admin: Actor) -> Model:
    with database.transaction() as tx:
        return upstreams.add(tx, admin, replace(BIG, daily_tokens=20))


def whole(*texts: str) -> httpx.Response:
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
        for i, text in enumerate(texts)
    ]
    return httpx.Response(200, json={"id": "x", "choices": choices, "usage": USAGE})


def streamed(*deltas: object, usage: bool = True) -> httpx.Response:
    events = [{"choices": [{"index": 0, "delta": {"content": each}}]} for each in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events += [{"choices": [], "usage": USAGE}] if usage else []
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return httpx.Response(200, text=lines + "data: [DONE]\n\n")


class There:
    """The upstream; remembers what it was asked."""

    def __init__(self, database: Database, answer: httpx.Response) -> None:
        self.asked: list[dict[str, object]] = []
        self._answer = answer
        transport = lambda: httpx.MockTransport(self._handle)  # noqa: E731
        self.upstreams = Upstreams(database.settings, transport=transport)
        self.serving = Serving(database, None, Renderers(), self.upstreams)  # type: ignore[arg-type]
        self._database = database

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content))
        return self._answer

    async def begin(self, actor: Actor, model: Model, **body: object) -> hosted.HostedAnswer:
        sent = {"model": "big", "messages": [{"role": "user", "content": "hi"}], **body}
        return await hosted.begin(
            self._database, self.upstreams, actor, model, name="alias", body=sent
        )


def spent(database: Database) -> Spent:
    with database.transaction(write=False) as tx:
        return upstreams.spent_today(tx, "big")


def test_an_answer_has_the_name_that_was_asked_for_and_is_counted(
    database: Database, admin: Actor, big: Model
) -> None:
    there = There(database, whole("Hello."))

    async def ask() -> dict[str, object]:
        return await (await there.begin(admin, big, top_k=5)).whole()

    answer = asyncio.run(ask())
    assert (answer["model"], answer["object"]) == ("alias", "chat.completion")
    assert (there.asked[0]["model"], there.asked[0]["top_k"]) == ("theirs", 5)
    assert spent(database) == Spent(1, 7, 3, 0, 0)


def test_a_stream_that_is_left_is_counted_by_a_guess(
    database: Database, admin: Actor, big: Model
) -> None:
    there = There(database, streamed("x" * 40, "y" * 40))

    async def ask() -> None:
        async with aclosing((await there.begin(admin, big)).chunks()) as chunks:
            assert (await anext(chunks))["model"] == "alias"

    asyncio.run(ask())
    told = spent(database)
    assert (told.n_requests, told.n_estimated, told.completion_tokens) == (1, 1, 10)


def test_a_refused_request_costs_nothing(database: Database, admin: Actor, big: Model) -> None:
    there = There(database, httpx.Response(501, json={"message": "no"}))

    async def ask(stream: bool) -> None:
        answer = await there.begin(admin, big)
        if stream:
            async with aclosing(answer.chunks()) as chunks:
                await anext(chunks)
        else:
            await answer.whole()

    for stream in (False, True):
        with pytest.raises(UpstreamFailed, match=r"big \(x\.test\) failed with status 501: no"):
            asyncio.run(ask(stream))
    assert spent(database) == Spent()


def test_a_spent_budget_and_a_key_that_may_not_infer_send_nothing(
    database: Database, admin: Actor, big: Model
) -> None:
    there = There(database, whole("Hello."))
    with pytest.raises(Forbidden):
        asyncio.run(there.begin(replace(admin, scopes=frozenset({Scope.DATA})), big))

    async def ask() -> None:
        await (await there.begin(admin, big)).whole()

    asyncio.run(ask())
    asyncio.run(ask())
    with pytest.raises(Busy, match="20 of 20 tokens"):
        asyncio.run(ask())
    assert len(there.asked) == 2


def test_completions_of_our_own_words_go_there_and_come_back_as_text(
    database: Database, admin: Actor, big: Model
) -> None:
    there = There(database, whole("One.", "Two."))
    asked = replace(ASK, sampling=Sampling(temperature=0.0, seed=3, max_tokens=9), n=2, stop=("x",))
    done = asyncio.run(completions.create(there.serving, admin, asked))
    assert done.choices == (
        Choice(0, "One.", FinishReason.LENGTH),
        Choice(1, "Two.", FinishReason.LENGTH),
    )
    assert done.usage == Usage(7, 3)
    assert there.asked == [
        {
            **{"model": "theirs", "messages": [{"role": "user", "content": "hi"}]},
            **{"stop": ["x"], "temperature": 0.0, "max_tokens": 9, "seed": 3, "n": 2},
        }
    ]


def test_a_stream_of_our_own_words_has_deltas_an_end_and_the_usage(
    database: Database, admin: Actor, big: Model
) -> None:
    there = There(database, streamed("Hel", [{"type": "text", "text": "lo"}]))

    async def ask() -> list[object]:
        answer = await completions.begin(there.serving, admin, ASK)
        async with aclosing(answer.events()) as events:
            return [event async for event in events]

    assert asyncio.run(ask()) == [
        Delta(0, "Hel"),
        Delta(0, "lo"),
        Ended(0, FinishReason.STOP, 2),
        Usage(7, 3),
    ]


def test_tool_turns_and_prefixes_of_our_words_are_said_in_theirs() -> None:
    call = ToolCall("c1", "f", "{}")
    messages = (
        Message(Role.USER, "hi"),
        Message(Role.ASSISTANT, None, (call,)),
        Message(Role.TOOL, "4", tool_call_id="c1", name="f"),
        Message(Role.ASSISTANT, "So", prefix=True),
    )
    told = hosted.body_of(replace(ASK, messages=messages))["messages"]
    function = {"name": "f", "arguments": "{}"}
    assert told[1:] == [
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "4", "tool_call_id": "c1", "name": "f"},
        {"role": "assistant", "content": "So", "prefix": True},
    ]


def test_a_field_of_our_words_that_has_no_word_there_is_refused_by_name() -> None:
    import dataclasses

    wider = dataclasses.make_dataclass("Wider", [("grammar", str, "")], bases=(Ask,), frozen=True)
    with pytest.raises(NotYetSupported, match="grammar"):
        hosted.body_of(wider("big", ASK.messages, grammar="x"))
