"""Chats with hosted models, in the caller's dialect: their answers as ours look.

The request goes on with every field it came with, so it is not held against our own schema; only
what decides here is looked at (`model`, `stream`, `stream_options`). Usage stands where the dialect
has it, tool calls and reasons to finish are called what its clients know.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import hosted
from modiste.actions.hosted import choices_of, text_of
from modiste.api import dialect
from modiste.api.chat_stream import PATIENCE_S, error_event
from modiste.api.dialect import Dialect
from modiste.api.door import house
from modiste.api.sse import DONE, EventStream, data, peeked, while_connected
from modiste.errors import InvalidInput
from modiste.types import Actor, Model

Json = dict[str, Any]
HEAD = ("id", "object", "created", "model")
REASONS = {
    Dialect.OPENAI: {"model_length": "length", "error": "stop"},
    Dialect.MISTRAL: {"content_filter": "error", "function_call": "tool_calls"},
}


async def chat(request: Request, actor: Actor, body: Json, model: Model) -> Response:
    """The answer of a hosted model."""
    behind = house(request)
    stream = body.get("stream")
    if stream not in (None, True, False):
        raise InvalidInput("stream is neither true nor false", param="stream")
    answer = await hosted.begin(
        behind.database, behind.upstreams, actor, model, name=body["model"], body=body
    )
    spoken = dialect.of(request)
    if not stream:
        told = await while_connected(request, answer.whole())
        return JSONResponse(for_caller(told, spoken))
    events = await peeked(answer.chunks(), patience_s=PATIENCE_S)
    options = body.get("stream_options")
    wanted = isinstance(options, dict) and bool(options.get("include_usage"))
    return EventStream(
        chunks(events, spoken, with_usage=wanted),
        on_error=lambda error: data(error_event(request, error)),
    )


async def chunks(
    events: AsyncGenerator[Json, None], spoken: Dialect, *, with_usage: bool
) -> AsyncGenerator[bytes]:
    """Every chunk on the wire. Mistral's clients find the usage in the chunk of the last reason to
    finish, OpenAI's in one of its own, if they asked for it."""
    held: Json | None = None
    head: Json = {}
    usage: Any = None
    async with aclosing(events):
        async for event in events:
            chunk = for_caller(event, spoken)
            usage = chunk.pop("usage", None) or usage
            head = {name: chunk[name] for name in HEAD if name in chunk}
            if not choices_of(chunk):
                continue
            if held is not None:
                yield data(held)
                held = None
            if spoken is Dialect.MISTRAL and any(c.get("finish_reason") for c in choices_of(chunk)):
                held = chunk
            else:
                yield data(chunk)
    if held is not None:
        yield data({**held, "usage": usage} if usage else held)
    elif usage and with_usage and spoken is Dialect.OPENAI:
        yield data({**head, "choices": [], "usage": usage})
    yield DONE


def for_caller(answer: Mapping[str, Any], spoken: Dialect) -> Json:
    """An answer, or a chunk of one, in the words of a dialect."""
    told = {**answer, "choices": [_choice(choice, spoken) for choice in choices_of(answer)]}
    usage = told.get("usage")
    if isinstance(usage, dict):
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        if "total_tokens" not in usage and all(isinstance(count, int) for count in counts):
            told["usage"] = {**usage, "total_tokens": sum(counts)}
    return told


def _choice(choice: Mapping[str, Any], spoken: Dialect) -> Json:
    told = dict(choice)
    reason = told.get("finish_reason")
    told["finish_reason"] = REASONS[spoken].get(reason, reason) if reason else None
    for part in ("message", "delta"):
        if isinstance(told.get(part), dict):
            told[part] = _part(told[part], spoken)
    return told


def _part(part: Mapping[str, Any], spoken: Dialect) -> Json:
    """The message of a choice, or what a chunk adds to it."""
    told = dict(part)
    content = told.get("content")
    if spoken is Dialect.OPENAI and isinstance(content, list):
        thought = "".join(
            text_of(each.get("thinking"))
            for each in content
            if isinstance(each, dict) and each.get("type") == "thinking"
        )
        told["content"] = text_of(content)
        told |= {"reasoning_content": thought} if thought else {}
    if isinstance(told.get("tool_calls"), list):
        told["tool_calls"] = [_call(call, index) for index, call in enumerate(told["tool_calls"])]
    return told


def _call(call: Any, index: int) -> Any:
    """OpenAI's clients insist on a type and on arguments as text; both read an index."""
    if not isinstance(call, dict):
        return call
    told = {"index": index, "type": "function", **call}
    if told["type"] is None:
        told["type"] = "function"
    function = told.get("function")
    if isinstance(function, dict) and isinstance(function.get("arguments"), dict):
        arguments = orjson.dumps(function["arguments"]).decode()
        told["function"] = {**function, "arguments": arguments}
    return told
