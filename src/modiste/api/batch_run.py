"""The child that runs a batch: each line asks the app's own route, as any client would.

    python -m modiste.api.batch_run RUN_DIR

The app is built here, without a network, and asked in the name of the key that made the batch: what
that key may do, what is refused and how an answer looks are the routes' own. A bounded number of
requests runs at a time. A full or restarting engine is waited for; any other answer is a result. A
result is in the journal before it is counted, and what is in the journal is not asked again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
from fastapi import FastAPI

from modiste import settings as settings_module
from modiste.actions import batches
from modiste.actions.batch_lines import Ask, Checked, ask_of, check, found_in
from modiste.api import batch_shapes
from modiste.api.app import build_app
from modiste.api.dialect import MOUNTS, Dialect
from modiste.api.door import House, authenticated
from modiste.errors import ModisteError
from modiste.types import Actor, BatchCounts
from modiste.work import journal as journals
from modiste.work.batch import REQUEST, REQUESTS, Request, State, write_state
from modiste.work.child import EXIT_LOCKED, locked
from modiste.work.journal import Journal, Sign

log = logging.getLogger("modiste.batch")
WAITED_FOR = frozenset({502, 503, 504})
"""Answers that mean another answer may come; a full queue (429) is waited for without an end."""
MAX_TRIES = 5
"""Of one request that was answered so; it may be what kills the engine."""
ENGINE_BACK_S = 600.0
LONGEST_WAIT_S = 30.0
LOOK_S = 0.2
SYNC_S = 0.5


class Reply(NamedTuple):
    status: int
    body: Any
    request_id: str
    retry_after_s: float | None


class Routes:
    """The routes of the app, asked by one actor in one dialect."""

    def __init__(self, app: FastAPI, actor: Actor, dialect: Dialect) -> None:
        app.dependency_overrides[authenticated] = lambda: actor
        self._mount = next(m for m, each in MOUNTS.items() if each is dialect).removesuffix("/v1")
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://batch")
        self._http.timeout = httpx.Timeout(None)  # As long as the engine takes.

    async def ask(self, endpoint: str, body: dict[str, Any]) -> Reply:
        answer = await self._http.post(
            self._mount + endpoint,
            content=orjson.dumps(body),
            headers={"content-type": "application/json", "user-agent": "modiste-batch"},
        )
        retry_after = answer.headers.get("retry-after", "")
        return Reply(
            answer.status_code,
            orjson.loads(answer.content),
            answer.headers.get("x-request-id", ""),
            float(retry_after) if retry_after.isdigit() else None,
        )


@dataclass
class Run:
    """One batch on its way."""

    request: Request
    run_dir: Path
    routes: Routes
    house: House
    journal: Journal
    counts: BatchCounts
    done: bytearray
    """One byte per request: whether its result is in the journal."""

    async def until_end(self) -> None:
        """Every request answered, or a line that says why not. `pause` leaves it as it is."""
        todo = self._todo()
        asking = [asyncio.create_task(self._work(todo)) for _ in range(self._n_at_once)]
        telling = asyncio.create_task(self._tell())
        stopping = asyncio.create_task(self._until_stopped())
        working = asyncio.gather(*asking)
        try:
            either: set[asyncio.Future[Any]] = {working, stopping}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            for task in (working, telling, stopping):
                task.cancel()
            await asyncio.gather(working, telling, stopping, return_exceptions=True)
        if not self._paused:
            self._say_what_did_not_run()
            self._say(ended=True)

    @property
    def _n_at_once(self) -> int:
        return min(self.house.settings.batch_concurrency, self.counts.total)

    @property
    def _paused(self) -> bool:
        return (self.run_dir / "pause").exists() and not self._over

    @property
    def _over(self) -> bool:
        cancelled = (self.run_dir / "cancel").exists()
        return cancelled or time.time() >= self.request.deadline or all(self.done)

    def _todo(self) -> Iterator[Ask]:
        for found in found_in(self.request.inputs):
            if not self.done[found.n]:
                yield ask_of(found, model=self.request.model)

    async def _work(self, todo: Iterator[Ask]) -> None:
        for ask in todo:
            reply = await self._answer(ask)
            self._keep(ask, reply)

    async def _answer(self, ask: Ask) -> Reply:
        n_tries = 0
        while True:
            reply = await self.routes.ask(self.request.endpoint, ask.body)
            if reply.status in WAITED_FOR:
                await self._engine_back()
                n_tries += 1
            elif reply.status != 429:
                return reply
            if n_tries >= MAX_TRIES:
                return reply
            wait_s = reply.retry_after_s or 1.0
            await asyncio.sleep(min(LONGEST_WAIT_S, wait_s * 2**n_tries))

    async def _engine_back(self) -> None:
        """What an engine that is gone was asked does not count as tried until it is back."""
        deadline = time.monotonic() + ENGINE_BACK_S
        while time.monotonic() < deadline:
            with suppress(ModisteError):
                await self.house.engine.status()
                return
            await asyncio.sleep(LOOK_S)

    def _keep(self, ask: Ask, reply: Reply) -> None:
        line = batch_shapes.result_line(
            Dialect(self.request.dialect),
            self.request.batch_id,
            ask.n,
            ask.custom_id,
            status=reply.status,
            body=reply.body,
            request_id=reply.request_id,
        )
        sign = Sign.SUCCEEDED if reply.status == 200 else Sign.FAILED
        self.journal.append(ask.n, sign, line)
        self.done[ask.n] = True
        self.counts = counted(self.counts, sign, reply.body)

    def _say_what_did_not_run(self) -> None:
        cancelled = (self.run_dir / "cancel").exists()
        code = "batch_cancelled" if cancelled else "batch_expired"
        for ask in self._todo():
            line = batch_shapes.not_run_line(
                Dialect(self.request.dialect),
                self.request.batch_id,
                ask.n,
                ask.custom_id,
                code=code,
            )
            self.journal.append(ask.n, Sign.NOT_RUN, line)
            self.done[ask.n] = True

    async def _tell(self) -> None:
        """The counts, once they are on the disk."""
        told = None
        while True:
            if told != self.counts:
                told = self.counts
                await asyncio.to_thread(self.journal.sync)
                write_state(self.run_dir, State(told, running=True))
            await asyncio.sleep(SYNC_S)

    def _say(self, *, ended: bool) -> None:
        self.journal.sync()
        write_state(self.run_dir, State(self.counts, running=True, ended=ended))

    async def _until_stopped(self) -> None:
        while not (self._paused or self._over):
            await asyncio.sleep(LOOK_S)


def counted(counts: BatchCounts, sign: Sign, body: Any) -> BatchCounts:
    """The counts with one more result in them."""
    if sign is Sign.NOT_RUN:
        return counts
    usage = body.get("usage") if isinstance(body, dict) else None
    used = usage if isinstance(usage, dict) else {}
    return replace(
        counts,
        succeeded=counts.succeeded + (sign is Sign.SUCCEEDED),
        failed=counts.failed + (sign is Sign.FAILED),
        input_tokens=counts.input_tokens + int(used.get("prompt_tokens") or 0),
        output_tokens=counts.output_tokens + int(used.get("completion_tokens") or 0),
    )


async def run(request: Request, run_dir: Path, app: FastAPI) -> None:
    """Check the lines, ask what was not answered yet, and say how it ended in STATE."""
    async with app.router.lifespan_context(app):
        house: House = app.state.house
        found = await asyncio.to_thread(_checked, request, house)
        if found.problems:
            write_state(run_dir, State(ended=True, refused=found))
            return
        journal = Journal(run_dir / journals.NAME)
        try:
            dialect = Dialect(request.dialect)
            routes = Routes(app, _beside(request.actor), dialect)
            counts, done = recovered(run_dir, found.n_requests)
            batch = Run(request, run_dir, routes, house, journal, counts, done)
            await batch.until_end()
        finally:
            journal.close()


def _beside(actor: Actor) -> Actor:
    """The same rights under another name: the engine shares its time among names, so a batch takes
    nothing from what its key asks in person."""
    return replace(actor, key_id=f"batch/{actor.key_id}")


def recovered(run_dir: Path, n_requests: int) -> tuple[BatchCounts, bytearray]:
    """What an earlier child left: its counts, and which requests are answered."""
    counts, done = BatchCounts(total=n_requests), bytearray(n_requests)
    for entry in journals.entries(run_dir / journals.NAME):
        if not done[entry.place]:
            done[entry.place] = True
            response = orjson.loads(entry.json).get("response") or {}
            counts = counted(counts, entry.sign, response.get("body"))
    return counts, done


def _checked(request: Request, house: House) -> Checked:
    with house.database.transaction(write=False) as tx:
        return check(
            found_in(request.inputs),
            endpoint=request.endpoint,
            strict=request.dialect == Dialect.OPENAI,
            model=request.model,
            why_not=lambda model: batches.why_not(tx, request.actor, model),
        )


def main(argv: list[str] | None = None) -> int:
    (run_dir,) = map(Path, sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with locked(run_dir / "batch.lock") as mine:
        if not mine:
            log.error("another process runs the batch in %s", run_dir)
            return EXIT_LOCKED
        request = REQUESTS.validate_json((run_dir / REQUEST).read_bytes())
        asyncio.run(run(request, run_dir, build_app(settings_module.load(), tells=False)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
