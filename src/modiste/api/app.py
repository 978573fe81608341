"""The front: `build_app(settings)` makes the ASGI app, `main` serves it.

Refuses nothing by itself: keys decide who may ask, actions decide what may be done. On start it
migrates the database, makes the first admin key and registers the shipped base; then it says where
it listens in `<home>/run/server.json`. On SIGTERM it lets requests finish.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from fastapi import FastAPI

from modiste import __version__
from modiste import settings as settings_module
from modiste.actions import keys, models
from modiste.actions.inference import Renderers
from modiste.api import (
    aliases,
    batches,
    certificates,
    chat,
    classifications,
    datasets,
    document,
    edge,
    embeddings,
    evals,
    exports,
    files,
    fim,
    health,
    jobs,
    lineage,
    moderations,
    native,
    notifications,
    policies,
    promotions,
    reports,
    telling,
    texts,
    tokens,
    upstreams,
)
from modiste.api import models as model_routes
from modiste.api.dialect import MOUNTS
from modiste.api.door import House
from modiste.api.upload import MAX_UPLOADS
from modiste.errors import ModisteError
from modiste.serve.stream import EngineStream
from modiste.serve.upstream import Upstreams
from modiste.settings import Settings
from modiste.sql import mount as sql
from modiste.sql.session import Place
from modiste.store.database import Database
from modiste.work.intake import Intake
from modiste.work.supervisor import environment

if TYPE_CHECKING:
    from modiste.sql.wires import Wires

log = logging.getLogger(__name__)
STOPPING = (signal.SIGINT, signal.SIGTERM)
OURS = (
    native.router,
    aliases.router,
    promotions.router,
    policies.router,
    upstreams.router,
    reports.router,
    lineage.router,
    datasets.router,
    certificates.router,
    exports.router,
    evals.router,
    tokens.router,
    notifications.router,
)
"""What no vendor has, under `/v1` alone; before the others, some of whose paths match anything."""
INFERENCE = (
    chat.router,
    fim.router,
    texts.router,
    embeddings.router,
    classifications.router,
    moderations.router,
)
"""Before all others: routes are tried one after the other, and these are asked most."""
KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections, so that none is closed under a request."""


def build_app(
    settings: Settings, *, engine: EngineStream | None = None, tells: bool = True
) -> FastAPI:
    """The whole HTTP surface. Nothing is opened before the app starts.

    Args:
        engine: stands in for the engine process where there is none.
        tells: people are told of ended jobs; not by a process that a worker may stop at any time.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = await anyio.to_thread.run_sync(_open, settings)
        stream = engine or EngineStream(settings.process_dir)
        uploads = anyio.CapacityLimiter(MAX_UPLOADS)
        intake = Intake(environment(settings))
        elsewhere = Upstreams(settings)
        house = House(settings, database, stream, Renderers(), uploads, intake, elsewhere)
        app.state.house = house
        try:
            async with AsyncExitStack() as running:
                await running.enter_async_context(sql.opened(app, database, house.serving))
                if tells:
                    await running.enter_async_context(telling.telling(database))
                yield
        finally:
            await elsewhere.close()
            await stream.close()
            database.close()

    app = FastAPI(title="Modiste", version=__version__, lifespan=lifespan)
    app.state.draining = asyncio.Event()
    edge.install(app)
    app.include_router(health.router)
    sql.mount(app)
    for mount, dialect in MOUNTS.items():
        ours = OURS if mount == "/v1" else ()
        works = (files.router, jobs.router(dialect), batches.router)
        for router in (*INFERENCE, *ours, *works, model_routes.router):
            refusals = document.refusals_of(dialect)
            app.include_router(router, prefix=mount, responses=refusals)
    document.install(app)
    return app


def _open(settings: Settings) -> Database:
    database = Database(settings)
    database.migrate()
    with database.transaction() as tx:
        keys.bootstrap(tx)
        models.ensure_shipped(tx)
    models.tell_abilities(database)
    return database


class _Server(uvicorn.Server):
    """Uvicorn that says where it listens, and tells endless streams when it wants to end."""

    def __init__(self, config: uvicorn.Config, *, app: FastAPI, server_file: Path) -> None:
        super().__init__(config)
        self._app = app
        self._server_file = server_file
        self._wires: Wires | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._wires = await _open_wires(self._app.state.house, self._app.state.sql)
            gc.collect()
            gc.freeze()  # What is here stays; to look through it would stop every stream for 0.1 s.
            sql = {} if self._wires is None else self._wires.ports
            _write_server_file(self._server_file, self.config.host, self._port(), sql)
            log.info("listening on port %d", self._port())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        if self._wires is not None:
            await self._wires.close(drain_s=self._app.state.house.settings.drain_timeout_s / 2)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a drained front ends with 0: the signal is not raised again."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in STOPPING}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.draining.set()
        super().handle_exit(sig, frame)

    def _port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


async def _open_wires(behind: House, place: Place) -> Wires | None:
    """The ports of SQL clients; without the packages of `modiste[sql]` there are none."""
    if missing := sql.missing():
        log.info("SQL clients are not served without modiste[sql]: %s", ", ".join(missing))
        return None
    from modiste.sql import entrance, wires

    opened = wires.Wires(behind.settings, entrance.of(place))
    await opened.start()
    return opened


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Settings come from `modiste.yaml` and the environment."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = settings_module.load()
        settings.process_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _open(settings).close()  # What refuses to open is said here in one line, not by uvicorn.
        app = build_app(settings)
        server = _Server(
            _configuration(settings, app), app=app, server_file=settings.process_dir / "server.json"
        )
    except ModisteError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    try:
        server.run()
    finally:
        _remove_server_file(settings.process_dir / "server.json")
    return 0 if server.started else 1


def _configuration(settings: Settings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(settings.drain_timeout_s)),
    )


def _write_server_file(path: Path, host: str, port: int, sql: Mapping[str, int]) -> None:
    """Whole or not at all: others read it at any moment."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    name = f"[{reachable}]" if ":" in reachable else reachable
    content: dict[str, Any] = {
        "pid": os.getpid(),
        "host": host,
        "port": port,
        "url": f"http://{name}:{port}",
    }
    if sql:
        content["sql"] = dict(sql)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)


def _remove_server_file(path: Path) -> None:
    """Ours only: another front may have taken the home over."""
    with suppress(OSError, ValueError):
        if json.loads(path.read_text(encoding="utf-8"))["pid"] == os.getpid():
            path.unlink()


if __name__ == "__main__":
    raise SystemExit(main())
