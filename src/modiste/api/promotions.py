"""Routes of promotions: names that only a model which passed its gate may answer to.

A refusal is an answer with 409 that says every condition that is in the way; it is on record like
any other decision. Names may hold `/`, so they are the rest of the path.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import promotions
from modiste.api.door import Asker, Body, act, checked, documents, house, json_body, look
from modiste.api.shapes import seconds
from modiste.errors import Conflict
from modiste.evaluate.gate_spec import Gate
from modiste.prepare.checked import checked as checked_fields
from modiste.types import Problem, Promotion, PromotionKind

router = APIRouter(tags=["models"])


class PromotionIn(Body):
    name: str
    """Such as `support-bot@production`."""
    model: str
    gate: dict[str, Any] | None = None
    """As in `gate.yaml`."""
    runs: list[str] = Field(default_factory=list)
    """Ids of runs of the model, one a suite."""
    baselines: list[str] = Field(default_factory=list)
    """Ids of runs of the model that answers now, on the same suites."""
    approved_by: list[str] = Field(default_factory=list)
    override: str | None = None
    """Why to switch whatever the gate says."""


class RollbackIn(Body):
    reason: str | None = None


class PromotionOut(BaseModel):
    object: Literal["promotion"] = "promotion"
    name: str
    kind: PromotionKind
    model: str
    previous: str | None
    decided_at: int
    decided_by: str
    """Id of the key that did."""
    approved_by: list[str]
    reason: str | None
    gate: dict[str, Any] | None
    """What the gate found, with every number."""


class PromotionList(BaseModel):
    object: Literal["list"] = "list"
    data: list[PromotionOut]


@router.get("/models/promotions", responses={200: {"model": PromotionList}})
async def list_promotions(request: Request, actor: Asker) -> Response:
    """What answers to each promoted name, and the decision behind it."""
    return _listed(await look(request, promotions.list_, actor))


@router.post(
    "/models/promotions",
    responses={200: {"model": PromotionOut}},
    openapi_extra=documents(PromotionIn),
)
async def promote_model(request: Request, actor: Asker) -> Response:
    """Let a model answer to a name if it passes the gate; else 409, and nothing is switched."""
    asked = checked(PromotionIn, await json_body(request))
    gate = None if asked.gate is None else checked_fields(Gate, asked.gate, file="gate")
    promote = partial(
        promotions.promote,
        name=asked.name,
        model=asked.model,
        gate=gate,
        runs=asked.runs,
        baselines=asked.baselines,
        approved_by=asked.approved_by,
        override=asked.override,
    )
    made = await run_sync(promote, house(request).database, actor)
    if made.kind is PromotionKind.REFUSED:
        raise _refusal(made)
    return JSONResponse(_out(made).model_dump(mode="json"))


@router.post(
    "/models/promotions/{name:path}/rollback",
    responses={200: {"model": PromotionOut}},
    openapi_extra=documents(RollbackIn),
)
async def roll_back_model(request: Request, actor: Asker, name: str) -> Response:
    """The model that answered before the standing promotion answers again."""
    asked = checked(RollbackIn, await json_body(request))
    made = await act(request, promotions.rollback, actor, name, reason=asked.reason)
    return JSONResponse(_out(made).model_dump(mode="json"))


@router.get("/models/promotions/{name:path}", responses={200: {"model": PromotionList}})
async def promotion_history(request: Request, actor: Asker, name: str) -> Response:
    """Every decision about a name, newest first, with all that the gate found."""
    return _listed(await look(request, promotions.history, actor, name))


def _refusal(made: Promotion) -> Conflict:
    found = made.gate or {}
    in_the_way = [
        Problem(str(c["name"]), None, "", str(c["outcome"]), str(c["sentence"]))
        for c in found.get("conditions", ())
        if c["outcome"] != "pass"
    ]
    stays = f"stays with {made.previous}" if made.previous else "is not set"
    said = "; ".join(str(each) for each in in_the_way)
    return Conflict(
        f"{made.name} {stays}: the gate says {found.get('outcome')} of {made.model}. {said}",
        param="gate",
        code="gate_not_passed",
        problems=in_the_way,
    )


def _listed(found: tuple[Promotion, ...]) -> Response:
    listed = PromotionList(data=[_out(each) for each in found])
    return JSONResponse(listed.model_dump(mode="json"))


def _out(made: Promotion) -> PromotionOut:
    return PromotionOut(
        name=made.name,
        kind=made.kind,
        model=made.model,
        previous=made.previous,
        decided_at=seconds(made.decided_at),
        decided_by=made.decided_by,
        approved_by=list(made.approved_by),
        reason=made.reason,
        gate=None if made.gate is None else dict(made.gate),
    )
