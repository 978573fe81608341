"""`POST /v1/classifications` and `/v1/chat/classifications` in Mistral's shape: OpenAI has none."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import classifications
from modiste.actions.classifications import Classified, ClassifyAsk
from modiste.api.chat_answers import UsageOut
from modiste.api.chat_messages import AnyMessage, message_of
from modiste.api.chat_shapes import model_asked
from modiste.api.door import Asker, Body, checked, documents, house, json_body
from modiste.api.sse import while_connected

router = APIRouter(tags=["inference"])


class ClassificationRequest(Body):
    model: str | None = None
    input: str | Annotated[list[str], Field(min_length=1)]
    metadata: dict[str, Any] | None = None


class ChatIn(Body):
    messages: Annotated[list[AnyMessage], Field(min_length=1)]


class ChatClassificationRequest(Body):
    model: str | None = None
    input: ChatIn | Annotated[list[ChatIn], Field(min_length=1)]
    metadata: dict[str, Any] | None = None


class TargetScores(BaseModel):
    scores: dict[str, float]
    """Label to probability: of a single-class target they add up to 1."""


class ClassificationOut(BaseModel):
    id: str
    model: str
    results: list[dict[str, TargetScores]]
    """Of each input, by target."""
    usage: UsageOut
    """Ours."""


@router.post(
    "/classifications",
    responses={200: {"model": ClassificationOut}},
    openapi_extra=documents(ClassificationRequest),
)
async def classify(request: Request, actor: Asker) -> Response:
    """The labels of texts, in the order in which they came."""
    body = checked(ClassificationRequest, await json_body(request))
    inputs = (body.input,) if isinstance(body.input, str) else tuple(body.input)
    return await _answer(request, actor, ClassifyAsk(model_asked(body.model), inputs))


@router.post(
    "/chat/classifications",
    responses={200: {"model": ClassificationOut}},
    openapi_extra=documents(ChatClassificationRequest),
)
async def classify_chats(request: Request, actor: Asker) -> Response:
    """The labels of chats, in the order in which they came."""
    body = checked(ChatClassificationRequest, await json_body(request))
    chats = body.input if isinstance(body.input, list) else [body.input]
    inputs = tuple(tuple(message_of(message) for message in chat.messages) for chat in chats)
    return await _answer(request, actor, ClassifyAsk(model_asked(body.model), inputs))


async def _answer(request: Request, actor: Asker, ask: ClassifyAsk) -> Response:
    serving = house(request).serving
    made = await while_connected(request, classifications.create(serving, actor, ask))
    return JSONResponse(classification_out(made, model=ask.model))


def classification_out(made: Classified, *, model: str) -> dict[str, Any]:
    """A `ClassificationOut`; a dict at once, since thousands of answers are not checked twice."""
    n = made.n_tokens
    return {
        "id": uuid4().hex,
        "model": model,
        "results": [
            {target: {"scores": scores} for target, scores in row.items()} for row in made.by_name()
        ],
        "usage": {"prompt_tokens": n, "completion_tokens": 0, "total_tokens": n},
    }
