"""Routes of aliases: names that clients ask for, and which model answers to them.

Reading takes any key, switching one that may train. A name may hold `/`, so it is the rest of the
path.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import aliases
from modiste.api.door import Asker, Body, act, checked, documents, json_body, look
from modiste.api.shapes import seconds
from modiste.types import Alias

router = APIRouter(tags=["models"])


class AliasIn(Body):
    model: str
    """Id of the model that answers from now on, or another alias that stands for it now."""


class AliasOut(BaseModel):
    object: Literal["alias"] = "alias"
    name: str
    model: str | None
    """Null: the name was taken away."""
    set_at: int
    set_by: str
    """Id of the key that did."""


class AliasList(BaseModel):
    object: Literal["list"] = "list"
    data: list[AliasOut]


@router.get("/models/aliases", responses={200: {"model": AliasList}})
async def list_aliases(request: Request, actor: Asker) -> Response:
    """What every alias stands for now. Those of the settings are in the cards of their models."""
    found = await look(request, aliases.list_, actor)
    return JSONResponse(AliasList(data=[_out(alias) for alias in found]).model_dump())


@router.get("/models/aliases/{name:path}", responses={200: {"model": AliasList}})
async def alias_history(request: Request, actor: Asker, name: str) -> Response:
    """Every switch of one alias, newest first."""
    found = await look(request, aliases.history, actor, name)
    return JSONResponse(AliasList(data=[_out(alias) for alias in found]).model_dump())


@router.put(
    "/models/aliases/{name:path}",
    responses={200: {"model": AliasOut}},
    openapi_extra=documents(AliasIn),
)
async def set_alias(request: Request, actor: Asker, name: str) -> Response:
    """From the next request on the model answers to this name, through every door."""
    asked = checked(AliasIn, await json_body(request))
    alias = await act(request, aliases.set_, actor, name, asked.model)
    return JSONResponse(_out(alias).model_dump())


@router.delete("/models/aliases/{name:path}", responses={200: {"model": AliasOut}})
async def remove_alias(request: Request, actor: Asker, name: str) -> Response:
    """The name stands for nothing, or for what the settings say."""
    return JSONResponse(_out(await act(request, aliases.remove, actor, name)).model_dump())


def _out(alias: Alias) -> AliasOut:
    return AliasOut(
        name=alias.name, model=alias.model, set_at=seconds(alias.set_at), set_by=alias.set_by
    )
