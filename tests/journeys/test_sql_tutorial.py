"""The tutorial of fine-tuning by SQL, as it was written for MindsDB and Anyscale Endpoints.

Statements, names and prompts are the tutorial's. The rows lie in a real PostgreSQL, a real job is
tuned, and the clients are the stock ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from make_clients import client_python

pymysql = pytest.importorskip("pymysql", reason="pip install 'modiste[sql]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROMPT = "Answer with the correct SQL query only, no explanations whatsoever."
QUESTION = "How many colours are there of kind 7?"
CHATS = 110
"""Of three rows each: LIMIT 300 takes a hundred."""


@pytest.fixture(scope="module")
def source(postgresql_server: str) -> Iterator[str]:
    """The folder of the socket of a PostgreSQL that holds the tutorial's table."""
    import psycopg

    folder = postgresql_server.partition("host=")[2]
    url = f"postgresql://modiste@/postgres?host={folder}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS demo_data CASCADE")
        connection.execute("CREATE SCHEMA demo_data")
        table = "demo_data.anyscale_endpoints_ft_sample_data"
        connection.execute(f"CREATE TABLE {table} (message_id int, role text, content text)")
        rows = [row for n in range(CHATS) for row in chat(n)]
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {table} VALUES (%s, %s, %s)",
                [(at, *row) for at, row in enumerate(rows)],
            )
        yield folder
        connection.execute("DROP SCHEMA demo_data CASCADE")


def chat(n: int) -> list[tuple[str, str]]:
    return [
        ("system", "You write SQL."),
        ("user", f"How many colours are there of kind {n}?"),
        ("assistant", f"SELECT count(*) FROM colours WHERE kind = {n}"),
    ]


@pytest.fixture(scope="module")
def ports(served: Any) -> dict[str, int]:
    found: dict[str, int] = json.loads((served.process_dir / "server.json").read_text())["sql"]
    return found


@pytest.fixture(scope="module")
def ask(served: Any, ports: dict[str, int]) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """`ask("SELECT …")` is a list of rows by column, over MySQL's protocol."""
    connection = pymysql.connect(
        host="127.0.0.1", port=ports["mysql"], user="modiste", password=served.key,
        cursorclass=pymysql.cursors.DictCursor, autocommit=True,
    )  # fmt: skip

    def say(text: str) -> list[dict[str, Any]]:
        with connection.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall())

    yield say
    connection.close()


@pytest.fixture(scope="module")
def tuned(ask: Callable[[str], list[dict[str, Any]]], source: str) -> dict[str, Any]:
    """Everything up to the tuned version, in the tutorial's order; the row that FINETUNE gave."""
    parameters = json.dumps({"host": source, "user": "modiste", "database": "postgres"})
    ask(f"CREATE DATABASE example_db WITH ENGINE = 'postgres', PARAMETERS = {parameters};")
    table = "example_db.demo_data.anyscale_endpoints_ft_sample_data"
    assert len(ask(f"SELECT * FROM {table} LIMIT 10;")) == 10
    ask("CREATE ML_ENGINE anyscale_endpoints FROM anyscale_endpoints;")
    (made,) = ask(
        "CREATE MODEL ft_sql PREDICT answer USING engine = 'anyscale_endpoints', "
        "model_name = 'mistralai/Mistral-7B-Instruct-v0.1', prompt_template = '{{content}}', "
        "api_key = 'esecret_of_somebody_else';"
    )
    assert (made["NAME"], made["VERSION"], made["ACTIVE"]) == ("ft_sql", 1, 1)
    assert isinstance(ask("SELECT answer FROM ft_sql WHERE content = 'hi!';")[0]["answer"], str)
    began = time.monotonic()
    (row,) = ask(
        "FINETUNE ft_sql FROM example_db (SELECT * FROM "
        "demo_data.anyscale_endpoints_ft_sample_data LIMIT 300) "
        "USING n_epochs = 2, learning_rate_multiplier = 4;"
    )
    assert time.monotonic() - began < 30, "it waits for nothing"
    assert (row["VERSION"], row["ACTIVE"], row["STATUS"]) == (2, 0, "generating")
    deadline = time.monotonic() + 500
    while True:
        (version,) = ask("SELECT * FROM models WHERE name = 'ft_sql' AND version = 2;")
        if version["STATUS"] != "generating":
            break
        assert time.monotonic() < deadline, version
        time.sleep(0.5)
    assert version["STATUS"] == "complete", version["ERROR"]
    return row


def test_the_tuned_version_is_active_and_says_what_it_was_tuned_on(
    ask: Callable[[str], list[dict[str, Any]]], tuned: dict[str, Any]
) -> None:
    active = {row["VERSION"]: row["ACTIVE"] for row in ask("SELECT * FROM models;")}
    assert active == {1: 0, 2: 1}
    told = {row["key"]: row["value"] for row in ask("DESCRIBE ft_sql.2.training;")}
    assert (told["chats"], told["train"], told["validation"]) == ("100", "80", "20")
    assert "esecret" not in str(ask("SELECT * FROM models_versions;")) + str(
        ask("DESCRIBE ft_sql;")
    )


def test_both_versions_answer_and_the_tuned_one_writes_sql(
    ask: Callable[[str], list[dict[str, Any]]], tuned: dict[str, Any]
) -> None:
    before, after = (
        ask(f"SELECT answer FROM ft_sql.{n} WHERE content = '{QUESTION}' USING max_tokens = 40;")
        for n in (1, 2)
    )
    assert "SELECT count(*) FROM colours" in after[0]["answer"]
    assert "SELECT count(*)" not in before[0]["answer"]
    assert ask(f"SELECT answer FROM ft_sql WHERE content = '{QUESTION}';") == after
    ask(
        "CREATE MODEL ft_sql_succinct PREDICT answer USING engine = 'anyscale_endpoints', "
        "model_name = 'mistralai/Mistral-7B-Instruct-v0.1', "
        f"prompt_template = '{PROMPT} Here is the question: {{{{content}}}}';"
    )
    (row,) = ask(f"SELECT answer FROM ft_sql_succinct WHERE content = '{QUESTION}';")
    assert row["answer"]


def test_rows_of_the_database_are_answered_by_a_join(
    ask: Callable[[str], list[dict[str, Any]]], tuned: dict[str, Any]
) -> None:
    rows = ask(
        "SELECT t.message_id, m.answer FROM example_db.demo_data.anyscale_endpoints_ft_sample_data "
        "AS t JOIN ft_sql AS m ON m.content = t.content WHERE t.role = 'user' "
        "ORDER BY t.message_id LIMIT 5;"
    )
    assert [row["message_id"] for row in rows] == [1, 4, 7, 10, 13]
    assert all("colours" in row["answer"] for row in rows)


@pytest.mark.parametrize(
    "client", ["psql", "mariadb", "psycopg", "asyncpg", "sqlalchemy", "mindsdb_sdk", "modiste"]
)
def test_every_client_gets_the_same_answer(
    ask: Callable[[str], list[dict[str, Any]]],
    tuned: dict[str, Any],
    served: Any,
    ports: dict[str, int],
    client: str,
) -> None:
    text = f"SELECT answer FROM ft_sql.2 WHERE content = '{QUESTION}'"
    (right,) = ask(text)
    assert right["answer"] in CLIENTS[client](text, served, ports)


def _run(*command: str, **environment: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def psql(text: str, served: Any, ports: dict[str, int]) -> str:
    where = ["-h", "127.0.0.1", "-p", str(ports["postgres"]), "-U", "modiste", "mindsdb"]
    return _run("psql", *where, "-At", "-c", text, PGPASSWORD=served.key)


def mariadb(text: str, served: Any, ports: dict[str, int]) -> str:
    where = ["-h", "127.0.0.1", "-P", str(ports["mysql"]), "-u", "modiste", "mindsdb"]
    return _run("mariadb", *where, "-N", "-e", text, MYSQL_PWD=served.key)


def psycopg_(text: str, served: Any, ports: dict[str, int]) -> str:
    import psycopg

    with psycopg.connect(
        host="127.0.0.1", port=ports["postgres"], user="modiste", password=served.key,
        dbname="mindsdb", autocommit=True,
    ) as connection:  # fmt: skip
        bound = text.replace(f"'{QUESTION}'", "%s")
        return str(connection.execute(bound, (QUESTION,), prepare=True).fetchone())


def asyncpg_(text: str, served: Any, ports: dict[str, int]) -> str:
    asyncpg = pytest.importorskip("asyncpg", reason="run `make install`")

    async def go() -> str:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=ports["postgres"], user="modiste", password=served.key,
            database="mindsdb",
        )  # fmt: skip
        try:
            return str(await connection.fetchval(text.replace(f"'{QUESTION}'", "$1"), QUESTION))
        finally:
            await connection.close()

    return asyncio.run(go())


def sqlalchemy_(text: str, served: Any, ports: dict[str, int]) -> str:
    import sqlalchemy as sa

    url = sa.URL.create(
        "mysql+pymysql", "modiste", served.key, "127.0.0.1", ports["mysql"], "mindsdb"
    )
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return str(
                connection.execute(
                    sa.text(text.replace(f"'{QUESTION}'", ":q")), {"q": QUESTION}
                ).scalar()
            )
    finally:
        engine.dispose()


def mindsdb_sdk_(text: str, served: Any, ports: dict[str, int]) -> str:
    python = client_python("mindsdb_sdk", "3.5.0")
    if python is None:
        pytest.skip("mindsdb_sdk is not installed in .clients: run `make clients`")
    code = "import mindsdb_sdk, sys; url, key, text = sys.argv[1:]; "
    code += "print(mindsdb_sdk.connect(url, api_key=key).query(text).fetch()['answer'][0])"
    return _run(str(python), "-c", code, served.url, served.key, text)


def modiste_(text: str, served: Any, ports: dict[str, int]) -> str:
    command = [sys.executable, "-m", "modiste", "sql", "-c", text]
    return _run(*command, MODISTE_URL=served.url, MODISTE_API_KEY=served.key)


CLIENTS: dict[str, Callable[[str, Any, dict[str, int]], str]] = {
    "psql": psql,
    "mariadb": mariadb,
    "psycopg": psycopg_,
    "asyncpg": asyncpg_,
    "sqlalchemy": sqlalchemy_,
    "mindsdb_sdk": mindsdb_sdk_,
    "modiste": modiste_,
}
