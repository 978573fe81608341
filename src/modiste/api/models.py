"""Routes of models: cards for both dialects, and what the owner of a fine-tuned model may do.

Model ids hold `:` and may hold `/`, so they are matched as the rest of the path.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import models, upstreams
from modiste.api.door import Asker, Body, act, checked, documents, house, json_body, look
from modiste.api.shapes import (
    ModelArchived,
    ModelCard,
    ModelDeleted,
    ModelList,
    TunedModelOut,
    model_card,
    tuned_model_out,
)
from modiste.store.database import Tx
from modiste.types import Actor, ModelKind, Spent

router = APIRouter(tags=["models"])


class ModelUpdate(Body):
    name: str | None = None
    description: str | None = None


@router.get("/models", responses={200: {"model": ModelList}})
async def list_models(
    request: Request, actor: Asker, provider: str | None = None, model: str | None = None
) -> Response:
    """Bases first, then fine-tuned models; `model` keeps one id or alias, `provider` one owner."""
    found = await look(request, models.list_, actor)
    kept = [
        each
        for each in found
        if model in (None, each.id, *each.aliases) and provider in (None, each.owned_by)
    ]
    return JSONResponse({"object": "list", "data": [model_card(m).model_dump() for m in kept]})


@router.get("/models/{model_id:path}", responses={200: {"model": ModelCard}})
async def retrieve_model(request: Request, actor: Asker, model_id: str) -> Response:
    model = await look(request, models.get, actor, model_id)
    if model.upstream is None:
        return JSONResponse(model_card(model).model_dump())
    told = house(request).upstreams.told(model)
    hosted = model.kind is ModelKind.HOSTED
    spent = await look(request, _spent, actor, model.id) if hosted else None
    return JSONResponse(model_card(model, told=told, spent=spent).model_dump())


@router.delete("/models/{model_id:path}", responses={200: {"model": ModelDeleted}})
async def delete_model(request: Request, actor: Asker, model_id: str) -> Response:
    """Delete a fine-tuned model; a base is refused with 403."""
    model = await act(request, models.delete, actor, model_id)
    return JSONResponse(ModelDeleted(id=model.id).model_dump())


@router.post(
    "/fine_tuning/models/{model_id:path}/archive", responses={200: {"model": ModelArchived}}
)
async def archive_model(request: Request, actor: Asker, model_id: str) -> Response:
    """The model stays in lists and stops answering."""
    model = await act(request, models.archive, actor, model_id)
    return JSONResponse(ModelArchived(id=model.id, archived=model.archived).model_dump())


@router.delete(
    "/fine_tuning/models/{model_id:path}/archive", responses={200: {"model": ModelArchived}}
)
async def unarchive_model(request: Request, actor: Asker, model_id: str) -> Response:
    model = await act(request, models.unarchive, actor, model_id)
    return JSONResponse(ModelArchived(id=model.id, archived=model.archived).model_dump())


@router.patch(
    "/fine_tuning/models/{model_id:path}",
    responses={200: {"model": TunedModelOut}},
    openapi_extra=documents(ModelUpdate),
)
async def update_model(request: Request, actor: Asker, model_id: str) -> Response:
    """Set name and description; what is absent stays."""
    change = checked(ModelUpdate, await json_body(request))
    model = await act(
        request,
        models.update,
        actor,
        model_id,
        name=change.name,
        description=change.description,
    )
    told = tuned_model_out(model, org=actor.org).model_dump(
        exclude=None if model.classifies else {"classifier_targets"}
    )
    return JSONResponse(told)


def _spent(tx: Tx, actor: Actor, model_id: str) -> Spent:
    return upstreams.spent_today(tx, model_id)
