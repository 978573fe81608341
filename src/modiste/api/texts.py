"""`POST /v1/completions`: plain text continued, in the shape that OpenAI's clients parse.

`prompt` is a text, texts, token ids, or lists of token ids. Without `max_tokens` an answer has 16
tokens, as with OpenAI. With `logprobs` each token comes with its log-probability and that many of
the likeliest beside it; with `echo` so do the tokens of the prompt, the first with null. `top_k`,
`min_p` are vLLM's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal, NamedTuple
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import texts
from modiste.actions.answers import Ended, Usage
from modiste.actions.completions import DEFAULT_TEMPERATURE, MAX_CHOICES
from modiste.actions.text_reading import Shown
from modiste.actions.texts import Piece, TextAsk, TextCompletion
from modiste.api.chat_answers import UsageOut, fingerprint_out, reason_out, usage_out
from modiste.api.chat_shapes import (
    Penalty,
    Probability,
    Seed,
    Stops,
    StreamOptions,
    model_asked,
    one_of,
)
from modiste.api.chat_stream import PATIENCE_S, error_event
from modiste.api.door import Asker, Body, checked, documents, house, json_body
from modiste.api.sse import DONE, EventStream, data, peeked, while_connected
from modiste.errors import InvalidInput
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
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Probability | None = None
    seed: Seed | None = None
    random_seed: Seed | None = None
    user: str | None = None


class Logprobs(BaseModel):
    """One entry per token; the first token of an echoed prompt follows nothing and has null."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
    """Where each token begins in the text of the choice."""


class TextChoiceOut(BaseModel):
    index: int
    text: str
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None
    """None while a stream goes on."""


class TextCompletionOut(BaseModel):
    """Of a stream, each chunk too: its choices hold what is new."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoiceOut]
    usage: UsageOut | None = None
    system_fingerprint: str | None = None
    """Two seeded answers under one are the same bytes; of a stream, in the chunks that end."""


class Head(NamedTuple):
    """What an answer and every chunk of it repeat."""

    id: str
    created: int
    model: str


@router.post(
    "/completions",
    responses={
        200: {
            "model": TextCompletionOut,
            "content": {
                "text/event-stream": {"schema": {"$ref": "#/components/schemas/TextCompletionOut"}}
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
    told = body.logprobs is not None
    if not body.stream:
        completion = await while_connected(request, answer.whole())
        return JSONResponse(completion_out(completion, head, logprobs=told).model_dump())
    events = await peeked(answer.events(), patience_s=PATIENCE_S)
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    return EventStream(
        chunks(events, head, logprobs=told, with_usage=with_usage),
        on_error=lambda error: data(error_event(request, error)),
    )


def text_ask_of(body: TextRequest) -> TextAsk:
    """The request in our own words.

    Raises:
        InvalidInput: no model, or values that contradict each other.
    """
    n, best_of = body.n or 1, body.best_of or body.n or 1
    if best_of < n:
        raise InvalidInput(
            f"best_of is {best_of} and n is {n}: no more can be chosen than are made",
            param="best_of",
        )
    if body.stream and best_of > n:
        raise InvalidInput(
            f"best_of is {best_of} and n is {n} in a stream: the best are known at the end only; "
            "leave best_of or stream out",
            param="best_of",
        )
    return TextAsk(
        model=model_asked(body.model),
        prompts=_prompts(body.prompt),
        suffix=body.suffix,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        n=n,
        best_of=best_of,
        echo=bool(body.echo),
        sampling=_sampling(body),
    )


def _sampling(body: TextRequest) -> Sampling:
    return Sampling(
        temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        max_tokens=DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens,
        seed=one_of(body, "random_seed", "seed"),
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        top_k=body.top_k if body.top_k and body.top_k > 0 else None,
        min_p=body.min_p or 0.0,
        logit_bias=logit_bias_of(body.logit_bias),
        logprobs=body.logprobs,
    )


def logit_bias_of(bias: dict[str, float] | None) -> dict[int, float]:
    """By token id.

    Raises:
        InvalidInput: a key is no token id.
    """
    strange = [name for name in bias or {} if not (name.isascii() and name.isdecimal())]
    if strange:
        raise InvalidInput(
            f"logit_bias has {strange[0]!r}, expected token ids (see /v1/tokenize)",
            param="logit_bias",
        )
    return {int(name): value for name, value in (bias or {}).items()}


def completion_out(completion: TextCompletion, head: Head, *, logprobs: bool) -> TextCompletionOut:
    return TextCompletionOut(
        **head._asdict(),
        choices=[
            TextChoiceOut(
                index=choice.index,
                text=choice.text,
                logprobs=logprobs_out(choice.tokens) if logprobs else None,
                finish_reason=reason_out(choice.reason),
            )
            for choice in completion.choices
        ],
        usage=usage_out(completion.usage),
        system_fingerprint=completion.fingerprint or None,
    )


def logprobs_out(tokens: Sequence[Shown]) -> Logprobs:
    return Logprobs(
        tokens=[token.text for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[None if token.logprob is None else dict(token.top) for token in tokens],
        text_offset=[token.offset for token in tokens],
    )


async def chunks(
    events: AsyncGenerator[Piece | Ended | Usage],
    head: Head,
    *,
    logprobs: bool,
    with_usage: bool,
) -> AsyncGenerator[bytes]:
    """What each event is called on the wire."""

    def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
        kind = {"object": "text_completion"}
        return data({**head._asdict(), **kind, "choices": list(choices), **more})

    async with aclosing(events):
        async for event in events:
            match event:
                case Piece(index, text, tokens):
                    told = logprobs_out(tokens).model_dump() if logprobs else None
                    yield chunk(
                        {"index": index, "text": text, "logprobs": told, "finish_reason": None}
                    )
                case Ended(index, reason, fingerprint=fingerprint):
                    said = reason_out(reason)
                    yield chunk(
                        {"index": index, "text": "", "logprobs": None, "finish_reason": said},
                        **fingerprint_out(fingerprint),
                    )
                case Usage() if with_usage:
                    yield chunk(usage=usage_out(event).model_dump())
    yield DONE


def _prompts(prompt: str | list[str] | list[int] | list[list[int]]) -> tuple[texts.Prompt, ...]:
    if isinstance(prompt, str):
        return (prompt,)
    ids = [each for each in prompt if isinstance(each, int)]
    if ids:
        return (tuple(ids),)
    return tuple(tuple(each) if isinstance(each, list) else str(each) for each in prompt)
