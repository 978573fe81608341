"""Telling people that a job ended: a loop of the front that sends what `actions.notices` holds.

Runs only where mail or a webhook is set. Each attempt is a task of its own with a time limit, so a
receiver that hangs holds up neither jobs nor requests nor other receivers. When the front ends,
what is due is still tried for CLOSE_S; what that does not reach, whoever starts next sends.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import orjson

from modiste.actions import notices
from modiste.actions.notices import Errand
from modiste.api import mistral
from modiste.api.shapes import seconds
from modiste.errors import InvalidInput, ModisteError
from modiste.settings import Settings
from modiste.store.database import Database, Tx
from modiste.types import Job, JobStatus, NoticeChannel
from modiste.work import letter, mail, webhook

log = logging.getLogger(__name__)
TICK_S = 1.0
CLOSE_S = 10.0
MOST_AT_ONCE = 8
EVENTS = {
    JobStatus.SUCCESS: "fine_tuning.job.succeeded",
    JobStatus.FAILED: "fine_tuning.job.failed",
    JobStatus.FAILED_VALIDATION: "fine_tuning.job.failed",
    JobStatus.CANCELLED: "fine_tuning.job.cancelled",
}
"""OpenAI's names, whose clients can read the event."""
TRIAL = "modiste.test"
FAULT = "A fault of the software; the server's log says where."
T = TypeVar("T")


class Tried(NamedTuple):
    channel: NoticeChannel
    target: str
    error: str | None
    """None where it went well."""


@asynccontextmanager
async def telling(database: Database) -> AsyncIterator[None]:
    """From now on, send what is due, until the block ends."""
    if not database.settings.told:
        yield
        return
    stopping = asyncio.Event()
    loop = asyncio.create_task(until(database, stopping))
    try:
        yield
    finally:
        stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(loop, CLOSE_S)


async def until(database: Database, stopping: asyncio.Event) -> None:
    """Look every second; once more when `stopping` is set, and then wait for what is under way."""
    under_way: set[asyncio.Task[None]] = set()
    try:
        while True:
            last = stopping.is_set()
            for errand in await _claimed(database, MOST_AT_ONCE - len(under_way)):
                task = asyncio.create_task(deliver(database, errand))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if last:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), TICK_S)
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()


async def _claimed(database: Database, room: int) -> tuple[Errand, ...]:
    if room <= 0:
        return ()
    try:
        if await _in_transaction(database, notices.due, write=False):
            return await _in_transaction(database, lambda tx: notices.claim(tx, room))
    except Exception as error:  # noqa: BLE001 - the edge of the loop: said, and looked again
        log.warning("cannot look for notices of ended jobs, trying again: %s", error)
    return ()


async def deliver(database: Database, errand: Errand) -> None:
    """One attempt, and what became of it; nothing is raised, the next attempt is later."""
    notice = errand.notice
    error = await _attempt(_send(database.settings, errand))
    if error is not None:
        log.warning("%s about job %s not delivered: %s", notice.channel, notice.job_id, error)

    def told(tx: Tx) -> None:
        if error is None:
            notices.sent(tx, errand)
        else:
            notices.failed(tx, errand, error)

    try:
        await _in_transaction(database, told)
    except Exception as also:  # noqa: BLE001 - the lease runs out, and it is tried again
        log.error("notice %s: what became of it could not be written: %s", notice.id, also)


async def trial(settings: Settings) -> tuple[Tried, ...]:
    """Send a trial to every receiver that is set.

    Raises:
        InvalidInput: none is.
    """
    if not settings.told:
        raise InvalidInput(
            "Nobody is told of ended jobs here: set MODISTE_SMTP_HOST, MODISTE_MAIL_FROM and "
            "MODISTE_MAIL_TO for mail, or MODISTE_WEBHOOK_URL and MODISTE_WEBHOOK_SECRET, and "
            "start the server again."
        )
    errors = await asyncio.gather(
        *(_attempt(_try(settings, channel, target)) for channel, target in settings.told)
    )
    pairs = zip(settings.told, errors, strict=True)
    return tuple(Tried(channel, target, error) for (channel, target), error in pairs)


def event(number: str, kind: str, data: Any, at: datetime) -> bytes:
    """What the webhook receives, in the frame of OpenAI's webhooks."""
    told = {"id": number, "object": "event", "created_at": seconds(at), "type": kind, "data": data}
    return orjson.dumps(told)


def shown(job: Job, settings: Settings) -> Job:
    """The job as it may leave the house: no path of this machine is in it."""
    error, home = job.error, f"{settings.home}/"
    if error is not None:
        error = replace(error, message=error.message.replace(home, "<home>/"))
    on_web = [
        {k: v for k, v in each.items() if k != "url" or str(v).startswith(("http://", "https://"))}
        for each in job.integrations
    ]
    return replace(job, error=error, integrations=tuple(on_web))


async def _send(settings: Settings, errand: Errand) -> None:
    notice, now = errand.notice, datetime.now(UTC)
    job = shown(errand.job, settings)
    if notice.channel is NoticeChannel.EMAIL:
        sender = settings.mail_from or ""
        written = letter.about(replace(errand, job=job), sender=sender, at=now)
        await asyncio.to_thread(mail.send, settings, written, to=notice.target)
    else:
        data = mistral.job_out(job, mistral_0=False).model_dump(mode="json")
        body = event(notice.id, EVENTS[job.status], data, job.finished_at or now)
        await webhook.post(settings, notice.id, body, at=now)


async def _try(settings: Settings, channel: NoticeChannel, target: str) -> None:
    number, now = f"msg_{uuid.uuid4().hex}", datetime.now(UTC)
    if channel is NoticeChannel.EMAIL:
        sender = settings.mail_from or ""
        written = letter.trial(sender=sender, to=target, at=now, number=number)
        await asyncio.to_thread(mail.send, settings, written, to=target)
    else:
        await webhook.post(settings, number, event(number, TRIAL, {}, now), at=now)


async def _attempt(sending: Any) -> str | None:
    """What it failed by."""
    try:
        await sending
    except ModisteError as error:
        return error.message
    except Exception:
        log.exception("a notice could not be sent")
        return FAULT
    return None


async def _in_transaction(database: Database, act: Callable[[Tx], T], *, write: bool = True) -> T:
    def inside() -> T:
        with database.transaction(write=write) as tx:
            return act(tx)

    return await asyncio.to_thread(inside)
