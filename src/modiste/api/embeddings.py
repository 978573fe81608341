"""`POST /v1/embeddings` in both vendors' shapes: vectors as numbers, or as base64 where asked."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import embeddings
from modiste.actions.embeddings import EmbedAsk, Embeddings
from modiste.api.chat_answers import UsageOut
from modiste.api.chat_shapes import model_asked, one_of
from modiste.api.door import Asker, Body, checked, documents, house, json_body
from modiste.api.sse import while_connected
from modiste.errors import NotYetSupported
from modiste.serve.sequence import Pooling

router = APIRouter(tags=["inference"])


class EmbeddingRequest(Body):
    """OpenAI's `dimensions` is Mistral's `output_dimension`; `user` and `metadata` are hints."""

    model: str | None = None
    input: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[int], Field(min_length=1)]
        | Annotated[list[list[int]], Field(min_length=1)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    output_dimension: Annotated[int, Field(ge=1)] | None = None
    output_dtype: Literal["float", "int8", "uint8", "binary", "ubinary"] | None = None
    pooling: Literal["mean", "last"] | None = None
    """Ours: how the states of a base become one vector."""
    user: str | None = None
    metadata: dict[str, Any] | None = None


class EmbeddingOut(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    """A text is base64 of little-endian float32."""


class EmbeddingList(BaseModel):
    id: str
    object: Literal["list"] = "list"
    model: str
    data: list[EmbeddingOut]
    usage: UsageOut


@router.post(
    "/embeddings",
    responses={200: {"model": EmbeddingList}},
    openapi_extra=documents(EmbeddingRequest),
)
async def create(request: Request, actor: Asker) -> Response:
    """Texts as vectors, in the order in which they came."""
    body = checked(EmbeddingRequest, await json_body(request))
    ask = embed_ask_of(body)
    made = await while_connected(request, embeddings.create(house(request).serving, actor, ask))
    answer = embeddings_out(made, model=ask.model, as_base64=body.encoding_format == "base64")
    return JSONResponse(answer)


def embed_ask_of(body: EmbeddingRequest) -> EmbedAsk:
    """The request in our own words.

    Raises:
        InvalidInput: no model, or two names for one thing with two values.
        NotYetSupported: numbers that are not floats.
    """
    if body.output_dtype not in (None, "float"):
        raise NotYetSupported(
            f"output_dtype is {body.output_dtype!r}, and vectors are floats here",
            param="output_dtype",
        )
    return EmbedAsk(
        model=model_asked(body.model),
        inputs=_inputs(body.input),
        dimensions=one_of(body, "dimensions", "output_dimension"),
        pooling=Pooling(body.pooling or "mean"),
    )


def embeddings_out(made: Embeddings, *, model: str, as_base64: bool) -> dict[str, Any]:
    """An `EmbeddingList`; a dict at once, since thousands of vectors are not checked twice."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
            if as_base64
            else vector.tolist(),
        }
        for index, vector in enumerate(made.vectors)
    ]
    n = made.n_tokens
    usage = {"prompt_tokens": n, "completion_tokens": 0, "total_tokens": n}
    return {"id": uuid4().hex, "object": "list", "model": model, "data": data, "usage": usage}


def _inputs(given: str | list[str] | list[int] | list[list[int]]) -> tuple[embeddings.Input, ...]:
    if isinstance(given, str):
        return (given,)
    ids = [each for each in given if isinstance(each, int)]
    if ids:
        return (tuple(ids),)
    return tuple(tuple(each) if isinstance(each, list) else str(each) for each in given)
