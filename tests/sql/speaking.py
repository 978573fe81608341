"""A place to speak SQL in: a home, a scripted engine, one SQLite file and one CSV to read."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from scripted import TINY, ScriptedEngine, settings_for

from modiste.actions import keys, models
from modiste.actions.inference import Renderers, Serving
from modiste.prepare import render
from modiste.serve.upstream import Engines, Upstreams
from modiste.settings import Settings
from modiste.sql.execute import execute
from modiste.sql.result import Done, Rows
from modiste.sql.session import Place, Session
from modiste.store.database import Database

SAID = tuple(render.load(TINY).encode("Hello there."))
Table = list[dict[str, object]]


@dataclass
class Speaker:
    """`speaker(sql)` is the rows of the last statement, or its word."""

    session: Session
    engine: ScriptedEngine

    def __call__(self, text: str, *parameters: object) -> Any:
        return asyncio.run(self.say(text, *parameters))

    async def say(self, text: str, *parameters: object) -> Any:
        told: Any = None
        async for result in execute(text, self.session, parameters):
            if isinstance(result, Done):
                told = result.tag
                continue
            told = await read(result)
        return told

    def labels(self, text: str) -> list[str]:
        async def look() -> list[str]:
            async for result in execute(text, self.session):
                assert isinstance(result, Rows)
                await result.batches.aclose()
                return [column.name for column in result.columns]
            raise AssertionError("no statement")

        return asyncio.run(look())


async def read(result: Rows) -> Table:
    names = [column.name for column in result.columns]
    return [
        dict(zip(names, row, strict=True)) for batch in [b async for b in result.batches]
        for row in batch
    ]  # fmt: skip


def write_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE asked (id int, text varchar, n real)")
        rows = [(1, "Hi", 1.5), (2, "Bye", None), (3, None, 3.0), (4, "Hi", 4.0)]
        connection.executemany("INSERT INTO asked VALUES (?, ?, ?)", rows)
        connection.execute("CREATE TABLE chats (chat_id int, message_id int, role, content)")
        turns = [("system", "Be kind."), ("user", "Hi?"), ("assistant", "Hello.")]
        connection.executemany(
            "INSERT INTO chats VALUES (?, ?, ?, ?)",
            [(c, m, role, f"{text}") for c in range(50) for m, (role, text) in enumerate(turns)],
        )
    (folder / "cities.csv").write_text("id,city\n1,Paris\n2,Rome\n")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    ports = {"sql_mysql_port": 0, "sql_postgres_port": 0}
    settings: Settings = settings_for(tmp_path_factory.mktemp("home"), **ports)
    write_files(settings.sql_files)
    database = Database(settings)
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="session")
def speaker(home: Database) -> Speaker:
    """With source `shop` (SQLite), source `places` (CSV) and model `m`, answering `answer`."""
    with home.transaction() as tx:
        secret = keys.bootstrap(tx)
        assert secret is not None
        home.settings.admin_key_file.write_text(secret)
        models.ensure_shipped(tx)
        actor = keys.authenticate(tx, secret)
    upstreams, engine = Upstreams(home.settings), ScriptedEngine()
    stream: Any = engine
    serving = Serving(home, Engines(stream, upstreams), Renderers(), upstreams)
    made = Speaker(Session(actor, Place(home, serving)), engine)
    made("CREATE DATABASE shop ENGINE = 'sqlite' PARAMETERS = {'path': 'shop.db'}")
    made("CREATE DATABASE places ENGINE = 'csv' PARAMETERS = {'path': 'cities.csv'}")
    made("CREATE MODEL m PREDICT answer USING model_name='open-mistral-7b', "
         "prompt_template='{{content}}'")  # fmt: skip
    return made


@pytest.fixture(autouse=True)
def afresh(request: pytest.FixtureRequest) -> None:
    """The session and the engine begin every test as new."""
    if "speaker" in request.fixturenames:
        made = request.getfixturevalue("speaker")
        made.session.database, made.session.dialect = "mindsdb", "mysql"
        made.session.variables.clear()
        made.session.notes.clear()
        made.engine.__dict__.clear()
        made.engine.__dict__.update(ScriptedEngine(ids=SAID).__dict__)
