"""Routes of evaluations: suites asked, runs followed, samples fetched, answers graded anew."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from modiste.actions import eval_imports, evaluations
from modiste.api.door import Asker, Body, act, checked, documents, house, json_body, look
from modiste.api.shapes import seconds, seconds_or_none
from modiste.evaluate.suite import Suite
from modiste.types import EvalRun, EvalStatus

router = APIRouter(tags=["evals"])


class EvalRunIn(Body):
    suite: dict[str, Any]
    """As in a suite's YAML, with ids of uploaded files in place of paths: `GET /v1/evals/schema`
    describes it."""
    models: list[str] | None = None
    """Those of the suite's models to run; all of them by default."""


class RescoreIn(Body):
    suite: dict[str, Any] | None = None
    """Its scorers grade the answers; by default those of the run."""


class ImportIn(Body):
    run: dict[str, Any]
    """What another program says of a run that it asked and graded: suite, model, harness,
    chat_template, flags, scorers with its own figures."""
    file_id: str
    """Its samples, an uploaded file of JSON lines as `GET /v1/evals/runs/{id}/samples` has them."""
    group: str | None = None
    """A UUID that runs of one command share."""


class EvalCountsOut(BaseModel):
    total: int
    done: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_micro: int


class EvalErrorOut(BaseModel):
    code: str
    message: str
    param: str | None


class EvalRunOut(BaseModel):
    object: Literal["eval.run"] = "eval.run"
    id: str
    status: EvalStatus
    suite: str
    subject: str
    model: str
    model_id: str
    group: str | None
    source: str | None
    counts: EvalCountsOut
    metrics: list[dict[str, Any]]
    record: dict[str, Any] | None
    error: EvalErrorOut | None
    created_at: int
    started_at: int | None
    finished_at: int | None


class EvalRunList(BaseModel):
    object: Literal["list"] = "list"
    data: list[EvalRunOut]
    total: int


class EvalRunDeleted(BaseModel):
    id: str
    object: Literal["eval.run"] = "eval.run"
    deleted: Literal[True] = True


@router.get("/evals/schema")
async def suite_schema(actor: Asker) -> Response:
    """What a suite may say, as JSON Schema."""
    return JSONResponse(Suite.model_json_schema())


@router.post(
    "/evals/runs", responses={200: {"model": EvalRunList}}, openapi_extra=documents(EvalRunIn)
)
async def create_eval_runs(request: Request, actor: Asker) -> Response:
    """Queue a run for each model of a suite."""
    asked = checked(EvalRunIn, await json_body(request))
    create = partial(evaluations.create, spec=asked.suite, subjects=asked.models)
    made = await run_sync(create, house(request).database, actor)
    return JSONResponse(_listed(made, len(made)))


@router.post(
    "/evals/runs:import", responses={200: {"model": EvalRunOut}}, openapi_extra=documents(ImportIn)
)
async def import_eval_run(request: Request, actor: Asker) -> Response:
    """Keep a run that another program asked and graded; its figures are computed anew."""
    asked = checked(ImportIn, await json_body(request))
    take = partial(
        eval_imports.import_run, spec=asked.run, file_id=asked.file_id, group=asked.group
    )
    return _one(await run_sync(take, house(request).database, actor))


@router.get("/evals/runs", responses={200: {"model": EvalRunList}})
async def list_eval_runs(
    request: Request,
    actor: Asker,
    page: Annotated[int, Query(ge=0)] = 0,
    page_size: Annotated[int, Query(ge=1, le=1000)] = 100,
    suite: str | None = None,
    model: str | None = None,
    group: str | None = None,
    status: Annotated[list[EvalStatus] | None, Query()] = None,
) -> Response:
    """Newest first."""
    found = await look(
        request,
        evaluations.list_,
        actor,
        page=page,
        page_size=page_size,
        suite=suite,
        model=model,
        group=group,
        status=status,
    )
    return JSONResponse(_listed(found.items, found.total))


@router.get("/evals/runs/{run_id}", responses={200: {"model": EvalRunOut}})
async def retrieve_eval_run(request: Request, actor: Asker, run_id: str) -> Response:
    """One run: how far it is, and what it came to."""
    return _one(await look(request, evaluations.get, actor, run_id))


@router.get("/evals/runs/{run_id}/suite", responses={200: {"model": dict[str, Any]}})
async def retrieve_eval_suite(request: Request, actor: Asker, run_id: str) -> Response:
    """The suite as it was asked for."""
    return JSONResponse(dict((await look(request, evaluations.get, actor, run_id)).spec))


@router.get(
    "/evals/runs/{run_id}/samples", responses={200: {"content": {"application/x-ndjson": {}}}}
)
async def retrieve_eval_samples(request: Request, actor: Asker, run_id: str) -> Response:
    """Every sample as a JSON line: item, prompt, answer, scores."""
    chunks = await look(request, evaluations.samples, actor, run_id)
    return StreamingResponse(chunks, media_type="application/x-ndjson")


@router.post("/evals/runs/{run_id}/cancel", responses={200: {"model": EvalRunOut}})
async def cancel_eval_run(request: Request, actor: Asker, run_id: str) -> Response:
    """Stop a run; its answers so far are kept."""
    return _one(await act(request, evaluations.cancel, actor, run_id))


@router.post("/evals/runs/{run_id}/resume", responses={200: {"model": EvalRunOut}})
async def resume_eval_run(request: Request, actor: Asker, run_id: str) -> Response:
    """Ask what a run that ended has no answer to."""
    return _one(await act(request, evaluations.resume, actor, run_id))


@router.post(
    "/evals/runs/{run_id}/rescore",
    responses={200: {"model": EvalRunOut}},
    openapi_extra=documents(RescoreIn),
)
async def rescore_eval_run(request: Request, actor: Asker, run_id: str) -> Response:
    """Grade the answers of a run anew, without asking its model again."""
    asked = checked(RescoreIn, await json_body(request))
    rescore = partial(evaluations.rescore, spec=asked.suite)
    return _one(await run_sync(rescore, house(request).database, actor, run_id))


@router.delete("/evals/runs/{run_id}", responses={200: {"model": EvalRunDeleted}})
async def delete_eval_run(request: Request, actor: Asker, run_id: str) -> Response:
    """Forget an ended run and its samples."""
    gone = await act(request, evaluations.delete, actor, run_id)
    return JSONResponse(EvalRunDeleted(id=gone.id).model_dump())


def _one(run: EvalRun) -> Response:
    return JSONResponse(_out(run).model_dump(mode="json"))


def _listed(runs: Any, total: int) -> dict[str, Any]:
    return EvalRunList(data=[_out(run) for run in runs], total=total).model_dump(mode="json")


def _out(run: EvalRun) -> EvalRunOut:
    error = run.error
    return EvalRunOut(
        id=run.id,
        status=run.status,
        suite=run.suite,
        subject=run.subject,
        model=run.model,
        model_id=run.model_id,
        group=run.group,
        source=run.source,
        counts=EvalCountsOut(
            total=run.counts.total,
            done=run.counts.done,
            failed=run.counts.failed,
            prompt_tokens=run.counts.prompt_tokens,
            completion_tokens=run.counts.completion_tokens,
            cost_micro=run.counts.cost_micro,
        ),
        metrics=[dict(metric) for metric in run.metrics],
        record=None if run.record is None else dict(run.record),
        error=None
        if error is None
        else EvalErrorOut(code=error.code, message=error.message, param=error.param),
        created_at=seconds(run.created_at),
        started_at=seconds_or_none(run.started_at),
        finished_at=seconds_or_none(run.finished_at),
    )
