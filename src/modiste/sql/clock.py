"""The clock of jobs: looks every second whose time has come, and runs it in the background.

Statements run as any do, in the name of the key that made the job. The first error ends a run and
stands in the history; so does the end of the process. Which of several fronts runs a job is
decided in the store (`actions.sql_jobs`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from modiste.actions import sql_jobs
from modiste.actions.sql_jobs import GONE, LEASE_S, Run
from modiste.errors import ModisteError
from modiste.sql import execute, last
from modiste.sql.grammar import statements
from modiste.sql.result import Rows
from modiste.sql.session import Dialect, Place, Session

log = logging.getLogger(__name__)
TICK_S = 1.0
FORM = "%Y-%m-%d %H:%M:%S"


async def ticking(place: Place) -> None:
    """From now on, run jobs when they are due. Ends with the process."""
    while True:
        try:
            await tick(place)
        except Exception:
            log.exception("the clock of SQL jobs could not look; it goes on")
        await asyncio.sleep(TICK_S)


async def tick(place: Place) -> None:
    if await place.read(sql_jobs.due):
        for run in await place.write(sql_jobs.claim):
            place.background(ran(place, run))


async def ran(place: Place, run: Run) -> None:
    """Do one run and write what became of it."""
    beat = asyncio.create_task(_alive(place, run))
    seen: dict[str, Any] = {}
    error, did = None, True
    try:
        did = await _done(place, run, seen)
    except ModisteError as refused:
        error = refused.message
    except asyncio.CancelledError:
        await asyncio.shield(_finish(place, run, GONE, {}, True))
        raise
    except Exception:
        log.exception("job %s.%s failed", run.project, run.name)
        error = "The server failed to run it; its log says why."
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat
    await _finish(place, run, error, seen, did)


async def _finish(
    place: Place, run: Run, error: str | None, seen: dict[str, Any], did: bool
) -> None:
    await place.write(lambda tx: sql_jobs.finish(tx, run, error=error, last=seen, ran=did))


async def _done(place: Place, run: Run, seen: dict[str, Any]) -> bool:
    """False where the condition does not hold."""
    session = Session(run.actor, place, run.project, cast(Dialect, run.dialect))
    n = 0
    if run.body.condition:
        rows = await _each(run, run.body.condition, session, 0, seen)
        n = len(run.body.condition)
        if rows == 0:
            return False
    await _each(run, run.body.statements, session, n, seen)
    return True


async def _each(
    run: Run, texts: Sequence[str], session: Session, first: int, seen: dict[str, Any]
) -> int:
    """Rows of the last of these statements."""
    n_rows = 0
    for number, text in enumerate(texts, start=first):
        for said in statements(filled(text, run), session.dialect):
            seen |= await last.bound(said, number, run.last, session)
            result = await execute.done(said, session)
            n_rows = 0
            if isinstance(result, Rows):
                async for batch in result.batches:
                    n_rows += len(batch)
    return n_rows


def filled(text: str, run: Run) -> str:
    """Times in place of their names; the first run has no other start before it than its own."""
    before = run.before or run.started_at
    for name, value in (
        ("START_DATETIME", run.started_at.strftime(FORM)),
        ("START_DATE", run.started_at.strftime("%Y-%m-%d")),
        ("PREVIOUS_START_DATETIME", before.strftime(FORM)),
    ):
        text = text.replace("{{" + name + "}}", value)
    return text


async def _alive(place: Place, run: Run) -> None:
    while True:
        await asyncio.sleep(LEASE_S / 5)
        with suppress(ModisteError):
            await place.write(lambda tx: sql_jobs.alive(tx, run))
