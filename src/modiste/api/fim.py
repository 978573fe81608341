"""`POST /v1/fim/completions`: the text between `prompt` and `suffix`, in the shape of a chat."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from modiste.actions import fim
from modiste.actions.completions import DEFAULT_TEMPERATURE
from modiste.actions.fim import Gap
from modiste.api.chat_shapes import (
    Probability,
    Seed,
    Stops,
    StreamOptions,
    model_asked,
    one_of,
)
from modiste.api.chat_stream import CHAT_ANSWER, respond
from modiste.api.door import Asker, Body, checked, documents, house, json_body
from modiste.serve.sequence import Sampling

router = APIRouter(tags=["inference"])


class FimRequest(Body):
    """Mistral's fields. `metadata` and `prompt_cache_key` are hints that change no text."""

    model: str | None = None
    prompt: str
    suffix: str | None = None
    temperature: Annotated[float, Field(ge=0, le=1.5)] | None = None
    top_p: Probability | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | Stops | None = None
    random_seed: Seed | None = None
    seed: Seed | None = None
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None


@router.post("/fim/completions", responses=CHAT_ANSWER, openapi_extra=documents(FimRequest))
async def complete(request: Request, actor: Asker) -> Response:
    """Fill in the middle. With `stream` the answer is a stream of chunks, then `[DONE]`."""
    body = checked(FimRequest, await json_body(request))
    gap = gap_of(body)
    answer = await fim.begin(house(request).serving, actor, gap)
    return await respond(
        request, answer, model=gap.model, n=gap.n, stream=body.stream, options=body.stream_options
    )


def gap_of(body: FimRequest) -> Gap:
    """The request in our own words.

    Raises:
        InvalidInput: no model, or two names for one thing with two values.
    """
    return Gap(
        model=model_asked(body.model),
        prompt=body.prompt,
        suffix=body.suffix or "",
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        sampling=Sampling(
            temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            max_tokens=body.max_tokens,
            min_tokens=body.min_tokens or 0,
            seed=one_of(body, "random_seed", "seed"),
        ),
    )
