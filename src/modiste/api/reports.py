"""Routes of what the checks said: of a file when it came, of a job's files when it was validated.

Reports are stored as they are told; `format=html` makes one page of them that needs no network.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from modiste.actions import files, jobs
from modiste.api.door import Asker, look
from modiste.prepare.report_html import page

router = APIRouter()
As = Annotated[Literal["json", "html"], Query(description="JSON, or one page to read")]


class ProblemOut(BaseModel):
    """One thing wrong with one row. `severity` is `error` or `warning`."""

    model_config = ConfigDict(extra="allow")
    line: int | None
    path: str
    code: str
    severity: Literal["error", "warning"]
    value: str | None
    message: str
    hint: str | None


class FileReport(BaseModel):
    model_config = ConfigDict(extra="allow")
    file: str
    format: str | None
    rows: int
    problems: list[ProblemOut]


class ReportOut(BaseModel):
    """`ok` says whether every row may be trained on; warnings do not count."""

    model_config = ConfigDict(extra="allow")
    ok: bool
    modiste_version: str
    files: list[FileReport]


class PreviewOut(BaseModel):
    """Some rows of each training file, token by token, as they are trained."""

    files: list[dict[str, Any]]
    files_not_shown: list[str]


ONE_PAGE: dict[str, Any] = {"content": {"text/html": {}}}


@router.get(
    "/files/{file_id}/report", tags=["files"], responses={200: {"model": ReportOut, **ONE_PAGE}}
)
async def file_report(
    request: Request, actor: Asker, file_id: str, format: As = "json"
) -> Response:
    """What the checks said of a training file when it came."""
    report = orjson.loads(await look(request, files.report, actor, file_id))
    return await _answer(report, format)


@router.get(
    "/fine_tuning/jobs/{job_id}/report",
    tags=["fine-tuning jobs"],
    responses={200: {"model": ReportOut, **ONE_PAGE}},
)
async def job_report(request: Request, actor: Asker, job_id: str, format: As = "json") -> Response:
    """What validation said of all files of a job, with tokens counted; a page has the preview."""
    report = orjson.loads(await look(request, jobs.report, actor, job_id))
    if format == "html":
        preview = orjson.loads(await look(request, jobs.preview, actor, job_id))
        _put_in(report, preview)
    return await _answer(report, format)


@router.get(
    "/fine_tuning/jobs/{job_id}/preview",
    tags=["fine-tuning jobs"],
    responses={200: {"model": PreviewOut}},
)
async def job_preview(request: Request, actor: Asker, job_id: str) -> Response:
    """Which tokens of a few rows a job trains on."""
    return JSONResponse(orjson.loads(await look(request, jobs.preview, actor, job_id)))


def _put_in(report: dict[str, Any], preview: dict[str, Any]) -> None:
    """Each preview to the report of its file: both list training files first, in order."""
    for file, shown in zip(report["files"], preview["files"], strict=False):
        file["preview"] = shown


async def _answer(report: dict[str, Any], format: str) -> Response:
    if format == "html":
        names = ", ".join(file["file"] for file in report["files"])
        return HTMLResponse(await run_sync(lambda: page(report, title=names)))
    return JSONResponse(report)
