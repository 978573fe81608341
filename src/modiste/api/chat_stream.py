"""Answers in the shape of a chat, whole or as chunks, for every route that speaks it.

A stream opens once the engine has spoken, or after a little patience, so that what fails at once
still has a status of its own. The engine stops as soon as the client is gone, streamed or not.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from enum import Enum, auto
from typing import Any, NamedTuple
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions.answers import Answer, Calls, Delta, Ended, Event, Prompted, Thinks, Usage
from modiste.actions.guarded_answers import GuardedAnswer
from modiste.actions.hosted import Told
from modiste.actions.reading import Drawn
from modiste.api import dialect, refusals
from modiste.api.chat_answers import (
    ChatCompletion,
    Voice,
    call_out,
    chat_usage_out,
    completion_out,
    fingerprint_out,
    logprobs_out,
    reason_out,
    think_chunk,
)
from modiste.api.chat_shapes import StreamOptions
from modiste.api.dialect import Dialect
from modiste.api.sse import DONE, EventStream, data, peeked, while_connected
from modiste.errors import ModisteError

PATIENCE_S = 2.0
CHAT_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "model": ChatCompletion,
        "content": {
            "text/event-stream": {"schema": {"$ref": "#/components/schemas/ChatCompletionChunk"}}
        },
    }
}
"""What such a route says of its answer in the OpenAPI document."""


async def respond(
    request: Request,
    answer: Answer | Told | GuardedAnswer,
    *,
    model: str,
    n: int,
    stream: bool | None,
    options: StreamOptions | None,
) -> Response:
    """The answer under the name that was asked for."""
    head = Head.of(model)
    if not stream:
        completion = await while_connected(request, answer.whole())
        return JSONResponse(completion_out(completion, **head._asdict(), voice=voice_of(request)))
    events = await peeked(answer.events(), patience_s=PATIENCE_S)
    usage = place_of_usage(options, dialect.of(request))
    return EventStream(
        chunks(events, head, n=n, usage=usage, voice=voice_of(request)),
        on_error=lambda error: data(error_event(request, error)),
    )


class Head(NamedTuple):
    """What an answer and every chunk of it repeat."""

    id: str
    created: int
    model: str

    @classmethod
    def of(cls, model: str) -> Head:
        return cls(uuid4().hex, int(time.time()), model)


def voice_of(request: Request) -> Voice:
    """As the caller's client parses it."""
    if dialect.of(request) is Dialect.OPENAI:
        return Voice(silent=None)
    return Voice(chunks=not dialect.knows_no_thoughts(request))


class UsagePlace(Enum):
    WITH_THE_END = auto()
    """In the chunk of the last finish reason: Mistral's way."""
    AFTER_THE_END = auto()
    """In a chunk of its own without choices: OpenAI's, for `stream_options.include_usage`."""
    NOWHERE = auto()


def place_of_usage(options: StreamOptions | None, spoken: Dialect) -> UsagePlace:
    if spoken is Dialect.MISTRAL:
        return UsagePlace.WITH_THE_END
    wanted = options is not None and options.include_usage
    return UsagePlace.AFTER_THE_END if wanted else UsagePlace.NOWHERE


async def chunks(
    events: AsyncGenerator[Event | Usage],
    head: Head,
    *,
    n: int,
    usage: UsagePlace,
    voice: Voice = Voice(),
) -> AsyncGenerator[bytes]:
    """What each event is called on the wire; the last to end carries the end of the answer."""

    def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
        kind = {"object": "chat.completion.chunk"}
        return data({**head._asdict(), **kind, "choices": list(choices), **more})

    for index in range(n):
        yield chunk(_choice(index, {"role": "assistant", "content": ""}))
    last: dict[str, Any] | None = None
    made_under: dict[str, str] = {}
    n_calls = [0] * n
    async with aclosing(events):
        async for event in events:
            match event:
                case Prompted(drawn, index):
                    of_prompt = logprobs_out(drawn).model_dump()
                    silent = _choice(index, {"content": ""})
                    yield chunk({**silent, "prompt_logprobs": of_prompt})
                case Delta(index, text, drawn):
                    yield chunk(_choice(index, {"content": text}, drawn))
                case Calls(index, call):
                    told = call_out(call, n_calls[index]).model_dump()
                    n_calls[index] += 1
                    yield chunk(_choice(index, {"tool_calls": [told]}))
                case Thinks(index, text):
                    yield chunk(_choice(index, _thought(text, voice)))
                case Ended(index, reason, called=called, fingerprint=fingerprint):
                    if last is not None:
                        yield chunk(last, **made_under)
                    made_under = fingerprint_out(fingerprint)
                    last = _choice(index, {"content": ""})
                    last["finish_reason"] = reason_out(reason, called=called)
                case Usage():
                    total = chat_usage_out(event).model_dump()
                    ending = [last] if last is not None else []
                    with_it = {"usage": total} if usage is UsagePlace.WITH_THE_END else {}
                    yield chunk(*ending, **with_it, **made_under)
                    if usage is UsagePlace.AFTER_THE_END:
                        yield chunk(usage=total)
    yield DONE


def _thought(text: str, voice: Voice) -> dict[str, Any]:
    if not voice.chunks:
        return {"reasoning_content": text}
    return {"content": [think_chunk(text, closed=False).model_dump()]}


def _choice(index: int, delta: dict[str, Any], drawn: Sequence[Drawn] = ()) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": None}
    return choice | {"logprobs": logprobs_out(drawn).model_dump()} if drawn else choice


def error_event(request: Request, error: ModisteError) -> dict[str, Any]:
    """Both vendors' error in one object: a reader of either kind raises on it."""
    fault, path = refusals.fault_of(error), request.scope["path"]
    said: dict[str, Any] = {}
    for each in Dialect:
        said |= refusals.refuse(fault, dialect=each, path=path, request_id="").body
    return said
