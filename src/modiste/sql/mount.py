"""Where the SQL door hangs in the front: its HTTP routes, and what it has running meanwhile.

The packages it needs are an extra. Without them the front runs all the same, and whoever asks in
SQL is told what to install.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from modiste.actions.inference import Serving
from modiste.errors import NotYetSupported
from modiste.sql.session import Place
from modiste.store.database import Database

NEEDED = ("sqlglot", "duckdb", "pyarrow", "adbc_driver_sqlite", "adbc_driver_postgresql", "pymysql")


def missing() -> list[str]:
    """Packages that the door needs and this environment lacks."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def mount(app: FastAPI) -> None:
    """Add the routes under `/api`."""
    if missing():
        app.add_api_route("/api/sql/query", _refuse, methods=["POST"], tags=["sql"])
        return
    from modiste.sql import http, sdk

    app.include_router(http.router)
    app.include_router(sdk.router)


@asynccontextmanager
async def opened(app: FastAPI, database: Database, serving: Serving) -> AsyncIterator[None]:
    """What statements need while the front runs; tunings whose reader is gone are taken up,
    and jobs run when they are due.
    """
    place = Place(database, serving)
    app.state.sql = place
    if not missing():
        from modiste.sql import clock, tuning

        place.background(tuning.resumed(place))
        place.background(clock.ticking(place))
    try:
        yield
    finally:
        await place.close()


async def _refuse() -> None:
    raise NotYetSupported(
        f"SQL needs packages that are not installed ({', '.join(missing())}): "
        "pip install 'modiste[sql]'."
    )
