"""Routes of inference: chat completions, whole or streamed, in one shape for both dialects.

A stream opens once the engine has spoken, or after a little patience, so that what fails at once
still has a status of its own. The engine stops as soon as the client is gone, streamed or not.
FIM and embeddings are refused by name.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import Enum, auto
from typing import Any, NamedTuple
from uuid import uuid4

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import completions
from modiste.actions.answers import Delta, Ended, Usage
from modiste.actions.completions import Ask
from modiste.api import dialect, refusals
from modiste.api.chat_shapes import (
    ChatCompletion,
    ChatRequest,
    ask_of,
    completion_out,
    reason_out,
    usage_out,
)
from modiste.api.dialect import Dialect
from modiste.api.door import Asker, checked, documents, house, json_body
from modiste.api.sse import DONE, EventStream, data, peeked, while_connected
from modiste.errors import ModisteError, NotYetSupported

PATIENCE_S = 2.0
MAX_TEMPERATURE = {Dialect.MISTRAL: 1.5, Dialect.OPENAI: 2.0}
router = APIRouter(tags=["inference"])


@router.post(
    "/chat/completions",
    responses={
        200: {
            "model": ChatCompletion,
            "content": {
                "text/event-stream": {
                    "schema": {"$ref": "#/components/schemas/ChatCompletionChunk"}
                }
            },
        }
    },
    openapi_extra=documents(ChatRequest),
)
async def chat(request: Request, actor: Asker) -> Response:
    """Continue a conversation. With `stream` the answer is a stream of chunks, then `[DONE]`."""
    body = checked(ChatRequest, await json_body(request))
    spoken = dialect.of(request)
    ask = ask_of(body, max_temperature=MAX_TEMPERATURE[spoken])
    answer = await completions.begin(house(request).serving, actor, ask)
    head = _Head(uuid4().hex, int(time.time()), ask.model)
    if not body.stream:
        completion = await while_connected(request, answer.whole())
        return JSONResponse(completion_out(completion, **head._asdict()).model_dump())
    events = await peeked(answer.events(), patience_s=PATIENCE_S)
    return EventStream(
        _chunks(events, ask, head, usage=_place_of_usage(body, spoken)),
        on_error=lambda error: data(_error_event(request, error)),
    )


@router.post("/fim/completions", responses={200: {"model": ChatCompletion}})
async def fim(request: Request, actor: Asker) -> Response:
    """Not in this version: answers 422."""
    raise _later("Fill-in-the-middle completions")


@router.post("/embeddings")
async def embeddings(request: Request, actor: Asker) -> Response:
    """Not in this version: answers 422."""
    raise _later("Embeddings")


class _Head(NamedTuple):
    """What every chunk of an answer repeats."""

    id: str
    created: int
    model: str


class UsagePlace(Enum):
    WITH_THE_END = auto()
    """In the chunk of the last finish reason: Mistral's way."""
    AFTER_THE_END = auto()
    """In a chunk of its own without choices: OpenAI's, for `stream_options.include_usage`."""
    NOWHERE = auto()


def _place_of_usage(body: ChatRequest, spoken: Dialect) -> UsagePlace:
    if spoken is Dialect.MISTRAL:
        return UsagePlace.WITH_THE_END
    wanted = body.stream_options is not None and body.stream_options.include_usage
    return UsagePlace.AFTER_THE_END if wanted else UsagePlace.NOWHERE


async def _chunks(
    events: AsyncGenerator[Delta | Ended | Usage], ask: Ask, head: _Head, *, usage: UsagePlace
) -> AsyncGenerator[bytes]:
    """What each event is called on the wire; the last to end carries the end of the answer."""

    def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
        kind = {"object": "chat.completion.chunk"}
        return data({**head._asdict(), **kind, "choices": list(choices), **more})

    for index in range(ask.n):
        yield chunk(_choice(index, {"role": "assistant", "content": ""}))
    last: dict[str, Any] | None = None
    async with aclosing(events):
        async for event in events:
            match event:
                case Delta(index, text):
                    yield chunk(_choice(index, {"content": text}))
                case Ended(index, reason, _):
                    if last is not None:
                        yield chunk(last)
                    last = _choice(index, {"content": ""}, finish_reason=reason_out(reason))
                case Usage():
                    total = usage_out(event).model_dump()
                    ending = [last] if last is not None else []
                    with_it = {"usage": total} if usage is UsagePlace.WITH_THE_END else {}
                    yield chunk(*ending, **with_it)
                    if usage is UsagePlace.AFTER_THE_END:
                        yield chunk(usage=total)
    yield DONE


def _choice(index: int, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish_reason}


def _error_event(request: Request, error: ModisteError) -> dict[str, Any]:
    """Both vendors' error in one object: a reader of either kind raises on it."""
    fault, path = refusals.fault_of(error), request.scope["path"]
    said: dict[str, Any] = {}
    for each in Dialect:
        said |= refusals.refuse(fault, dialect=each, path=path, request_id="").body
    return said


def _later(what: str) -> NotYetSupported:
    return NotYetSupported(
        f"{what} arrive with the full serving engine; this version answers /v1/chat/completions."
    )
