"""Routes of models elsewhere: an admin registers them, their cards say how they do.

The key may come in the body, once: it is sealed, and no answer has it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field, SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import upstreams
from modiste.actions.upstreams import Hosted
from modiste.api.door import Asker, Body, act, checked, documents, json_body
from modiste.api.shapes import BaseModelCard, model_card
from modiste.types import UpstreamKind

router = APIRouter(tags=["models"])

Count = Annotated[int, Field(ge=0)]


class HostedIn(Body):
    name: str
    url: str
    """Of an OpenAI- or Mistral-compatible endpoint, e.g. `https://api.mistral.ai/v1`."""
    kind: Literal["openai", "mistral"] = "openai"
    model: str | None = None
    """Its name there; absent means the same name."""
    key_env: str | None = None
    """Environment variable of the server's process that holds the key."""
    api_key: str | None = Field(default=None, json_schema_extra={"writeOnly": True})
    """Or the key itself, which is kept sealed."""
    max_context_length: Count = 0
    daily_tokens: Count | None = None
    daily_cost_micro: Count | None = None
    price_in_micro: Count | None = None
    """Of a million prompt tokens, in micro-units of the server's currency."""
    price_out_micro: Count | None = None


@router.post(
    "/models/upstreams",
    responses={200: {"model": BaseModelCard}},
    openapi_extra=documents(HostedIn),
)
async def add_upstream(request: Request, actor: Asker) -> Response:
    """Register a model that another server answers for; again under its name describes it anew."""
    asked = checked(HostedIn, await json_body(request))
    key = None if asked.api_key is None else SecretStr(asked.api_key)
    hosted = Hosted(
        name=asked.name,
        url=asked.url,
        kind=UpstreamKind(asked.kind),
        model=asked.model,
        key_env=asked.key_env,
        key=key,
        context_length=asked.max_context_length,
        daily_tokens=asked.daily_tokens,
        daily_cost_micro=asked.daily_cost_micro,
        price_in_micro=asked.price_in_micro,
        price_out_micro=asked.price_out_micro,
    )
    model = await act(request, upstreams.add, actor, hosted)
    return JSONResponse(model_card(model).model_dump())
