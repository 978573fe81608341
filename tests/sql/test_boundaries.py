"""What ends at whom: other organisations and projects see nothing, texts that are too long run
nowhere, and whoever is ended asks no model any more."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from modiste.sql import lexer
from modiste.sql.errors import SqlError
from modiste.sql.session import Session

pymysql: Any = pytest.importorskip("pymysql", reason="run `make install`")
psycopg: Any = pytest.importorskip("psycopg", reason="run `make install`")
JOIN = "SELECT t.id, m.answer FROM shop.asked AS t JOIN m ON m.content = t.text"


@pytest.fixture
def stranger(speaker: Any) -> Any:
    """The same rights, in another organisation."""
    caller = replace(speaker.session.caller, org="0ther0rg", key_id="key_other")
    return replace(speaker, session=Session(caller, speaker.session.place))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT answer FROM m WHERE content = 'x'", 1146),
        ("SELECT answer FROM mindsdb.m.1 WHERE content = 'x'", 1146),
        (JOIN, 1049),
        ("SELECT id FROM shop.asked", 1049),
        ("SELECT * FROM shop (SELECT id FROM asked)", 1049),
        ("INSERT INTO shop.asked (id) VALUES (9)", 1049),
        ("CREATE TABLE shop.t (SELECT 1 AS a)", 1049),
        ("DROP TABLE shop.asked", 1049),
        ("ALTER DATABASE shop PARAMETERS = {'path': 'cities.csv'}", 1049),
        ("DROP DATABASE shop", 1049),
        ("USE shop", 1049),
        ("DESCRIBE m", 1146),
        ("DESCRIBE m.1.args", 1146),
        ("DROP MODEL m", 1146),
        ("SET ACTIVE m.1", 1146),
        ("FINETUNE m FROM shop (SELECT * FROM chats)", 1049),
        ("RETRAIN m", 1146),
        ("CREATE VIEW v FROM shop (SELECT id FROM asked)", 1049),
        ("SHOW TABLES FROM shop", 1049),
    ],
)
def test_another_organisation_finds_nothing_of_ours(
    speaker: Any, stranger: Any, text: str, code: int
) -> None:
    with pytest.raises(SqlError) as refused:
        stranger(text)
    assert refused.value.code == code
    assert speaker.engine.asked == []
    assert len(speaker("SELECT id FROM shop.asked")) == 4


def test_another_organisation_is_shown_nothing_and_may_use_the_same_names(
    speaker: Any, stranger: Any
) -> None:
    for table in ("models", "models_versions", "views", "jobs", "jobs_history"):
        assert stranger(f"SELECT * FROM information_schema.{table}") == []
    assert [row["Database"] for row in stranger("SHOW DATABASES")] == [
        "information_schema", "log", "mindsdb",
    ]  # fmt: skip
    stranger("CREATE PROJECT shop")
    assert stranger("SHOW TABLES FROM shop") != []
    stranger("DROP PROJECT shop")
    assert len(speaker("SELECT id FROM shop.asked")) == 4


def test_a_name_of_another_project_says_so(speaker: Any) -> None:
    speaker("CREATE PROJECT lab")
    speaker("CREATE MODEL lab.only PREDICT a USING prompt='p', model_name='modiste-tiny'")
    speaker("CREATE VIEW lab.seen AS (SELECT id FROM shop.asked)")
    for text in ("SELECT a FROM only WHERE question = 'x'", "SELECT * FROM seen", "DROP MODEL only",
                 "DESCRIBE mindsdb.only", "SELECT a FROM lab.m WHERE content = 'x'",
                 "DROP VIEW seen"):  # fmt: skip
        with pytest.raises(SqlError) as refused:
            speaker(text)
        assert refused.value.code == 1146, text
    speaker("USE lab")
    assert speaker("SELECT a FROM only WHERE question = 'x'") == [{"a": "Hello there."}]
    speaker("DROP VIEW seen; DROP MODEL only; DROP PROJECT lab")


def mysql(doors: Any) -> Any:
    return pymysql.connect(
        host="127.0.0.1", port=doors.mysql, user="u", password=doors.key, database="mindsdb"
    )


def postgres(doors: Any) -> Any:
    where = f"host=127.0.0.1 port={doors.postgres} user=u dbname=mindsdb"
    return psycopg.connect(where, password=doors.key, autocommit=True)


def test_a_text_that_is_too_long_is_refused_and_its_connection_goes_on(doors: Any) -> None:
    text = f"SELECT 1 -- {'x' * lexer.MAX_TEXT}"
    for connect, kind in ((mysql, pymysql.err.MySQLError), (postgres, psycopg.Error)):
        with connect(doors) as client:
            cursor = client.cursor()
            with pytest.raises(kind, match="at most 16,777,216 fit"):
                cursor.execute(text)
            cursor.execute("SELECT 1")
            assert cursor.fetchall() in (((1,),), [(1,)])


@pytest.fixture
def slowly(speaker: Any) -> Iterator[Any]:
    """Models take a minute, and whoever waits for it is ended before."""
    speaker.engine.pause_s = 60
    yield speaker.engine
    deadline = time.monotonic() + 10
    while len(speaker.engine.aborted) < len(speaker.engine.asked):
        assert time.monotonic() < deadline, "a question runs on"
        time.sleep(0.01)
    assert len(speaker.engine.asked) == 2, "equal prompts are one question"


def ended(engine: Any, ask: Callable[[], Any], end: Callable[[], Any], kind: Any) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(ask)
        deadline = time.monotonic() + 10
        while len(engine.asked) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        began = time.monotonic()
        end()
        with pytest.raises(kind):
            asked.result(timeout=10)
        assert time.monotonic() - began < 5


def test_kill_ends_a_join_and_its_questions_and_not_the_connection(doors: Any, slowly: Any) -> None:
    with mysql(doors) as client, client.cursor() as cursor, mysql(doors) as other:
        kill = f"KILL QUERY {client.thread_id()}"
        ended(slowly, lambda: cursor.execute(JOIN), lambda: other.query(kill),
              pymysql.err.OperationalError)  # fmt: skip
        cursor.execute("SELECT id FROM shop.asked WHERE id = 1")
        assert cursor.fetchall() == ((1,),)


def test_a_cancelled_join_asks_no_more(doors: Any, slowly: Any) -> None:
    with postgres(doors) as client:
        ended(slowly, lambda: client.execute(JOIN), client.cancel_safe,
              psycopg.errors.QueryCanceled)  # fmt: skip
        assert client.execute("SELECT id FROM shop.asked WHERE id = 1").fetchall() == [(1,)]


def test_a_join_of_a_client_that_vanished_asks_no_more(doors: Any, slowly: Any) -> None:
    client = mysql(doors)
    client._execute_command(3, JOIN)
    deadline = time.monotonic() + 10
    while len(slowly.asked) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    client._force_close()


def test_a_cancelled_insert_of_answers_writes_nothing(speaker: Any, slowly: Any) -> None:
    async def work() -> None:
        writing = asyncio.create_task(speaker.say(f"CREATE TABLE shop.answers ({JOIN})"))
        while len(slowly.asked) < 2:
            await asyncio.sleep(0.001)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    asyncio.run(work())
    with pytest.raises(SqlError):
        speaker("SELECT * FROM shop.answers")
