"""The HTTP wire: the few routes that `mindsdb_sdk` and scripts use, JSON in, JSON out.

A statement's error is an answer of type `error` under status 200, as these clients expect. Who asks
is said by a key, as everywhere: `Authorization: Bearer`, `X-Api-Key`, or as the password of basic
authorization.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste import __version__
from modiste.actions import keys, projects
from modiste.errors import Unauthorized
from modiste.sql import do_sources, errors, execute, names, predict
from modiste.sql.errors import SqlError
from modiste.sql.result import Done, Result, Rows
from modiste.sql.session import PROJECT, Place, Session
from modiste.sql.statements import Use
from modiste.types import Actor

router = APIRouter(prefix="/api", tags=["sql"], include_in_schema=False)
"""Not in the OpenAPI document, which is of the API that is ours: these shapes are others'."""


class Context(BaseModel):
    model_config = ConfigDict(extra="ignore")
    db: str | None = None


class Question(BaseModel):
    model_config = ConfigDict(extra="ignore")
    query: str
    context: Context = Context()


class Predicted(BaseModel):
    model_config = ConfigDict(extra="ignore")
    data: list[dict[str, Any]]
    params: dict[str, Any] = Field(default_factory=dict)


class Told(BaseModel):
    """`ok`, `table` or `error`, with the database that the next statement starts in."""

    type: str
    affected_rows: int | None = None
    column_names: list[str] | None = None
    data: list[list[Any]] | None = None
    error_code: int | None = None
    error_message: str | None = None
    context: Context = Context()


def place(request: Request) -> Place:
    found: Place = request.app.state.sql
    return found


async def asker(request: Request) -> Actor:
    """Raises Unauthorized: no key, or none that lives."""
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            said = base64.b64decode(said).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            said = ""
    said = said or request.headers.get("x-api-key", "")
    if not said:
        raise Unauthorized(
            "No API key: send `Authorization: Bearer <key>` or `X-Api-Key: <key>`, or the key as "
            "the password of basic authorization. The first key is in `<home>/admin.key`."
        )
    return await place(request).read(lambda tx: keys.authenticate(tx, said))


Asker = Annotated[Actor, Depends(asker)]


@router.get("/status")
async def status() -> dict[str, Any]:
    """Who is here; without a key, as clients ask before they send one."""
    return {
        "environment": "modiste",
        "mindsdb_version": __version__,
        "auth": {"confirmed": True, "http_auth_enabled": True, "provider": "modiste"},
    }


@router.get("/projects")
async def listed(request: Request, actor: Asker) -> list[dict[str, str]]:
    found = await place(request).read(lambda tx: projects.list_(tx, actor))
    return [{"name": name} for name in found]


@router.get("/projects/{project}")
async def one(request: Request, actor: Asker, project: str) -> dict[str, str]:
    await place(request).read(lambda tx: projects.known(tx, actor, project))
    return {"name": project}


@router.post("/sql/query", response_model=Told)
async def query(request: Request, actor: Asker, question: Question) -> Response:
    """Every statement of the text is done; the answer is that of the last one. A `context.db` that
    is not there is an error of the first."""
    session = Session(actor, place(request))
    told: dict[str, Any] = {"type": "ok", "affected_rows": 0}
    try:
        if question.context.db and question.context.db != PROJECT:
            await do_sources.use(Use(question.context.db), session)
        async for result in execute.execute(question.query, session):
            told = await _told(result)
    except SqlError as error:
        told = {"type": "error", "error_code": error.code, "error_message": error.message}
    told["context"] = {"db": session.database}
    return _json(told)


@router.post("/projects/{project}/models/{model}/predict")
async def predicted(
    request: Request, actor: Asker, project: str, model: str, asked: Predicted
) -> Response:
    """One answer for each row of `data`, under the model's column; `model` may end in `.N`."""
    session = Session(actor, place(request), database=project)
    try:
        seen = await names.load(session)
        named = seen.named((project, *model.split(".")))
        version = seen.model(named)
        if version is None:
            raise errors.no_table(f"Model does not exist: {named}")
        rows = [{key.lower(): value for key, value in row.items()} for row in asked.data]
        said = await predict.answers(session, version, rows, asked.params)
    except SqlError as error:
        told = {"type": "error", "error_code": error.code, "error_message": error.message}
        return JSONResponse(told, status_code=404 if error.code == 1146 else 400)
    pairs = zip(asked.data, said, strict=True)
    return _json([{**row, version.predict: answer} for row, answer in pairs])


async def _told(result: Result) -> dict[str, Any]:
    if isinstance(result, Done):
        return {"type": "ok", "affected_rows": result.affected}
    data = [list(row) async for batch in result.batches for row in batch]
    return {"type": "table", "column_names": _names(result), "data": data}


def _names(result: Rows) -> list[str]:
    return [column.name for column in result.columns]


def _json(told: Mapping[str, Any] | list[Any]) -> Response:
    """Bytes and other values that JSON has no form for are told as text."""
    return Response(orjson.dumps(told, default=_as_text), media_type="application/json")


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
