"""Routes of datasets: made of uploaded files, in versions, with rows to look at."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import datasets
from modiste.actions.curation import MAIN
from modiste.actions.datasets import PartFile
from modiste.api.door import Asker, Body, act, checked, documents, json_body, look
from modiste.api.shapes import seconds, seconds_or_none
from modiste.types import Dataset, DatasetFile, DatasetVersion, VersionStatus

router = APIRouter(tags=["datasets"])


class PartFileIn(Body):
    file_id: str
    part: str = MAIN


class VersionIn(Body):
    """Files, and what is to be made of them; without stages the files are the version."""

    files: Annotated[list[str | PartFileIn], Field(min_length=1)]
    stages: list[str | dict[str, Any]] | None = None
    """As in a pipeline's YAML; other files are named by their ids."""
    manifest: dict[str, Any] | None = None
    """`dataset.json` of a pipeline that ran elsewhere."""


class DatasetIn(VersionIn):
    name: str
    description: str | None = None


class DatasetFileOut(BaseModel):
    part: str
    file_id: str
    filename: str
    sha256: str
    rows: int | None


class DatasetProblem(BaseModel):
    code: str
    message: str


class VersionOut(BaseModel):
    object: Literal["dataset.version"] = "dataset.version"
    id: str
    dataset: str
    version: int
    name: str
    """`name@version`: what a job may be given as `dataset`."""
    status: VersionStatus
    inputs: list[DatasetFileOut]
    stages: list[dict[str, Any]]
    files: list[DatasetFileOut]
    code_version: str
    created_at: int
    finished_at: int | None
    error: DatasetProblem | None


class DatasetOut(BaseModel):
    object: Literal["dataset"] = "dataset"
    id: str
    name: str
    description: str | None
    created_at: int
    versions: list[VersionOut]
    """Newest first."""


class DatasetList(BaseModel):
    object: Literal["list"] = "list"
    data: list[DatasetOut]


class DatasetDeleted(BaseModel):
    id: str
    name: str
    object: Literal["dataset"] = "dataset"
    deleted: Literal[True] = True


class DatasetRowOut(BaseModel):
    id: str
    line: int
    value: Any


class DatasetRowList(BaseModel):
    object: Literal["list"] = "list"
    data: list[DatasetRowOut]
    has_more: bool


class StageReports(BaseModel):
    stages: list[dict[str, Any]]


@router.post(
    "/datasets", responses={200: {"model": DatasetOut}}, openapi_extra=documents(DatasetIn)
)
async def create_dataset(request: Request, actor: Asker) -> Response:
    """Make a dataset and its first version."""
    asked = checked(DatasetIn, await json_body(request))
    named: dict[str, Any] = {"name": asked.name, "description": asked.description}
    await act(request, datasets.create, actor, **named, **_wanted(asked))
    return await _whole(request, actor, asked.name)


@router.get("/datasets", responses={200: {"model": DatasetList}})
async def list_datasets(request: Request, actor: Asker) -> Response:
    """Newest first, each with its versions."""
    found = await look(request, datasets.list_, actor)
    return JSONResponse(DatasetList(data=[_dataset(d) for d in found]).model_dump(mode="json"))


@router.get("/datasets/{name}", responses={200: {"model": DatasetOut}})
async def retrieve_dataset(request: Request, actor: Asker, name: str) -> Response:
    return await _whole(request, actor, name)


@router.delete("/datasets/{name}", responses={200: {"model": DatasetDeleted}})
async def delete_dataset(request: Request, actor: Asker, name: str) -> Response:
    """All versions go, and files that were built for them; uploaded files stay."""
    gone = await act(request, datasets.delete, actor, name)
    return JSONResponse(DatasetDeleted(id=gone.id, name=gone.name).model_dump())


@router.post(
    "/datasets/{name}/versions",
    responses={200: {"model": VersionOut}},
    openapi_extra=documents(VersionIn),
)
async def add_version(request: Request, actor: Asker, name: str) -> Response:
    """Make the next version; those before stay as they are."""
    asked = checked(VersionIn, await json_body(request))
    made = await act(request, datasets.add_version, actor, name, **_wanted(asked))
    return JSONResponse(_version(made).model_dump(mode="json"))


@router.get("/datasets/{name}/versions/{version}", responses={200: {"model": VersionOut}})
async def retrieve_version(request: Request, actor: Asker, name: str, version: int) -> Response:
    found = await look(request, datasets.version, actor, name, version)
    return JSONResponse(_version(found).model_dump(mode="json"))


@router.get("/datasets/{name}/versions/{version}/rows", responses={200: {"model": DatasetRowList}})
async def list_rows(
    request: Request,
    actor: Asker,
    name: str,
    version: int,
    part: str = MAIN,
    after: Annotated[int, Query(ge=0, description="Rows to skip")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Rows of one part in the order of its files."""
    wanted: dict[str, Any] = {"part": part, "after": after, "limit": limit + 1}
    found = await look(request, datasets.rows, actor, name, version, **wanted)
    data = [DatasetRowOut(id=row.id, line=row.line, value=row.value) for row in found[:limit]]
    return JSONResponse(DatasetRowList(data=data, has_more=len(found) > limit).model_dump())


@router.get(
    "/datasets/{name}/versions/{version}/manifest",
    responses={200: {"model": dict[str, Any]}},
)
async def version_manifest(request: Request, actor: Asker, name: str, version: int) -> Response:
    """What stages made it, with what settings, out of which files, with which code."""
    found = await look(request, datasets.manifest, actor, name, version)
    return JSONResponse(orjson.loads(found))


@router.get("/datasets/{name}/versions/{version}/report", responses={200: {"model": StageReports}})
async def version_report(request: Request, actor: Asker, name: str, version: int) -> Response:
    """What each stage said about what it kept and what it left out."""
    return JSONResponse(orjson.loads(await look(request, datasets.report, actor, name, version)))


def _wanted(asked: VersionIn) -> dict[str, Any]:
    return {
        "part_files": [
            PartFile(file) if isinstance(file, str) else PartFile(file.file_id, file.part)
            for file in asked.files
        ],
        "stages": asked.stages or (),
        "manifest": asked.manifest,
    }


async def _whole(request: Request, actor: Asker, name: str) -> Response:
    found = await look(request, datasets.get, actor, name)
    return JSONResponse(_dataset(found).model_dump(mode="json"))


def _dataset(found: Dataset) -> DatasetOut:
    return DatasetOut(
        id=found.id,
        name=found.name,
        description=found.description,
        created_at=seconds(found.created_at),
        versions=[_version(version) for version in found.versions],
    )


def _version(found: DatasetVersion) -> VersionOut:
    return VersionOut(
        id=found.id,
        dataset=found.dataset,
        version=found.version,
        name=found.label,
        status=found.status,
        inputs=[_file(file) for file in found.inputs],
        stages=[dict(stage) for stage in found.stages],
        files=[_file(file) for file in found.files],
        code_version=found.code_version,
        created_at=seconds(found.created_at),
        finished_at=seconds_or_none(found.finished_at),
        error=found.error and DatasetProblem(code=found.error.code, message=found.error.message),
    )


def _file(file: DatasetFile) -> DatasetFileOut:
    return DatasetFileOut(
        part=file.part,
        file_id=file.file_id,
        filename=file.filename,
        sha256=file.sha256,
        rows=file.n_rows,
    )
