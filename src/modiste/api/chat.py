"""Routes of inference: chat completions, whole or streamed, in one shape for both dialects."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from modiste.actions import completions, guarded, inference
from modiste.api import dialect, hosted
from modiste.api.chat_shapes import ChatRequest, ask_of
from modiste.api.chat_stream import CHAT_ANSWER, respond
from modiste.api.dialect import Dialect
from modiste.api.door import Asker, checked, documents, house, json_body
from modiste.types import Actor, Model, ModelKind

MAX_TEMPERATURE = {Dialect.MISTRAL: 1.5, Dialect.OPENAI: 2.0}
router = APIRouter(tags=["inference"])


@router.post("/chat/completions", responses=CHAT_ANSWER, openapi_extra=documents(ChatRequest))
async def chat(request: Request, actor: Asker) -> Response:
    """Continue a conversation. With `stream` the answer is a stream of chunks, then `[DONE]`."""
    sent = await json_body(request)
    name = sent.get("model") if isinstance(sent, dict) else None
    model = await inference.known(house(request).database, actor, name)
    if (
        model is not None
        and model.kind is ModelKind.HOSTED
        and not await _guarded(request, actor, sent, model)
    ):
        return await hosted.chat(request, actor, sent, model)
    body = checked(ChatRequest, sent)
    ask = ask_of(body, max_temperature=MAX_TEMPERATURE[dialect.of(request)])
    answer = await completions.begin(house(request).serving, actor, ask, model=model)
    return await respond(
        request, answer, model=ask.model, n=ask.n, stream=body.stream, options=body.stream_options
    )


async def _guarded(request: Request, actor: Actor, sent: Any, model: Model) -> bool:
    """Whether a policy holds: then a hosted model's answer is read as text, and looked at."""
    named = isinstance(sent, dict) and sent.get("guardrails")
    return bool(named) or bool(await guarded.held(house(request).serving, actor, model))
