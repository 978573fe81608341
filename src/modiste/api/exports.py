"""Routes of exports: the files of a model, one of them, and its card.

Ids of models hold `:` and may hold `/`, so these routes stand before those that match the rest of
a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from modiste.actions import exports
from modiste.api.door import Asker, look
from modiste.nn import model_card

router = APIRouter(tags=["models"])


class ModelFileOut(BaseModel):
    name: str
    size_bytes: int | None
    sha256: str | None


class ModelFilesOut(BaseModel):
    object: Literal["list"] = "list"
    model: str
    base: str | None
    """The base that an adapter needs."""
    whole: bool
    """A complete model; otherwise an adapter."""
    data: list[ModelFileOut]


@router.get("/models/{model_id:path}/files", responses={200: {"model": ModelFilesOut}})
async def list_model_files(request: Request, actor: Asker, model_id: str) -> Response:
    """What a model consists of: an adapter's files, or those of a whole model."""
    found = await look(request, exports.files, actor, model_id)
    out = ModelFilesOut(
        model=found.model.id,
        base=found.model.base,
        whole=found.whole,
        data=[ModelFileOut(**file._asdict()) for file in found.files],
    )
    return JSONResponse(out.model_dump())


@router.get(
    "/models/{model_id:path}/files/{name}",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def download_model_file(request: Request, actor: Asker, model_id: str, name: str) -> Response:
    content = await look(request, exports.open_file, actor, model_id, name)
    return await run_sync(_sent, content, name)


@router.get(
    "/models/{model_id:path}/card",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/markdown": {}}}},
)
async def model_card_of(
    request: Request, actor: Asker, model_id: str, format: Literal["markdown", "json"] = "markdown"
) -> Response:
    """The model card in Hugging Face's format, or the facts in it as JSON."""
    facts = await look(request, exports.facts, actor, model_id)
    if format == "json":
        return JSONResponse(facts.as_json())
    return PlainTextResponse(model_card.text(facts), media_type="text/markdown")


def _sent(content: Iterator[bytes], name: str) -> Response:
    """The first chunk is read before the status is sent: what is damaged can still be refused."""
    first: Iterable[bytes] = [chunk] if (chunk := next(content, b"")) else []
    return StreamingResponse(
        chain(first, content),
        media_type="application/octet-stream",
        headers={"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"},
    )
