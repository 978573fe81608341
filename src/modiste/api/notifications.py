"""Routes of notifications, for admins: a trial of the settings, and what became of notices."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import notices
from modiste.actions.keys import require
from modiste.api import telling
from modiste.api.door import Asker, house, look
from modiste.api.shapes import seconds, seconds_or_none
from modiste.types import Notice, Scope

router = APIRouter(tags=["notifications"])


class TrialOut(BaseModel):
    channel: str
    """`email` or `webhook`."""
    target: str | None
    """The address of mail."""
    ok: bool
    error: str | None
    """What it failed by, and what to do."""


class TrialList(BaseModel):
    object: str = "list"
    data: list[TrialOut]


class NoticeOut(BaseModel):
    id: str
    """Also `webhook-id`, and the front of a letter's `Message-ID`."""
    object: str = "notification"
    job_id: str
    channel: str
    target: str | None
    status: str
    """`waiting` (for its first attempt or the next), `sent` or `failed`."""
    attempts: int
    created_at: int
    next_attempt_at: int | None
    ended_at: int | None
    error: str | None
    """What the last attempt failed by."""


class NoticeList(BaseModel):
    object: str = "list"
    data: list[NoticeOut]
    """The newest first, 100 at most."""


@router.post("/notifications/test", responses={200: {"model": TrialList}})
async def test_notifications(request: Request, actor: Asker) -> Response:
    """Send a trial to everybody that is told how jobs ended, and say what failed."""
    require(actor, Scope.ADMIN)
    tried = await telling.trial(house(request).settings)
    data = [
        TrialOut(
            channel=each.channel,
            target=each.target or None,
            ok=each.error is None,
            error=each.error,
        )
        for each in tried
    ]
    return JSONResponse(TrialList(data=data).model_dump())


@router.get("/notifications", responses={200: {"model": NoticeList}})
async def list_notifications(request: Request, actor: Asker) -> Response:
    """What is to be told about ended jobs, and what became of it."""
    found = await look(request, notices.list_, actor)
    return JSONResponse(NoticeList(data=[_notice(each) for each in found]).model_dump())


def _notice(notice: Notice) -> NoticeOut:
    return NoticeOut(
        id=notice.id,
        job_id=notice.job_id,
        channel=notice.channel,
        target=notice.target or None,
        status=notice.status,
        attempts=notice.attempts,
        created_at=seconds(notice.created_at),
        next_attempt_at=seconds_or_none(notice.due_at),
        ended_at=seconds_or_none(notice.ended_at),
        error=notice.error,
    )
