"""PostgreSQL clients as people use them: psql, psycopg and asyncpg."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from scripted_language import EVERY_KIND, Language
from wired_place import LIMIT, Wired

TIME = EVERY_KIND[4].replace(tzinfo=None)


def connect(wired: Wired, key: str = "mod_one", **options: Any) -> psycopg.Connection[Any]:
    where = {"host": "127.0.0.1", "port": wired.postgres, "user": "modiste", "sslmode": "disable"}
    return psycopg.connect(**{**where, "password": key, "autocommit": True, **options})


@pytest.fixture
def client(wired: Wired, language: Language) -> Iterator[psycopg.Connection[Any]]:
    with connect(wired) as connection:
        yield connection


def ask(client: psycopg.Connection[Any], statement: str, *values: object) -> list[Any]:
    return client.execute(statement, values or None).fetchall()  # type: ignore[call-overload]


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_every_kind_of_value_arrives_as_it_was(
    client: psycopg.Connection[Any], binary: bool
) -> None:
    with client.cursor(binary=binary) as cursor:
        full, empty = cursor.execute("KINDS").fetchall()
    assert empty == (None,) * 7
    assert full == (
        EVERY_KIND[0], 2**62, -0.1, True, TIME, {"a": [1, None]}, EVERY_KIND[6],
    )  # fmt: skip


def test_a_wrong_key_is_denied(wired: Wired) -> None:
    with pytest.raises(psycopg.OperationalError, match="password is no key of this server"):
        connect(wired, "mod_wrong")


def test_a_key_that_is_revoked_stops_at_its_next_statement(
    client: psycopg.Connection[Any], language: Language
) -> None:
    assert ask(client, "SELECT 1") == [(1,)]
    language.revoked.add("key_1")
    with pytest.raises(psycopg.errors.InvalidPassword):
        ask(client, "SELECT 1")


def test_tls_is_offered_and_its_certificate_can_be_checked(
    wired: Wired, language: Language
) -> None:
    checked = {"sslmode": "verify-full", "sslrootcert": str(wired.certificate)}
    with connect(wired, **checked) as client:
        assert client.pgconn.ssl_in_use
        assert ask(client, "NUMBERS 9000")[-1] == (8_999,)


def test_the_database_at_connect_must_exist_unless_it_is_only_the_users_name(
    wired: Wired, language: Language
) -> None:
    with connect(wired, dbname="shop"), connect(wired, dbname="modiste"):
        pass
    with pytest.raises(psycopg.OperationalError, match="Database does not exist: nowhere"):
        connect(wired, dbname="nowhere")


def test_errors_carry_their_state_and_the_connection_goes_on(
    client: psycopg.Connection[Any],
) -> None:
    for statement, kind in (
        ("NOSUCH", psycopg.errors.UndefinedTable),
        ("nonsense", psycopg.errors.SyntaxError),
        ("BREAK", psycopg.errors.InternalError_),
    ):
        with pytest.raises(kind):
            ask(client, statement)
    assert ask(client, "SELECT 1") == [(1,)]
    assert client.execute("").statusmessage is None


def test_warnings_are_notices(client: psycopg.Connection[Any]) -> None:
    heard: list[str | None] = []
    client.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    assert client.execute("NOTE").statusmessage == "NOTE"
    assert heard == ["mind this"]


def test_bound_values_keep_their_types_and_are_never_text_of_the_statement(
    client: psycopg.Connection[Any],
) -> None:
    evil = "x' AND role='injected; DROP MODEL m --"
    told = ask(client, "ECHO %s %s %s %s %s", evil, 7, 1.5, True, None)
    assert told == [
        ("str", evil), ("int", "7"), ("float", "1.5"), ("bool", "True"), ("NoneType", "None"),
    ]  # fmt: skip
    long = "né\n😀\0"[:-1] * 100_000
    assert ask(client, "ECHO %s", long) == [("str", long)]


def test_several_statements_in_one_text_and_none_behind_a_bound_one(
    client: psycopg.Connection[Any], language: Language
) -> None:
    cursor = client.execute("SELECT 1; NUMBERS 2; NOTE")
    assert cursor.fetchall() == [(1,)]
    assert cursor.nextset()
    assert cursor.fetchall() == [(0,), (1,)]
    language.ran.clear()
    with pytest.raises(psycopg.errors.SyntaxError, match="one after the other"):
        ask(client, "ECHO %s; NOTE", 1)
    assert language.ran == []


def test_a_failed_transaction_runs_nothing_until_its_end(
    wired: Wired, client: psycopg.Connection[Any], language: Language
) -> None:
    with connect(wired, autocommit=False) as careful:
        careful.execute("SELECT 1")
        assert careful.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        with pytest.raises(psycopg.errors.UndefinedTable):
            careful.execute("NOSUCH")
        assert careful.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            careful.execute("NOTE")
        careful.rollback()
        assert ask(careful, "SELECT 1") == [(1,)]
    assert ("NOTE", ()) not in language.ran


def test_prepared_statements_are_described_without_running(
    client: psycopg.Connection[Any], language: Language
) -> None:
    for n in range(3):
        cursor = client.execute("ECHO %s", [n], prepare=True)
        assert cursor.fetchall() == [("int", str(n))]
    assert len(language.described) == 1
    assert [values for _, values in language.ran if values] == [(0,), (1,), (2,)]


def test_cancel_in_mid_result_ends_the_statement_and_not_its_connection(
    client: psycopg.Connection[Any], language: Language
) -> None:
    for victim in ("SLEEP 30", "NUMBERS -1"):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = pool.submit(ask, client, victim)
            time.sleep(0.2)
            client.cancel_safe()
            with pytest.raises(psycopg.errors.QueryCanceled):
                asked.result(timeout=10)
    assert set(language.cancelled) == {"SLEEP 30", "NUMBERS -1"}
    assert ask(client, "SELECT 1") == [(1,)]


def test_a_cancel_request_with_a_wrong_secret_does_nothing(
    wired: Wired, client: psycopg.Connection[Any]
) -> None:
    import socket
    import struct

    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, client, "SLEEP 0.4")
        with socket.create_connection(("127.0.0.1", wired.postgres)) as stranger:
            pid = client.info.backend_pid
            stranger.sendall(struct.pack("!IIII", 16, 80877102, pid, 12345))
            assert stranger.recv(1) == b""
        assert asked.result(timeout=10) == [(True,)]


def test_a_client_that_vanishes_cancels_its_statement(wired: Wired, language: Language) -> None:
    client = connect(wired)
    client.pgconn.send_query(b"SLEEP 30")
    client.pgconn.flush()
    time.sleep(0.1)
    client.close()
    deadline = time.monotonic() + 10
    while "SLEEP 30" not in language.cancelled:
        assert time.monotonic() < deadline, "the statement of a vanished client runs on"
        time.sleep(0.01)


def asynchronously(wired: Wired, work: Any) -> Any:
    async def connected() -> Any:
        client = await asyncpg.connect(
            host="127.0.0.1", port=wired.postgres, user="modiste", password="mod_one",
            database="mindsdb", ssl=False,
        )  # fmt: skip
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(connected())


def test_asyncpg_binds_describes_and_reads_in_helpings(wired: Wired, language: Language) -> None:
    async def work(client: asyncpg.Connection) -> None:
        assert [tuple(row) for row in await client.fetch("ECHO $1 $2::int", "x' OR 1", 5)] == [
            ("str", "x' OR 1"),
            ("int", "5"),
        ]
        assert await client.fetchval("SELECT 1") == 1
        statement = await client.prepare("NUMBERS 2500")
        assert [attribute.name for attribute in statement.get_attributes()] == ["n"]
        ran = [text for text, _ in language.ran]
        assert "NUMBERS 2500" not in ran, "describing a statement must not run it"
        async with client.transaction():
            cursor = await statement.cursor()
            assert [row["n"] for row in await cursor.fetch(1500)] == list(range(1500))
            assert [row["n"] for row in await cursor.fetch(1500)] == list(range(1500, 2500))
        assert await client.fetchval("GUESSED") == "7", "told as text, so sent as text"
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            await client.fetch("GUESSED TWICE")
        with pytest.raises(asyncpg.UndefinedTableError):
            await client.fetch("NOSUCH $1", "x")
        assert await client.execute("NOTE") == "NOTE"

    asynchronously(wired, work)


def test_a_hundred_clients_at_once_and_then_no_more(wired: Wired, language: Language) -> None:
    async def work(first: asyncpg.Connection) -> None:
        async def one() -> asyncpg.Connection:
            return await asyncpg.connect(
                host="127.0.0.1", port=wired.postgres, user="modiste", password="mod_one", ssl=False
            )

        clients = await asyncio.gather(*(one() for _ in range(LIMIT - 1)))
        asked = [client.execute(f"NUMBERS {at}") for at, client in enumerate(clients)]
        assert await asyncio.gather(*asked) == [f"SELECT {at}" for at in range(LIMIT - 1)]
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await one()
        await asyncio.gather(*(client.close() for client in clients))

    asynchronously(wired, work)


def test_psql_asks_and_prints(wired: Wired, language: Language) -> None:
    program = shutil.which("psql")
    if program is None:
        pytest.skip("psql is not installed (Debian: apt-get install postgresql-client)")
    command = [program, "-h", "127.0.0.1", "-p", str(wired.postgres), "-U", "modiste", "-X"]
    environment = {**os.environ, "PGPASSWORD": "mod_one"}

    def psql(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=30
        )

    told = psql("-d", "shop", "-c", "NUMBERS 2", "-c", "NOTE", "-c", "\\conninfo")
    assert told.returncode == 0, told.stderr
    assert "(2 rows)" in told.stdout
    assert "SSL connection" in told.stdout
    assert "WARNING:  mind this" in told.stderr
    failed = psql("-c", "NOSUCH")
    assert "ERROR:  Table 'nosuch' not found" in failed.stderr
