"""`POST /v1/moderations` and `/v1/chat/moderations`, in one shape that both vendors' clients read.

`model` names a policy (`support`, `support@2`), or is a name that a vendor's clients send. Told are
the categories that somebody looked for: one that no detector scored is left out, never false. A
detector that failed is in `decisions` with its reason; where it fails closed its category is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import moderation
from modiste.actions.completions import asker
from modiste.actions.policies import Kept
from modiste.api.chat_messages import AnyMessage, TextChunk, message_of
from modiste.api.door import Asker, Body, checked, documents, house, json_body, look
from modiste.api.sse import while_connected
from modiste.moderate.guard import Item
from modiste.moderate.policy import Action, Place
from modiste.moderate.verdict import Decision, Judgement
from modiste.types import Actor

router = APIRouter(tags=["inference"])
Conversation = Annotated[list[AnyMessage], Field(min_length=1)]


class ModerationIn(Body):
    """`metadata` is a hint."""

    model: str | None = None
    input: (
        str
        | Annotated[list[str], Field(min_length=1)]
        | Annotated[list[TextChunk], Field(min_length=1)]
    )
    """A list of parts is one text."""
    place: Literal["input", "retrieved", "tool_arguments", "output"] | None = None
    """Ours: where the texts stand; without, every category counts."""
    policy: dict[str, Any] | None = None
    """Ours: a policy to be tried out, in place of `model`. Takes an admin."""
    metadata: dict[str, Any] | None = None


class ChatModerationIn(Body):
    """The last message of each conversation is looked at, in the light of the others."""

    model: str | None = None
    input: Conversation | Annotated[list[Conversation], Field(min_length=1)]
    policy: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class DecisionOut(BaseModel):
    category: str
    detector: str
    score: float | None
    """Null: the detector failed."""
    threshold: float
    violated: bool
    action: Action
    place: Place | None
    found: list[str]
    """Of rules: what each find was, such as `pii_email`; never the text itself."""
    failure: str | None


class ModerationResult(BaseModel):
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text"]]]
    action: Action | None
    """What the policy would do."""
    decisions: list[DecisionOut]


class PolicyUsed(BaseModel):
    name: str
    version: int
    """0: it is not kept."""
    not_looked_for: list[str]
    """Categories of its taxonomy that it says nothing about."""


class ModerationOut(BaseModel):
    id: str
    object: Literal["moderation"] = "moderation"
    model: str
    policy: PolicyUsed
    results: list[ModerationResult]


@router.post(
    "/moderations",
    responses={200: {"model": ModerationOut}},
    openapi_extra=documents(ModerationIn),
)
async def moderate(request: Request, actor: Asker) -> Response:
    """What a policy says of texts, one result each."""
    body = checked(ModerationIn, await json_body(request))
    kept = await _policy(request, actor, body.model, body.policy)
    place = None if body.place is None else Place(body.place)
    parts = [[(place, Item(text))] for text in _texts(body.input)]
    return await _answered(request, actor, kept, parts, body.model)


@router.post(
    "/chat/moderations",
    responses={200: {"model": ModerationOut}},
    openapi_extra=documents(ChatModerationIn),
)
async def moderate_chat(request: Request, actor: Asker) -> Response:
    """What a policy says of the last message of conversations, its calls of tools included."""
    body = checked(ChatModerationIn, await json_body(request))
    kept = await _policy(request, actor, body.model, body.policy)
    many = _conversations(body.input)
    parts = [
        moderation.last_parts([message_of(said) for said in conversation]) for conversation in many
    ]
    return await _answered(request, actor, kept, parts, body.model)


async def _policy(
    request: Request, actor: Actor, name: str | None, tried: dict[str, Any] | None
) -> Kept:
    if tried is not None:
        return await look(request, moderation.tried, actor, tried)
    return await look(request, moderation.named, actor, name)


async def _answered(
    request: Request,
    actor: Actor,
    kept: Kept,
    parts: Sequence[Sequence[tuple[Place | None, Item]]],
    model: str | None,
) -> Response:
    serving = house(request).serving
    ask = asker(serving, actor)
    told = await while_connected(
        request, moderation.of_many(serving, actor, kept.policy, parts, ask=ask)
    )
    answer = ModerationOut(
        id=f"modr-{uuid4().hex}",
        model=model or kept.policy.name,
        policy=PolicyUsed(
            name=kept.policy.name,
            version=kept.version,
            not_looked_for=list(kept.policy.not_looked_for()),
        ),
        results=[_result(each) for each in told],
    )
    return JSONResponse(answer.model_dump(mode="json"))


def _result(judgement: Judgement) -> ModerationResult:
    violated = {each.category for each in judgement.violated}
    scores = judgement.scores()
    named = [*scores, *(code for code in sorted(violated) if code not in scores)]
    return ModerationResult(
        flagged=judgement.flagged,
        categories={code: code in violated for code in named},
        category_scores=scores,
        category_applied_input_types={code: ["text"] for code in named},
        action=judgement.action,
        decisions=[_decision(each) for each in judgement.decisions],
    )


def _decision(made: Decision) -> DecisionOut:
    return DecisionOut(
        category=made.category,
        detector=made.detector,
        score=made.score,
        threshold=made.threshold,
        violated=made.violated,
        action=made.action,
        place=made.place,
        found=[find.what for find in made.finds],
        failure=made.failure,
    )


def _conversations(given: list[AnyMessage] | list[list[AnyMessage]]) -> list[list[AnyMessage]]:
    many = [each for each in given if isinstance(each, list)]
    return many or [[each for each in given if not isinstance(each, list)]]


def _texts(given: str | list[str] | list[TextChunk]) -> list[str]:
    if isinstance(given, str):
        return [given]
    parts = [each.text for each in given if isinstance(each, TextChunk)]
    if parts:
        return ["\n".join(parts)]
    return [each for each in given if isinstance(each, str)]
