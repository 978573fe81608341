"""Routes of batches: Mistral's `/batch/jobs` and OpenAI's `/batches`, each in its own words.

The path settles which words are spoken. In a list of Mistral's, query names that are none of its
own filter by metadata, which is how its clients send them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from pydantic import AfterValidator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import batches
from modiste.api import batch_shapes, dialect
from modiste.api.batch_shapes import (
    BatchDeleted,
    BatchJob,
    BatchJobIn,
    BatchJobList,
    OpenAIBatch,
    OpenAIBatchIn,
    OpenAIBatchList,
)
from modiste.api.door import Asker, act, checked, documents, house, json_body, look
from modiste.types import Batch, BatchStatus

OPENAI_PAGE = 20
OF_THE_LIST = frozenset(
    {"page", "page_size", "model", "agent_id", "created_after", "created_by_me", "status"}
    | {"order_by"}
)
Moment = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]
router = APIRouter(tags=["batches"])


@router.post(
    "/batch/jobs", responses={200: {"model": BatchJob}}, openapi_extra=documents(BatchJobIn)
)
async def create_job(request: Request, actor: Asker) -> Response:
    """Queue a batch: of uploaded files with purpose `batch`, or of inline `requests`."""
    asked = batch_shapes.wanted_of_mistral(checked(BatchJobIn, await json_body(request)))
    database = house(request).database
    return _job(request, await run_sync(partial(batches.create, database, actor, **asked)))


@router.get("/batch/jobs", responses={200: {"model": BatchJobList}})
async def list_jobs(
    request: Request,
    actor: Asker,
    page: Annotated[int, Query(ge=0)] = 0,
    page_size: Annotated[int, Query(ge=1, le=1000)] = 100,
    model: str | None = None,
    agent_id: str | None = None,
    created_after: Moment | None = None,
    created_by_me: bool = False,
    status: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies defaults
    order_by: Literal["created", "-created"] = "-created",
) -> Response:
    """Newest first; any other name in the query filters by the metadata of that name."""
    labels = {k: v for k, v in request.query_params.multi_items() if k not in OF_THE_LIST}
    found = await look(
        request,
        batches.list_,
        actor,
        page=page,
        page_size=page_size,
        order="desc" if order_by == "-created" else "asc",
        model=model,
        created_after=created_after,
        created_by_me=created_by_me,
        status=_statuses(status, agent_id),
        metadata=labels,
    )
    needs_model = dialect.needs_batch_model(request)
    return JSONResponse(batch_shapes.batch_job_list(found, needs_model=needs_model).model_dump())


@router.get("/batch/jobs/{job_id}", responses={200: {"model": BatchJob}})
async def retrieve_job(
    request: Request, actor: Asker, job_id: str, inline: bool | None = None
) -> Response:
    """One batch; with `inline` and once it ended, every result with it."""
    batch = await look(request, batches.get, actor, job_id)
    outputs = None
    if inline and batch.status.final:
        outputs = await look(request, batches.results, actor, job_id)
    needs_model = dialect.needs_batch_model(request)
    out = batch_shapes.batch_job(batch, needs_model=needs_model, outputs=outputs)
    return JSONResponse(out.model_dump())


@router.post("/batch/jobs/{job_id}/cancel", responses={200: {"model": BatchJob}})
async def cancel_job(request: Request, actor: Asker, job_id: str) -> Response:
    """Stop a batch; results so far are kept."""
    return _job(request, await act(request, batches.cancel, actor, job_id))


@router.delete("/batch/jobs/{job_id}", responses={200: {"model": BatchDeleted}})
async def delete_job(request: Request, actor: Asker, job_id: str) -> Response:
    """Forget an ended batch; its files stay."""
    batch = await act(request, batches.delete, actor, job_id)
    return JSONResponse(BatchDeleted(id=batch.id).model_dump())


@router.post(
    "/batches", responses={200: {"model": OpenAIBatch}}, openapi_extra=documents(OpenAIBatchIn)
)
async def create_batch(request: Request, actor: Asker) -> Response:
    """Queue a batch of an uploaded file with purpose `batch`."""
    asked = batch_shapes.wanted_of_openai(checked(OpenAIBatchIn, await json_body(request)))
    database = house(request).database
    return _batch(await run_sync(partial(batches.create, database, actor, **asked)))


@router.get("/batches", responses={200: {"model": OpenAIBatchList}})
async def list_batches(
    request: Request,
    actor: Asker,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = OPENAI_PAGE,
) -> Response:
    """Newest first."""
    found = await look(request, batches.list_, actor, after=after, limit=limit)
    return JSONResponse(batch_shapes.openai_batch_list(found).model_dump())


@router.get("/batches/{batch_id}", responses={200: {"model": OpenAIBatch}})
async def retrieve_batch(request: Request, actor: Asker, batch_id: str) -> Response:
    return _batch(await look(request, batches.get, actor, batch_id))


@router.post("/batches/{batch_id}/cancel", responses={200: {"model": OpenAIBatch}})
async def cancel_batch(request: Request, actor: Asker, batch_id: str) -> Response:
    """Stop a batch; results so far are kept."""
    return _batch(await act(request, batches.cancel, actor, batch_id))


def _statuses(shown: list[str], agent_id: str | None) -> list[BatchStatus] | None:
    """No batch is an agent's, so one that is asked for has none."""
    if agent_id is not None:
        return []
    return batch_shapes.statuses_behind(shown) if shown else None


def _job(request: Request, batch: Batch) -> Response:
    needs_model = dialect.needs_batch_model(request)
    return JSONResponse(batch_shapes.batch_job(batch, needs_model=needs_model).model_dump())


def _batch(batch: Batch) -> Response:
    return JSONResponse(batch_shapes.openai_batch(batch).model_dump())
