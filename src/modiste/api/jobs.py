"""Routes of fine-tuning jobs, in both dialects on the same paths.

`dialect` decides which words a body is read in and an answer is given in; a job itself has none.
`metrics` and `progress` are ours.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import jobs
from modiste.api import dialect, mistral, openai
from modiste.api.dialect import Dialect
from modiste.api.door import Asker, act, checked, documents, house, json_body, look
from modiste.errors import BadRequest
from modiste.types import Job, JobStatus
from modiste.work import calibration

OPENAI_PAGE = 20
METADATA_FILTER = re.compile(r"metadata\[(.+)\]")
Moment = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]
"""A time in a query; one without a zone is UTC."""


class JobQuery(BaseModel):
    """By `page` and `page_size`, or by cursor with `after` and `limit`."""

    page: Annotated[int, Field(ge=0)] = 0
    page_size: Annotated[int, Field(ge=1, le=1000)] = 100
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    model: str | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    created_by_me: bool = False
    status: str | None = None
    wandb_project: str | None = None
    wandb_name: str | None = None
    suffix: str | None = None


def router(mount: Dialect | None) -> APIRouter:
    """The routes under one mount; its dialect only decides what the documentation shows."""
    routes = APIRouter(tags=["fine-tuning jobs"])
    shown = _Shown(mount)
    add = routes.add_api_route
    path = "/fine_tuning/jobs"
    one = f"{path}/{{job_id}}"
    job, detailed, listed = shown.job, shown.detailed, shown.listed
    body = documents(*shown.body)
    add(path, create_job, methods=["POST"], responses={200: {"model": job}}, openapi_extra=body)
    add(path, list_jobs, methods=["GET"], responses={200: {"model": listed}})
    add(one, retrieve_job, methods=["GET"], responses={200: {"model": detailed}})
    for verb in (cancel_job, start_job, pause_job, resume_job):
        name = verb.__name__.removesuffix("_job")
        add(f"{one}/{name}", verb, methods=["POST"], responses={200: {"model": detailed}})
    events, checkpoints = openai.FineTuningEventList, openai.FineTuningCheckpointList
    add(f"{one}/events", list_events, methods=["GET"], responses={200: {"model": events}})
    add(
        f"{one}/checkpoints",
        list_checkpoints,
        methods=["GET"],
        responses={200: {"model": checkpoints}},
    )
    return routes


async def create_job(
    request: Request, actor: Asker, dry_run: bool | None = None, explain: bool = False
) -> Response:
    """Queue a job. With `dry_run` nothing is created; the answer says what the job would take, and
    with `explain` (ours) also every field of its tuning as it was planned, memory, disk and time by
    part, and the speed of this machine, measured now where it is not known."""
    mistral_0 = dialect.is_mistral_0(request)
    body = await json_body(request)
    if dialect.switch(request, body) is Dialect.OPENAI:
        asked = openai.wanted(checked(openai.OpenAIJobIn, body))
    else:
        _refuse_repeated(dry_run, mistral_0=mistral_0)
        asked = mistral.wanted(checked(mistral.JobIn, body), mistral_0=mistral_0)
    if dry_run:
        database = house(request).database
        measure = calibration.measured if explain else None
        estimate = await run_sync(partial(jobs.estimate, database, actor, measure=measure, **asked))
        told = mistral.dry_run(estimate).model_dump()
        if explain:
            told |= {"spec": estimate.spec, "figures": estimate.figures}
        return JSONResponse(told)
    job = await act(request, jobs.create, actor, **asked)
    return _answer(request, job, detailed=False)


async def list_jobs(
    request: Request, actor: Asker, asked: Annotated[JobQuery, Query()]
) -> Response:
    """Newest first; `metadata[key]=value` filters too."""
    speaks_openai = dialect.of(request) is Dialect.OPENAI
    mistral_0 = dialect.is_mistral_0(request)
    filters = asked.model_dump(exclude={"status"})
    if asked.limit is None and (asked.after is not None or speaks_openai):
        filters["limit"] = OPENAI_PAGE

    def behind(auto_start: bool) -> list[JobStatus] | None:
        if asked.status is None:
            return None
        return mistral.statuses_behind(asked.status, auto_start=auto_start, mistral_0=mistral_0)

    found = await look(
        request,
        jobs.list_,
        actor,
        status=behind(False),
        auto_start_status=behind(True),
        metadata=_metadata_filter(request),
        **filters,
    )
    out: BaseModel = (
        openai.job_list(found) if speaks_openai else mistral.job_list(found, mistral_0=mistral_0)
    )
    return JSONResponse(out.model_dump(mode="json"))


async def retrieve_job(request: Request, actor: Asker, job_id: str) -> Response:
    """One job; in Mistral's words with its events and checkpoints."""
    return _answer(request, await look(request, jobs.get, actor, job_id))


async def cancel_job(request: Request, actor: Asker, job_id: str) -> Response:
    """Stop a job at any moment; asking again changes nothing."""
    return _answer(request, await act(request, jobs.cancel, actor, job_id))


async def start_job(request: Request, actor: Asker, job_id: str) -> Response:
    """Let a job run that was created with `auto_start: false`."""
    return _answer(request, await act(request, jobs.start, actor, job_id))


async def pause_job(request: Request, actor: Asker, job_id: str) -> Response:
    """Stop after a checkpoint and keep the place."""
    return _answer(request, await act(request, jobs.pause, actor, job_id))


async def resume_job(request: Request, actor: Asker, job_id: str) -> Response:
    """Undo `pause`."""
    return _answer(request, await act(request, jobs.resume, actor, job_id))


async def list_events(
    request: Request,
    actor: Asker,
    job_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> Response:
    """Newest first."""
    found = await look(request, jobs.events, actor, job_id, after=after, limit=limit)
    return JSONResponse(openai.event_list(found).model_dump())


async def list_checkpoints(
    request: Request,
    actor: Asker,
    job_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> Response:
    """Newest first."""
    job = await look(request, jobs.get, actor, job_id)
    found = await look(request, jobs.checkpoints, actor, job_id, after=after, limit=limit)
    return JSONResponse(openai.checkpoint_list(found, job).model_dump())


def _answer(request: Request, job: Job, *, detailed: bool = True) -> Response:
    out: BaseModel
    mistral_0 = dialect.is_mistral_0(request)
    if dialect.of(request) is Dialect.OPENAI:
        out = openai.job_out(job)
    elif detailed:
        out = mistral.detailed_job(job, mistral_0=mistral_0)
    else:
        out = mistral.job_out(job, mistral_0=mistral_0)
    return JSONResponse(out.model_dump(mode="json"))


def _refuse_repeated(dry_run: bool | None, *, mistral_0: bool) -> None:
    if mistral_0 and dry_run is None:
        raise BadRequest(
            "This looks like a repeated request: the 0.x client always says `dry_run` and drops "
            "it when it tries again, so a dry run would become a job. Send it anew.",
            param="dry_run",
        )


def _metadata_filter(request: Request) -> dict[str, str]:
    found = (
        (METADATA_FILTER.fullmatch(name), value)
        for name, value in request.query_params.multi_items()
    )
    return {match[1]: value for match, value in found if match}


class _Shown:
    """Which models the documentation of a mount names."""

    def __init__(self, mount: Dialect | None) -> None:
        created = mistral.CompletionJob | mistral.ClassifierJob | mistral.DryRun
        detailed = mistral.DetailedJob | mistral.DetailedClassifierJob
        self.job: object = created
        self.detailed: object = detailed
        self.listed: object = mistral.JobList
        self.body: tuple[type[BaseModel], ...] = (mistral.JobIn,)
        if mount is Dialect.OPENAI:
            self.job = openai.FineTuningJob | mistral.DryRun
            self.detailed = openai.FineTuningJob
            self.listed = openai.FineTuningJobList
            self.body = (openai.OpenAIJobIn,)
        elif mount is None:
            self.job = created | openai.FineTuningJob
            self.detailed = detailed | openai.FineTuningJob
            self.listed = mistral.JobList | openai.FineTuningJobList
            self.body = (mistral.JobIn, openai.OpenAIJobIn)
