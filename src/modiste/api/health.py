"""GET /healthz: the state of each part, 200 when all that is needed is there, else 503.

No key is needed, so it tells nothing about what is kept.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import sqlalchemy as sa
from anyio.to_thread import run_sync
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.api.door import House, house
from modiste.errors import ModisteError
from modiste.store import queue

router = APIRouter(tags=["health"])


class Part(BaseModel):
    state: Literal["ok", "missing", "draining"]
    message: str | None = None
    """What is wrong and what to do."""
    details: dict[str, Any] = {}


class Health(BaseModel):
    status: Literal["ok", "unavailable"]
    version: str
    parts: dict[str, Part]
    missing: list[str]
    """The parts that are needed and not there."""


@router.get("/healthz", responses={200: {"model": Health}, 503: {"model": Health}})
async def healthz(request: Request) -> Response:
    behind = house(request)
    draining = request.app.state.draining.is_set()
    (database, workers), engine = await asyncio.gather(
        run_sync(_database_and_workers, behind), _engine(behind)
    )
    front = Part(state="draining", message="The server is stopping.") if draining else _OK
    parts = {"front": front, "database": database, "workers": workers, "engine": engine}
    parts["upstreams"] = Part(state="ok", details=behind.upstreams.count())
    missing = [name for name, part in parts.items() if part.state != "ok"]
    health = Health(
        status="unavailable" if missing else "ok",
        version=request.app.version,
        parts=parts,
        missing=missing,
    )
    return JSONResponse(health.model_dump(), status_code=503 if missing else 200)


_OK = Part(state="ok")


def _database_and_workers(behind: House) -> tuple[Part, Part]:
    try:
        with behind.database.transaction(write=False) as tx:
            tx.session.execute(sa.text("SELECT 1"))
            alive = len(queue.living_workers(tx))
    except ModisteError as error:
        unknown = Part(state="missing", message="Unknown while the database does not answer.")
        return Part(state="missing", message=error.message), unknown
    details = {"alive": alive, "expected": behind.settings.workers}
    database = Part(state="ok", details={"kind": behind.database.dialect})
    if alive < min(1, behind.settings.workers):
        message = "No worker is alive: jobs wait. `modiste up` starts one."
        return database, Part(state="missing", message=message, details=details)
    return database, Part(state="ok", details=details)


async def _engine(behind: House) -> Part:
    try:
        return Part(state="ok", details=await behind.engine.status())
    except ModisteError as error:
        return Part(state="missing", message=error.message)
