"""`POST /v1/tokenize` and `/v1/detokenize`, in vLLM's shapes.

A prompt is a text or the messages of a chat; its ids are those that a completion would ask for.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import tokens
from modiste.api.chat_messages import AnyMessage
from modiste.api.chat_shapes import ChatRequest, ask_of, model_asked
from modiste.api.chat_tools import ToolIn
from modiste.api.door import Asker, Body, checked, documents, house, json_body
from modiste.errors import InvalidInput

router = APIRouter(tags=["inference"])


class TokenizeIn(Body):
    model: str | None = None
    prompt: str | None = None
    messages: list[AnyMessage] | None = None
    """Instead of a prompt."""
    tools: list[ToolIn] | None = None
    add_special_tokens: bool | None = None
    """A prompt opens with the token that begins every text, unless this is false."""
    add_generation_prompt: Literal[True] | None = None
    return_token_strs: bool | None = None


class TokenizeOut(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeIn(Body):
    model: str | None = None
    tokens: list[int]


class DetokenizeOut(BaseModel):
    prompt: str


@router.post(
    "/tokenize", responses={200: {"model": TokenizeOut}}, openapi_extra=documents(TokenizeIn)
)
async def tokenize(request: Request, actor: Asker) -> Response:
    """The token ids of a text or of a chat's prompt."""
    body = checked(TokenizeIn, await json_body(request))
    found = await _tokenised(request, actor, body)
    answer = TokenizeOut(
        count=len(found.ids),
        max_model_len=found.max_context_length,
        tokens=found.ids,
        token_strs=found.texts if body.return_token_strs else None,
    )
    return JSONResponse(answer.model_dump())


@router.post(
    "/detokenize", responses={200: {"model": DetokenizeOut}}, openapi_extra=documents(DetokenizeIn)
)
async def detokenize(request: Request, actor: Asker) -> Response:
    """The text of token ids; control tokens have none."""
    body = checked(DetokenizeIn, await json_body(request))
    text = await tokens.to_text(
        house(request).serving, actor, model=model_asked(body.model), ids=body.tokens
    )
    return JSONResponse(DetokenizeOut(prompt=text).model_dump())


async def _tokenised(request: Request, actor: Asker, body: TokenizeIn) -> tokens.Tokenised:
    """
    Raises:
        InvalidInput: no prompt or two, or fields that do not belong to it.
    """
    if (body.prompt is None) == (body.messages is None):
        raise InvalidInput("expected one of prompt and messages", param="prompt")
    serving, model = house(request).serving, model_asked(body.model)
    if body.messages is None:
        for name in ("tools", "add_generation_prompt"):
            if getattr(body, name) is not None:
                raise InvalidInput(f"{name} belongs to messages, and prompt is set", param=name)
        opened = body.add_special_tokens is not False
        text = body.prompt or ""
        return await tokens.of_text(serving, actor, model=model, text=text, opened=opened)
    if body.add_special_tokens is not None:
        raise InvalidInput(
            "add_special_tokens belongs to prompt: messages are written with all control tokens "
            "of the chat format",
            param="add_special_tokens",
        )
    chat = ChatRequest(model=model, messages=body.messages, tools=body.tools)
    return await tokens.of_chat(serving, actor, ask_of(chat, max_temperature=2.0))
