"""What `mindsdb_sdk` asks beside statements: to log in, what is where, and what is not here.

A login gives back the key that it came with; nothing is kept. Agents, knowledge bases, uploads,
models brought along as code, and settings of a server are refused by name.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from modiste.actions import data_sources, keys
from modiste.errors import NotFound, NotYetSupported
from modiste.sql import catalog, names, sources
from modiste.sql.http import Asker, place
from modiste.sql.names import Names
from modiste.sql.session import Session

router = APIRouter(prefix="/api", tags=["sql"], include_in_schema=False)
Node = dict[str, Any]
ANY = ["GET", "PUT", "POST", "DELETE"]
REFUSED = {
    "/projects/{project}/agents": "agents: ask a model with SELECT, or at /v1/chat/completions",
    "/projects/{project}/knowledge_bases": "knowledge bases",
    "/config": "the config of a server over this API: modiste.yaml holds it",
    "/handlers": "code of models brought along: CREATE ML_ENGINE takes the handlers that are there",
    "/files": "uploads: put the file into the folder `sql_dir` and say CREATE DATABASE ... ENGINE "
    "= 'csv', 'parquet' or 'jsonl'",
}
"""Paths, and what is not supported there."""


class Login(BaseModel):
    model_config = ConfigDict(extra="ignore")
    password: str


@router.post("/login")
async def login(request: Request, said: Login) -> dict[str, str]:
    """Raises Unauthorized: the password is no living key."""
    await place(request).read(lambda tx: keys.authenticate(tx, said.password))
    return {"token": said.password}


@router.get("/tree/")
async def roots(request: Request, actor: Asker) -> list[Node]:
    seen = await names.load(Session(actor, place(request)))
    return [
        _node(name, "db", kind=kind, engine=engine, deletable=kind != "system")
        for name, kind, engine, _ in catalog.databases(seen)
    ]


@router.get("/tree/{database}")
async def inside(
    request: Request, actor: Asker, database: str, all_schemas: bool = False
) -> list[Node]:
    session = Session(actor, place(request))
    seen = await names.load(session)
    if not seen.is_database(database):
        raise NotFound(f"Database does not exist: {database}", param="database")
    if not seen.is_source(database):
        return _of_project(seen, database)
    found = await session.place.read(lambda tx: data_sources.opened(tx, actor, database))
    timeout = session.place.database.settings.sql_timeout_s
    listed = await asyncio.to_thread(sources.tables, found, timeout)
    nodes: dict[str, list[Node]] = {}
    for schema, name, kind in listed:
        node = _node(name, "table", kind="view" if kind == "VIEW" else "table", schema=schema)
        nodes.setdefault(schema or database, []).append(node)
    if all_schemas:
        return [{**_node(name, "schema"), "children": each} for name, each in nodes.items()]
    return [node for each in nodes.values() for node in each]


def _of_project(seen: Names, project: str) -> list[Node]:
    models = {v.name: v.engine for v in seen.versions if v.project == project}
    views = [view.name for view in seen.views if view.project == project]
    return [
        *(_node(name, "table", kind="system view") for name in names.SYSTEM),
        *(
            _node(name, "table", kind="model", engine=engine, deletable=True)
            for name, engine in models.items()
        ),
        *(_node(name, "table", kind="view", deletable=True) for name in views),
    ]


def _node(
    name: object,
    of: str,
    *,
    kind: object = None,
    engine: object = None,
    schema: str | None = None,
    deletable: bool = False,
) -> Node:
    told = {"name": name, "class": of, "type": kind, "engine": engine, "schema": schema}
    return {**told, "deletable": deletable, "visible": True}


def _refuse(path: str, what: str) -> None:
    async def refuse(actor: Asker) -> None:
        raise NotYetSupported(f"{what}: not supported here.")

    for each in (path, f"{path}/{{rest:path}}"):
        router.add_api_route(each, refuse, methods=ANY)


for _path, _what in REFUSED.items():
    _refuse(_path, _what)
