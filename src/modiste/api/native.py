"""Routes of our own: keys, bases, and the steps of a job as they happen.

Both `metrics` (JSON) and `progress` (server-sent events) tell every recorded step; a measure that
was not taken is null, never 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import jobs, keys, models, runs, upstreams
from modiste.actions.keys import require
from modiste.api import mistral, refusals
from modiste.api.dialect import Dialect
from modiste.api.door import (
    Asker,
    Body,
    House,
    act,
    checked,
    documents,
    house,
    json_body,
    look,
)
from modiste.api.shapes import BaseModelCard, model_card, seconds, seconds_or_none
from modiste.api.sse import EventStream, data
from modiste.errors import ModisteError
from modiste.store.database import Tx
from modiste.types import Actor, Job, Key, Scope

POLL_S = 0.5
router = APIRouter()


class KeyIn(Body):
    name: str
    scopes: list[str]


class KeyOut(BaseModel):
    id: str
    object: str = "key"
    name: str
    prefix: str
    """The first characters of the secret, to recognise it by."""
    scopes: list[str]
    created_at: int
    revoked_at: int | None


class CreatedKey(KeyOut):
    secret: str
    """Shown this once."""


class KeyList(BaseModel):
    object: str = "list"
    data: list[KeyOut]


class BaseIn(Body):
    name: str
    path: str
    """A folder on the server, or `hub:org/name`."""
    served_by: str | None = None
    """`vllm:URL` of the server that computes it and its adapters; absent: the built-in engine."""
    upstream_model: str | None = None
    """The name it has there; absent: the first that the server lists."""
    key_env: str | None = None
    """Environment variable of this server that holds the key of that one, if it has one."""


class BaseOut(BaseModel):
    id: str
    aliases: list[str]
    path: str
    """Folder on the server."""
    max_context_length: int
    tokens_per_s: float | None
    """Of the last training on it here; null before the first."""


class BaseList(BaseModel):
    object: str = "list"
    data: list[BaseOut]


class Metric(BaseModel):
    step: int
    created_at: int
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    n_tokens: int | None
    n_trained_tokens: int | None
    tokens_per_s: float | None
    trained_tokens_per_s: float | None
    valid_loss: float | None
    valid_token_accuracy: float | None
    measures: dict[str, float] | None
    """What the objective tells beside its loss; with DPO preference_accuracy, reward_margin, …"""
    valid_measures: dict[str, float] | None
    """The same over the validation files."""


class ProgressOut(BaseModel):
    """The last thing a running job said about itself."""

    step: int
    total_steps: int
    train_loss: float
    learning_rate: float
    tokens_per_s: float
    trained_tokens_per_s: float
    eta_s: float
    n_tokens: int
    grad_norm: float | None
    epoch: float | None
    memory_bytes: int | None
    peak_memory_bytes: int | None
    gpu_memory_bytes: int | None
    mfu: float | None


class Metrics(BaseModel):
    object: str = "list"
    data: list[Metric]
    progress: ProgressOut | None


@router.post(
    "/keys",
    tags=["keys"],
    responses={200: {"model": CreatedKey}},
    openapi_extra=documents(KeyIn),
)
async def create_key(request: Request, actor: Asker) -> Response:
    """Make a key with scopes of infer, data, train, admin. Its secret is in this answer alone."""
    asked = checked(KeyIn, await json_body(request))
    made = await act(request, keys.create, actor, name=asked.name, scopes=asked.scopes)
    return JSONResponse({**_key(made.key).model_dump(), "secret": made.secret})


@router.get("/keys", tags=["keys"], responses={200: {"model": KeyList}})
async def list_keys(request: Request, actor: Asker) -> Response:
    """Every key, revoked ones too, oldest first."""
    found = await look(request, keys.list_, actor)
    return JSONResponse(KeyList(data=[_key(key) for key in found]).model_dump())


@router.delete("/keys/{key_id}", tags=["keys"], responses={200: {"model": KeyOut}})
async def revoke_key(request: Request, actor: Asker, key_id: str) -> Response:
    """The key stops working at once, and stays in the list."""
    return JSONResponse(_key(await act(request, keys.revoke, actor, key_id)).model_dump())


@router.post(
    "/models/bases",
    tags=["models"],
    responses={200: {"model": BaseModelCard}},
    openapi_extra=documents(BaseIn),
)
async def add_base(request: Request, actor: Asker) -> Response:
    """Install a base model from a folder of the server or from the hub (downloaded now)."""
    asked = checked(BaseIn, await json_body(request))
    model = await run_sync(_add_base, house(request), actor, asked)
    return JSONResponse(model_card(model).model_dump())


@router.get("/models/bases", tags=["models"], responses={200: {"model": BaseList}})
async def list_bases(request: Request, actor: Asker) -> Response:
    """Where installed bases lie and how fast they trained here; for admin keys."""
    found = await look(request, _bases, actor)
    return JSONResponse(BaseList(data=found).model_dump())


@router.get(
    "/fine_tuning/jobs/{job_id}/metrics",
    tags=["fine-tuning jobs"],
    responses={200: {"model": Metrics}},
)
async def job_metrics(
    request: Request, actor: Asker, job_id: str, after_step: Annotated[int, Query(ge=-1)] = 0
) -> Response:
    """Every recorded training step after `after_step`, in order, and the latest progress. Step 0 is
    the base itself, where it was evaluated."""
    found = await look(request, _told, actor, job_id, after_step)
    return JSONResponse(found.metrics.model_dump())


@router.get("/fine_tuning/jobs/{job_id}/worst", tags=["fine-tuning jobs"])
async def job_worst(request: Request, actor: Asker, job_id: str) -> Response:
    """The rows the finished model finds hardest: file, line, loss and a masked excerpt."""
    found = await look(request, jobs.worst, actor, job_id)
    return Response(found, media_type="application/json")


@router.get(
    "/fine_tuning/jobs/{job_id}/progress",
    tags=["fine-tuning jobs"],
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def job_progress(
    request: Request, actor: Asker, job_id: str, after_step: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """A stream until the job ends: `status` per event of the job, `step` per training step,
    `progress` when it changed, and at last `job` with the whole job."""
    first = await look(request, _told, actor, job_id, after_step)
    return EventStream(
        _follow(request, actor, first), on_error=lambda error: _error_event(request, error)
    )


class _Told:
    """What a job has said since a step, as of one transaction."""

    def __init__(self, job: Job, metrics: list[Metric]) -> None:
        self.job = job
        progress = job.progress and ProgressOut(**asdict(job.progress))
        self.metrics = Metrics(data=metrics, progress=progress)


def _told(tx: Tx, actor: Actor, job_id: str, after_step: int) -> _Told:
    job = jobs.get(tx, actor, job_id)
    rows = jobs.metrics(tx, actor, job_id, after_step=after_step)
    names = [name for name in Metric.model_fields if name != "created_at"]
    metrics = [
        Metric(created_at=seconds(row.created_at), **{name: getattr(row, name) for name in names})
        for row in rows
    ]
    return _Told(job, metrics)


async def _follow(request: Request, actor: Actor, told: _Told) -> AsyncGenerator[bytes]:
    n_events, step, progress = 0, 0, None
    while True:
        job = mistral.detailed_job(told.job, mistral_0=False).model_dump(mode="json")
        for event in job["events"][n_events:]:
            yield data(event, event="status")
        n_events = len(job["events"])
        for metric in told.metrics.data:
            step = metric.step
            yield data(metric.model_dump(), event="step")
        if told.metrics.progress != progress:
            progress = told.metrics.progress
            yield data(progress.model_dump() if progress else None, event="progress")
        if told.job.status.final:
            yield data(job, event="job")
            return
        if request.app.state.draining.is_set():
            return
        await asyncio.sleep(POLL_S)
        told = await look(request, _told, actor, told.job.id, step)


def _error_event(request: Request, error: ModisteError) -> bytes:
    refusal = refusals.refuse(
        refusals.fault_of(error),
        dialect=Dialect.MISTRAL,
        path=request.scope["path"],
        request_id="",
    )
    return data(refusal.body, event="error")


def _add_base(behind: House, actor: Actor, asked: BaseIn) -> Any:
    if asked.served_by is None:
        return models.add_base(behind.database, actor, name=asked.name, path=asked.path)
    require(actor, Scope.ADMIN)  # Before any address is asked.
    there = upstreams.served_by(
        behind.settings, asked.served_by, model=asked.upstream_model, key_env=asked.key_env
    )
    return models.add_base(
        behind.database,
        actor,
        name=asked.name,
        path=asked.path,
        served_by=there,
        context_there=asyncio.run(upstreams.context_of(behind.settings, there)),
    )


def _bases(tx: Tx, actor: Actor) -> list[BaseOut]:
    return [
        BaseOut(
            id=base.id,
            aliases=list(base.aliases),
            path=base.path,
            max_context_length=base.max_context_length,
            tokens_per_s=runs.measured_speed(tx, base.id),
        )
        for base in models.bases(tx, actor)
    ]


def _key(key: Key) -> KeyOut:
    return KeyOut(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=sorted(key.scopes),
        created_at=seconds(key.created_at),
        revoked_at=seconds_or_none(key.revoked_at),
    )
