"""Routes of lineage: which rows a model saw, which models saw a row, and forgetting rows.

Ids of models hold `:` and may hold `/`, so these routes stand before those that match the rest of
a path.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import forgetting, lineage
from modiste.actions.forgetting import Forgetting
from modiste.actions.lineage import RowTrace, Trace
from modiste.actions.seen import MAX_ROWS_AT_ONCE, Holding
from modiste.api.door import Asker, Body, act, checked, documents, json_body, look
from modiste.api.shapes import seconds, seconds_or_none
from modiste.errors import InvalidInput
from modiste.store.database import Tx
from modiste.types import Actor, Forgotten, Stale

router = APIRouter(tags=["lineage"])
Use = Literal["train", "validation"]


class StaleOut(BaseModel):
    """The model learned from rows that were forgotten since."""

    at: int
    reason: str
    n_rows: int


class ParentOut(BaseModel):
    """What a model went on from."""

    model: str
    """Or a folder of the server."""
    job: str | None
    """Null where no job here made it: what it saw is not known."""
    deleted: bool


class SeenFileOut(BaseModel):
    job: str
    """The model's own, or that of a model it went on from."""
    file_id: str
    filename: str
    sha256: str
    use: Use
    weight: float
    rows: int | None
    """Null for models of a time when rows were not kept."""
    rows_left_out: int
    deleted: bool


class LineageOut(BaseModel):
    object: Literal["lineage"] = "lineage"
    model: str
    base: str | None
    job: str
    dataset: str | None
    """`name@version`, where the job was given one."""
    code_version: str | None
    trained_at: int | None
    epochs: float | None
    """Below 1, training ended before it had reached every row."""
    parents: list[ParentOut]
    """What it went on from, back to the base."""
    files: list[SeenFileOut]
    rows_forgotten: int
    stale: StaleOut | None


class SeenRowOut(BaseModel):
    id: str
    file_id: str
    line: int
    use: Use
    job: str


class SeenRowList(BaseModel):
    object: Literal["list"] = "list"
    data: list[SeenRowOut]
    has_more: bool


class RowAtOut(BaseModel):
    id: str
    line: int


class FileRowList(BaseModel):
    object: Literal["list"] = "list"
    data: list[RowAtOut]


class SeenByOut(BaseModel):
    model: str
    job: str
    """The one that met the row."""
    use: Use
    file_id: str
    lines: list[int]
    stale: bool
    deleted: bool
    through: str | None
    """The model it went on from, whose job met the row; null where its own did."""


class HoldingOut(BaseModel):
    file_id: str
    filename: str
    lines: list[int]
    datasets: list[str]


class ForgottenOut(BaseModel):
    id: str
    reason: str
    at: int


class RowOut(BaseModel):
    object: Literal["row"] = "row"
    id: str
    models: list[SeenByOut]
    files: list[HoldingOut]
    """Files of this server that hold the row."""
    forgotten: ForgottenOut | None


class ForgetIn(Body):
    """Rows by id, or by the lines where they stand in a file."""

    rows: Annotated[list[str], Field(max_length=MAX_ROWS_AT_ONCE)] | None = None
    file: str | None = None
    lines: Annotated[list[int], Field(max_length=MAX_ROWS_AT_ONCE)] | None = None
    """Of `file`."""
    reason: str


class ForgettingOut(BaseModel):
    object: Literal["forgetting"] = "forgetting"
    rows: list[ForgottenOut]
    stale_models: list[str]
    unfinished_jobs: list[str]
    files: list[HoldingOut]
    unknown: list[str]
    """Rows that nothing here holds or has seen; they are refused from now on all the same."""


@router.get("/models/{model_id:path}/lineage", responses={200: {"model": LineageOut}})
async def model_lineage(request: Request, actor: Asker, model_id: str) -> Response:
    """Where a fine-tuned model comes from: job, files, rows, code."""
    return JSONResponse(_lineage(await look(request, lineage.trace, actor, model_id)).model_dump())


@router.get("/models/{model_id:path}/rows", responses={200: {"model": SeenRowList}})
async def model_rows(
    request: Request,
    actor: Asker,
    model_id: str,
    file_id: str,
    job: str | None = None,
    after_line: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """The rows of one file that a model saw, in the order of lines; `job` says which use of it is
    meant where the model went on from one that saw it too."""
    found = await look(
        request,
        lineage.rows,
        actor,
        model_id,
        file_id=file_id,
        job_id=job,
        after_line=after_line,
        limit=limit + 1,
    )
    data = [
        SeenRowOut(id=row.id, file_id=row.file_id, line=row.line, use=row.use.value, job=row.job_id)
        for row in found[:limit]
    ]
    return JSONResponse(SeenRowList(data=data, has_more=len(found) > limit).model_dump())


@router.get("/rows/{row_id}/models", responses={200: {"model": RowOut}})
async def row_models(request: Request, actor: Asker, row_id: str) -> Response:
    """Which models saw a row, and which files hold it."""
    return JSONResponse(_row(await look(request, lineage.row, actor, row_id)).model_dump())


@router.get("/files/{file_id}/rows", responses={200: {"model": FileRowList}})
async def file_rows(
    request: Request,
    actor: Asker,
    file_id: str,
    line: Annotated[list[int], Query(max_length=MAX_ROWS_AT_ONCE)],
) -> Response:
    """The ids of the rows that stand in some lines of a file."""
    ids = await look(request, lineage.row_ids, actor, file_id, line)
    data = [RowAtOut(id=id, line=at) for at, id in zip(line, ids, strict=True)]
    return JSONResponse(FileRowList(data=data).model_dump())


@router.post(
    "/rows/forget",
    responses={200: {"model": ForgettingOut}},
    openapi_extra=documents(ForgetIn),
)
async def forget_rows(request: Request, actor: Asker) -> Response:
    """Let no model learn from these rows any more. There is no way back."""
    asked = checked(ForgetIn, await json_body(request))
    return JSONResponse(_forgetting(await act(request, _forget, actor, asked)).model_dump())


def _forget(tx: Tx, actor: Actor, asked: ForgetIn) -> Forgetting:
    ids = list(asked.rows or ())
    if (asked.file is None) is not (not asked.lines):
        raise InvalidInput("file and lines go together: which lines of which file", param="lines")
    if asked.file is not None:
        ids += lineage.row_ids(tx, actor, asked.file, asked.lines or ())
    return forgetting.forget(tx, actor, ids, reason=asked.reason)


def _lineage(found: Trace) -> LineageOut:
    return LineageOut(
        model=found.model.id,
        base=found.model.base,
        job=found.job_id,
        dataset=found.dataset,
        code_version=found.code_version,
        trained_at=seconds_or_none(found.trained_at),
        epochs=found.epochs,
        parents=[
            ParentOut(model=parent.model, job=parent.job_id, deleted=parent.deleted)
            for parent in found.parents
        ],
        files=[
            SeenFileOut(
                job=file.job_id,
                file_id=file.file_id,
                filename=file.filename,
                sha256=file.sha256,
                use=file.use.value,
                weight=file.weight,
                rows=file.n_rows,
                rows_left_out=file.n_left_out,
                deleted=file.deleted,
            )
            for file in found.files
        ],
        rows_forgotten=found.n_forgotten,
        stale=stale_out(found.model.stale),
    )


def stale_out(stale: Stale | None) -> StaleOut | None:
    if stale is None:
        return None
    return StaleOut(at=seconds(stale.at), reason=stale.reason, n_rows=stale.n_rows)


def _row(found: RowTrace) -> RowOut:
    return RowOut(
        id=found.row_id,
        models=[
            SeenByOut(
                model=seen.model,
                job=seen.job_id,
                use=seen.use.value,
                file_id=seen.file_id,
                lines=list(seen.lines),
                stale=seen.stale,
                deleted=seen.deleted,
                through=seen.through,
            )
            for seen in found.models
        ],
        files=[_holding(file) for file in found.files],
        forgotten=found.forgotten and _forgotten(found.forgotten),
    )


def _forgetting(found: Forgetting) -> ForgettingOut:
    return ForgettingOut(
        rows=[_forgotten(row) for row in found.rows],
        stale_models=list(found.stale_models),
        unfinished_jobs=list(found.unfinished_jobs),
        files=[_holding(file) for file in found.files],
        unknown=list(found.unknown),
    )


def _holding(file: Holding) -> HoldingOut:
    return HoldingOut(
        file_id=file.file_id,
        filename=file.filename,
        lines=list(file.lines),
        datasets=list(file.datasets),
    )


def _forgotten(row: Forgotten) -> ForgottenOut:
    return ForgottenOut(id=row.row_id, reason=row.reason, at=seconds(row.created_at))
