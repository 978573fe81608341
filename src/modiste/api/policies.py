"""Routes of policies: kept in versions, compared, attached to models and keys.

Reading takes any key, writing an admin's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import policies
from modiste.actions.policies import EVERYTHING
from modiste.api.door import Asker, Body, act, checked, documents, json_body, look
from modiste.api.shapes import seconds
from modiste.errors import InvalidInput
from modiste.moderate.policy import from_json, remarks
from modiste.store.database import Tx
from modiste.types import Actor, Attachment, Guarded, PolicyVersion

router = APIRouter(tags=["policies"])


class PolicyIn(Body):
    policy: dict[str, Any]
    """As in its YAML file."""
    comment: str | None = Field(default=None, max_length=1000)
    """Why it is changed."""


class AttachIn(Body):
    """Exactly one of the three."""

    model: str | None = None
    key: str | None = None
    """Id of the key."""
    everything: bool = False
    """Every request that no other policy is for."""


class AttachmentOut(BaseModel):
    object: Literal["policy.attachment"] = "policy.attachment"
    policy: str
    guarded: Guarded
    target: str
    set_at: int
    set_by: str


class PolicyOut(BaseModel):
    object: Literal["policy"] = "policy"
    name: str
    version: int
    policy: dict[str, Any] | None
    """Null: the name was taken away."""
    comment: str | None
    created_at: int
    created_by: str
    attached: list[AttachmentOut] = []
    remarks: list[str] = []


class PolicyList(BaseModel):
    object: Literal["list"] = "list"
    data: list[PolicyOut]


class ChangeOut(BaseModel):
    path: str
    before: Any
    after: Any


class DiffOut(BaseModel):
    object: Literal["policy.diff"] = "policy.diff"
    name: str
    before: int
    after: int
    changes: list[ChangeOut]


Version = Annotated[int | None, Query(ge=1)]


@router.get("/policies", responses={200: {"model": PolicyList}})
async def list_policies(request: Request, actor: Asker) -> Response:
    """The newest version of every policy."""
    return _sent(PolicyList(data=await look(request, _listed, actor)))


@router.post("/policies", responses={200: {"model": PolicyOut}}, openapi_extra=documents(PolicyIn))
async def put_policy(request: Request, actor: Asker) -> Response:
    """A new policy, or a new version of it; one that says the same is answered as it is."""
    asked = checked(PolicyIn, await json_body(request))
    policy = from_json(asked.policy, file="policy")
    made = await act(request, policies.put, actor, policy, comment=asked.comment)
    out = await look(request, _with_attached, actor, made)
    return _sent(out.model_copy(update={"remarks": list(remarks(policy))}))


@router.get("/policies/{name}", responses={200: {"model": PolicyOut}})
async def show_policy(
    request: Request, actor: Asker, name: str, version: Version = None
) -> Response:
    """The newest version, or another, with what it is attached to."""
    return _sent(await look(request, _shown, actor, name, version))


@router.get("/policies/{name}/versions", responses={200: {"model": PolicyList}})
async def policy_versions(request: Request, actor: Asker, name: str) -> Response:
    """Every version, newest first."""
    found = await look(request, policies.versions, actor, name)
    return _sent(PolicyList(data=[_out(each) for each in found]))


@router.get("/policies/{name}/diff", responses={200: {"model": DiffOut}})
async def policy_diff(
    request: Request,
    actor: Asker,
    name: str,
    before: Version = None,
    after: Version = None,
) -> Response:
    """What changed between two versions; by default in the newest."""
    found = await look(request, policies.diff, actor, name, before=before, after=after)
    said = [ChangeOut(**change._asdict()) for change in found.changes]
    return _sent(DiffOut(name=name, before=found.before, after=found.after, changes=said))


@router.delete("/policies/{name}", responses={200: {"model": PolicyOut}})
async def delete_policy(request: Request, actor: Asker, name: str) -> Response:
    """The name stands for nothing; refused while something is attached."""
    return _sent(_out(await act(request, policies.delete, actor, name)))


@router.post(
    "/policies/{name}/attach",
    responses={200: {"model": AttachmentOut}},
    openapi_extra=documents(AttachIn),
)
async def attach_policy(request: Request, actor: Asker, name: str) -> Response:
    """From the next request on the policy holds for a model, a key, or everything else."""
    guarded, target = _target(checked(AttachIn, await json_body(request)))
    return _sent(_attachment(await act(request, policies.attach, actor, name, guarded, target)))


@router.post(
    "/policies/{name}/detach",
    responses={200: {"model": AttachmentOut}},
    openapi_extra=documents(AttachIn),
)
async def detach_policy(request: Request, actor: Asker, name: str) -> Response:
    """The policy holds there no longer."""
    guarded, target = _target(checked(AttachIn, await json_body(request)))
    return _sent(_attachment(await act(request, policies.detach, actor, name, guarded, target)))


def _target(asked: AttachIn) -> tuple[Guarded, str]:
    given = [
        (guarded, target)
        for guarded, target in (
            (Guarded.MODEL, asked.model),
            (Guarded.KEY, asked.key),
            (Guarded.EVERYTHING, EVERYTHING if asked.everything else None),
        )
        if target is not None
    ]
    if len(given) != 1:
        raise InvalidInput("give exactly one of model, key and everything", param="model")
    return given[0]


def _listed(tx: Tx, actor: Actor) -> list[PolicyOut]:
    return [_with_attached(tx, actor, each) for each in policies.list_(tx, actor)]


def _shown(tx: Tx, actor: Actor, name: str, version: int | None) -> PolicyOut:
    return _with_attached(tx, actor, policies.get(tx, actor, name, version=version))


def _with_attached(tx: Tx, actor: Actor, found: PolicyVersion) -> PolicyOut:
    held = policies.attachments(tx, actor, found.name)
    return _out(found).model_copy(update={"attached": [_attachment(each) for each in held]})


def _out(found: PolicyVersion) -> PolicyOut:
    return PolicyOut(
        name=found.name,
        version=found.version,
        policy=None if found.policy is None else dict(found.policy),
        comment=found.comment,
        created_at=seconds(found.created_at),
        created_by=found.created_by,
    )


def _attachment(made: Attachment) -> AttachmentOut:
    return AttachmentOut(
        policy=made.policy,
        guarded=made.guarded,
        target=made.target,
        set_at=seconds(made.set_at),
        set_by=made.set_by,
    )


def _sent(body: BaseModel) -> Response:
    return JSONResponse(body.model_dump(mode="json"))
