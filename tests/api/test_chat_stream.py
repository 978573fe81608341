"""What the events of an answer are called on the wire, and where its usage stands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from modiste.actions.answers import Calls, Delta, Ended, Event, Thinks, Usage
from modiste.api.chat_answers import Voice, chat_usage_out
from modiste.api.chat_shapes import StreamOptions
from modiste.api.chat_stream import Head, UsagePlace, chunks, place_of_usage
from modiste.api.dialect import Dialect
from modiste.api.sse import DONE
from modiste.serve.sequence import FinishReason
from modiste.types import ToolCall

HEAD = Head("id", 1, "m")


async def _events() -> AsyncGenerator[Event | Usage]:
    yield Delta(1, "b")
    yield Delta(0, "a")
    yield Ended(1, FinishReason.LENGTH, 4)
    yield Ended(0, FinishReason.STOP, 5)
    yield Usage(3, 9)


async def _calling() -> AsyncGenerator[Event | Usage]:
    yield Calls(1, ToolCall("a1B2c3D4e", "f", "{}"))
    yield Delta(0, "a")
    yield Calls(0, ToolCall("b1B2c3D4e", "g", '{"a": 1}'))
    yield Calls(1, ToolCall("c1B2c3D4e", "f", "{}"))
    yield Ended(1, FinishReason.STOP, 4, called=True)
    yield Ended(0, FinishReason.LENGTH, 5)
    yield Usage(3, 9)


async def _thinking() -> AsyncGenerator[Event | Usage]:
    yield Thinks(0, "so")
    yield Delta(0, "a")
    yield Ended(0, FinishReason.STOP, 4, n_thought=2)
    yield Usage(3, 4, 2)


def told(
    usage: UsagePlace,
    events: Callable[[], AsyncGenerator[Event | Usage]] = _events,
    voice: Voice = Voice(),
) -> list[dict[str, Any]]:
    async def read() -> list[bytes]:
        return [chunk async for chunk in chunks(events(), HEAD, n=2, usage=usage, voice=voice)]

    lines = asyncio.run(read())
    assert lines[-1] == DONE
    return [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1]]


def test_each_choice_opens_with_its_role_and_ends_with_its_reason() -> None:
    said = told(UsagePlace.NOWHERE)
    assert [c["delta"].get("role") for chunk in said[:2] for c in chunk["choices"]] == [
        "assistant",
        "assistant",
    ]
    ends = [
        (c["index"], c["finish_reason"])
        for chunk in said
        for c in chunk["choices"]
        if c["finish_reason"]
    ]
    assert ends == [(1, "length"), (0, "stop")]
    assert all(chunk.items() >= HEAD._asdict().items() for chunk in said)
    assert not any("usage" in chunk for chunk in said)


def test_usage_stands_with_the_end_or_after_it() -> None:
    total = chat_usage_out(Usage(3, 9)).model_dump()
    assert total["total_tokens"] == 12
    with_it = told(UsagePlace.WITH_THE_END)[-1]
    assert with_it["choices"][0]["finish_reason"] == "stop"
    assert with_it["usage"] == total
    *_, last, behind = told(UsagePlace.AFTER_THE_END)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert (behind["choices"], behind["usage"]) == ([], total)


@pytest.mark.parametrize(
    ("options", "dialect", "place"),
    [
        (None, Dialect.MISTRAL, UsagePlace.WITH_THE_END),
        (None, Dialect.OPENAI, UsagePlace.NOWHERE),
        (StreamOptions(), Dialect.OPENAI, UsagePlace.NOWHERE),
        (StreamOptions(include_usage=True), Dialect.OPENAI, UsagePlace.AFTER_THE_END),
    ],
)
def test_each_vendors_clients_look_for_usage_elsewhere(
    options: StreamOptions | None, dialect: Dialect, place: UsagePlace
) -> None:
    assert place_of_usage(options, dialect) is place


def test_each_call_comes_whole_and_is_numbered_within_its_choice() -> None:
    said = [c for chunk in told(UsagePlace.NOWHERE, _calling) for c in chunk["choices"]]
    calls = [(c["index"], *c["delta"]["tool_calls"]) for c in said if "tool_calls" in c["delta"]]
    assert [(index, call["index"], call["id"]) for index, call in calls] == [
        (1, 0, "a1B2c3D4e"),
        (0, 0, "b1B2c3D4e"),
        (1, 1, "c1B2c3D4e"),
    ]
    assert calls[1][1]["function"] == {"name": "g", "arguments": '{"a": 1}'}
    ends = {c["index"]: c["finish_reason"] for c in said if c["finish_reason"]}
    assert ends == {1: "tool_calls", 0: "length"}


def test_thoughts_come_as_chunks_of_the_content_or_in_a_field_beside_it() -> None:
    def deltas(voice: Voice) -> list[Any]:
        said = told(UsagePlace.NOWHERE, _thinking, voice)
        return [c["delta"] for chunk in said[2:] for c in chunk["choices"]]

    assert deltas(Voice())[0] == {"reasoning_content": "so"}
    (chunk,) = deltas(Voice(chunks=True))[0]["content"]
    assert (chunk["type"], chunk["thinking"][0]["text"]) == ("thinking", "so")
    assert deltas(Voice(chunks=True))[1] == {"content": "a"}
