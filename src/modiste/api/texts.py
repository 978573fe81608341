"""`POST /v1/completions`: plain text continued, in the shape that OpenAI's clients parse.

`prompt` is a text, texts, token ids, or lists of token ids. Without `max_tokens` an answer has 16
tokens, as with OpenAI. What this version cannot honour is refused by name.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal, NamedTuple
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import texts
from modiste.actions.answers import Choice, Completion, Delta, Ended, Usage
from modiste.actions.completions import DEFAULT_TEMPERATURE, MAX_CHOICES
from modiste.actions.texts import TextAsk
from modiste.api.chat_shapes import (
    Penalty,
    Probability,
    Seed,
    Stops,
    StreamOptions,
    UsageOut,
    model_asked,
    one_of,
    reason_out,
    usage_out,
)
from modiste.api.chat_stream import PATIENCE_S, error_event
from modiste.api.door import Asker, Body, checked, documents, house, json_body
from modiste.api.sse import DONE, EventStream, data, peeked, while_connected
from modiste.errors import InvalidInput, NotYetSupported
from modiste.serve.sequence import Sampling

DEFAULT_MAX_TOKENS = 16
router = APIRouter(tags=["inference"])


class TextRequest(Body):
    """OpenAI's fields. `user` is a hint that changes no text."""

    model: str | None = None
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[int], Field(min_length=1)]
        | Annotated[list[list[int]], Field(min_length=1)]
    )
    suffix: str | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool | None = None
    stop: str | Stops | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    seed: Seed | None = None
    random_seed: Seed | None = None
    user: str | None = None


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None
    """None while a stream goes on."""


class TextCompletion(BaseModel):
    """Of a stream, each chunk too: its choices hold what is new."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: UsageOut | None = None


class Head(NamedTuple):
    """What an answer and every chunk of it repeat."""

    id: str
    created: int
    model: str


@router.post(
    "/completions",
    responses={
        200: {
            "model": TextCompletion,
            "content": {
                "text/event-stream": {"schema": {"$ref": "#/components/schemas/TextCompletion"}}
            },
        }
    },
    openapi_extra=documents(TextRequest),
)
async def complete(request: Request, actor: Asker) -> Response:
    """Continue texts. With `stream` the answer is a stream of chunks, then `[DONE]`."""
    body = checked(TextRequest, await json_body(request))
    ask = text_ask_of(body)
    answer = await texts.begin(house(request).serving, actor, ask)
    head = Head(f"cmpl-{uuid4().hex}", int(time.time()), ask.model)
    if not body.stream:
        completion = await while_connected(request, answer.whole())
        return JSONResponse(completion_out(completion, head).model_dump())
    events = await peeked(answer.events(), patience_s=PATIENCE_S)
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    return EventStream(
        chunks(events, head, with_usage=with_usage),
        on_error=lambda error: data(error_event(request, error)),
    )


def text_ask_of(body: TextRequest) -> TextAsk:
    """The request in our own words.

    Raises:
        InvalidInput: no model, or values that contradict each other.
        NotYetSupported: naming the field.
    """
    n = body.n or 1
    _refuse_what_is_not_there(body, n)
    return TextAsk(
        model=model_asked(body.model),
        prompts=_prompts(body.prompt),
        suffix=body.suffix,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        n=n,
        echo=bool(body.echo),
        sampling=Sampling(
            temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            max_tokens=DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens,
            seed=one_of(body, "random_seed", "seed"),
            presence_penalty=body.presence_penalty or 0.0,
            frequency_penalty=body.frequency_penalty or 0.0,
        ),
    )


def completion_out(completion: Completion, head: Head) -> TextCompletion:
    return TextCompletion(
        **head._asdict(),
        choices=[_choice_out(choice) for choice in completion.choices],
        usage=usage_out(completion.usage),
    )


async def chunks(
    events: AsyncGenerator[Delta | Ended | Usage], head: Head, *, with_usage: bool
) -> AsyncGenerator[bytes]:
    """What each event is called on the wire."""

    def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
        kind = {"object": "text_completion"}
        return data({**head._asdict(), **kind, "choices": list(choices), **more})

    async with aclosing(events):
        async for event in events:
            match event:
                case Delta(index, text):
                    yield chunk(_piece(index, text))
                case Ended(index, reason, _):
                    yield chunk(_piece(index, "", finish_reason=reason_out(reason)))
                case Usage() if with_usage:
                    yield chunk(usage=usage_out(event).model_dump())
    yield DONE


def _piece(index: int, text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


def _choice_out(choice: Choice) -> TextChoice:
    return TextChoice(index=choice.index, text=choice.text, finish_reason=reason_out(choice.reason))


def _prompts(prompt: str | list[str] | list[int] | list[list[int]]) -> tuple[texts.Prompt, ...]:
    if isinstance(prompt, str):
        return (prompt,)
    ids = [each for each in prompt if isinstance(each, int)]
    if ids:
        return (tuple(ids),)
    return tuple(tuple(each) if isinstance(each, list) else str(each) for each in prompt)


def _refuse_what_is_not_there(body: TextRequest, n: int) -> None:
    if body.best_of is not None and body.best_of < n:
        raise InvalidInput(
            f"best_of is {body.best_of} and n is {n}: no more can be chosen than are made",
            param="best_of",
        )
    refused = [
        name
        for name, asked in {
            "logprobs": body.logprobs is not None,
            "best_of": (body.best_of or n) > n,
            "logit_bias": bool(body.logit_bias),
        }.items()
        if asked
    ]
    if refused:
        raise NotYetSupported(
            f"{' and '.join(refused)}: this version cannot honour that; leave it out",
            param=refused[0],
        )
