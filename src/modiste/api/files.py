"""Routes of files: upload, list, retrieve, content, signed link, delete.

Content goes out as it is read and is checked on the way: a damaged blob is told before the first
byte where it fits into one chunk, and breaks the connection (never a complete answer) where not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Literal
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from modiste.actions import files
from modiste.api import dialect, form, upload
from modiste.api.dialect import Dialect
from modiste.api.door import Asker, House, act, house, look
from modiste.api.shapes import (
    BATCH_OUTPUT,
    BATCH_RESULTS,
    FileDeleted,
    FileList,
    FileObject,
    SignedUrl,
    file_list,
    file_object,
)
from modiste.types import Purpose

OPENAI_PAGE = 10_000
"""Files of one page where the openai client names no limit."""
router = APIRouter(tags=["files"])
Words = Annotated[list[str], Query()]


@router.post("/files", responses={200: {"model": FileObject}}, openapi_extra=form.SCHEMA)
async def upload_file(request: Request, actor: Asker) -> Response:
    """Store a file. The same content under the same name and purpose is the same file."""
    behind = house(request)
    file = await upload.receive(
        request,
        behind.database,
        actor,
        threads=behind.uploads,
        examine=behind.intake.examine,
    )
    return JSONResponse(file_object(file).model_dump())


@router.get("/files", responses={200: {"model": FileList}})
async def list_files(
    request: Request,
    actor: Asker,
    page: Annotated[int, Query(ge=0)] = 0,
    page_size: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: str | None = None,
    limit: Annotated[int | None, Query(ge=1, le=OPENAI_PAGE)] = None,
    order: Literal["asc", "desc"] = "desc",
    sample_type: Words = [],  # noqa: B006 - FastAPI copies defaults
    source: Words = [],  # noqa: B006
    search: str | None = None,
    purpose: str | None = None,
    mimetypes: Words = [],  # noqa: B006
    include_total: bool = True,
) -> Response:
    """Newest first; by `page` and `page_size`, or by cursor with `after` and `limit`."""
    openai = dialect.of(request) is Dialect.OPENAI
    if limit is None and (after is not None or openai):
        limit = OPENAI_PAGE
    if openai and purpose in (BATCH_OUTPUT, Purpose.BATCH):
        sample_type = list(BATCH_RESULTS) if purpose == BATCH_OUTPUT else ["batch_request"]
        purpose = Purpose.BATCH
    if dialect.has_closed_enums(request):
        purpose = Purpose.FINE_TUNE  # One other file would break the client's whole list.
    found = await look(
        request,
        files.list_,
        actor,
        page=page,
        page_size=page_size,
        after=after,
        limit=limit,
        order=order,
        sample_type=sample_type,
        source=source,
        search=search,
        purpose=purpose,
        mimetypes=mimetypes,
    )
    return JSONResponse(file_list(found, openai=openai).model_dump())


@router.get(
    "/files/signed/{token}",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def open_signed(request: Request, token: str) -> Response:
    """The content behind a signed link; no key is needed."""
    return await run_sync(_signed_content, house(request), token)


@router.get("/files/{file_id}", responses={200: {"model": FileObject}})
async def retrieve_file(request: Request, actor: Asker, file_id: str) -> Response:
    file = await look(request, files.get, actor, file_id)
    openai = dialect.of(request) is Dialect.OPENAI
    return JSONResponse(file_object(file, openai=openai).model_dump())


@router.get(
    "/files/{file_id}/content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def download_file(request: Request, actor: Asker, file_id: str) -> Response:
    content = await look(request, files.open_content, actor, file_id)
    return await run_sync(_sent, content)


@router.get("/files/{file_id}/url", responses={200: {"model": SignedUrl}})
async def sign_file(
    request: Request,
    actor: Asker,
    file_id: str,
    expiry: Annotated[int, Query(description="Hours the link lives")] = 24,
) -> Response:
    """A link that opens the content without a key until it expires."""
    token = await look(request, files.signed_path, actor, file_id, expiry_hours=expiry)
    base = house(request).settings.public_url or str(request.base_url)
    return JSONResponse({"url": f"{base.rstrip('/')}/v1/files/signed/{token}"})


@router.delete("/files/{file_id}", responses={200: {"model": FileDeleted}})
async def delete_file(request: Request, actor: Asker, file_id: str) -> Response:
    file = await act(request, files.delete, actor, file_id)
    return JSONResponse(FileDeleted(id=file.id).model_dump())


def _signed_content(behind: House, token: str) -> Response:
    with behind.database.transaction(write=False) as tx:
        content = files.verify_signed(tx, token)
    return _sent(content)


def _sent(content: files.Content) -> Response:
    """The first chunk is read before the status is sent: what is damaged can still be refused."""
    chunks: Iterator[bytes] = iter(content.chunks)
    first: Iterable[bytes] = [chunk] if (chunk := next(chunks, b"")) else []
    name = quote(content.file.filename, safe="")
    return StreamingResponse(
        chain(first, chunks),
        media_type="application/octet-stream",
        headers={
            "content-length": str(content.file.size_bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{name}",
        },
    )
