"""What the events of an answer are called on the wire, and where its usage stands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from modiste.actions.answers import Delta, Ended, Usage
from modiste.api.chat_shapes import StreamOptions
from modiste.api.chat_stream import Head, UsagePlace, chunks, place_of_usage
from modiste.api.dialect import Dialect
from modiste.api.sse import DONE
from modiste.serve.sequence import FinishReason

HEAD = Head("id", 1, "m")


async def _events() -> AsyncGenerator[Delta | Ended | Usage]:
    yield Delta(1, "b")
    yield Delta(0, "a")
    yield Ended(1, FinishReason.LENGTH, 4)
    yield Ended(0, FinishReason.STOP, 5)
    yield Usage(3, 9)


def told(usage: UsagePlace) -> list[dict[str, Any]]:
    async def read() -> list[bytes]:
        return [chunk async for chunk in chunks(_events(), HEAD, n=2, usage=usage)]

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
    total = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
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
