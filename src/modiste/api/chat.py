"""Routes of inference: chat completions, whole or streamed, in one shape for both dialects."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from modiste.actions import completions, inference
from modiste.api import dialect, hosted
from modiste.api.chat_shapes import ChatRequest, ask_of
from modiste.api.chat_stream import CHAT_ANSWER, respond
from modiste.api.dialect import Dialect
from modiste.api.door import Asker, checked, documents, house, json_body
from modiste.types import ModelKind

MAX_TEMPERATURE = {Dialect.MISTRAL: 1.5, Dialect.OPENAI: 2.0}
router = APIRouter(tags=["inference"])


@router.post("/chat/completions", responses=CHAT_ANSWER, openapi_extra=documents(ChatRequest))
async def chat(request: Request, actor: Asker) -> Response:
    """Continue a conversation. With `stream` the answer is a stream of chunks, then `[DONE]`."""
    sent = await json_body(request)
    name = sent.get("model") if isinstance(sent, dict) else None
    model = await inference.known(house(request).database, actor, name)
    if model is not None and model.kind is ModelKind.HOSTED:
        return await hosted.chat(request, actor, sent, model)
    body = checked(ChatRequest, sent)
    ask = ask_of(body, max_temperature=MAX_TEMPERATURE[dialect.of(request)])
    answer = await completions.begin(house(request).serving, actor, ask, model=model)
    return await respond(
        request, answer, model=ask.model, n=ask.n, stream=body.stream, options=body.stream_options
    )
