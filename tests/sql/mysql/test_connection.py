"""MySQL clients as people use them: PyMySQL and the mariadb client."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from scripted_language import EVERY_KIND, Language
from wired_place import LIMIT, Wired

NULLS = (None,) * len(EVERY_KIND)


def connect(wired: Wired, key: str = "mod_one", **options: Any) -> pymysql.Connection:
    """Without TLS unless `ssl` says how: PyMySQL takes 0.1 s to read the system's authorities."""
    options.setdefault("ssl_disabled", "ssl" not in options)
    where = {"host": "127.0.0.1", "port": wired.mysql}
    return pymysql.connect(**where, user="modiste", password=key, **options)


@pytest.fixture
def client(wired: Wired, language: Language) -> Iterator[pymysql.Connection]:
    connection = connect(wired)
    yield connection
    connection.close()


def ask(client: pymysql.Connection, statement: str) -> Any:
    with client.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_every_kind_of_value_arrives_as_it_was(client: pymysql.Connection) -> None:
    full, empty = ask(client, "KINDS")
    assert empty == NULLS
    assert full == (
        EVERY_KIND[0], 2**62, -0.1, 1, EVERY_KIND[4].replace(tzinfo=None), EVERY_KIND[5],
        EVERY_KIND[6],
    )  # fmt: skip


def test_a_wrong_key_is_denied_in_words_that_help(wired: Wired) -> None:
    with pytest.raises(pymysql.err.OperationalError) as refused:
        connect(wired, "mod_wrong")
    assert refused.value.args[0] == 1045
    assert "Access denied for user 'modiste'" in refused.value.args[1]
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        connect(wired, "")


def test_a_key_that_is_revoked_stops_at_its_next_statement(
    client: pymysql.Connection, language: Language
) -> None:
    assert ask(client, "SELECT 1") == ((1,),)
    language.revoked.add("key_1")
    with pytest.raises(pymysql.err.OperationalError, match="1045"):
        ask(client, "SELECT 1")


def test_tls_is_offered_and_its_certificate_can_be_checked(
    wired: Wired, language: Language
) -> None:
    trusting = ssl.create_default_context(cafile=wired.certificate)
    with connect(wired, ssl=trusting) as client:
        assert client._secure
        assert ask(client, "SELECT 1") == ((1,),)
        assert ask(client, "NUMBERS 9000")[-1] == (8_999,)
    with pytest.raises(pymysql.err.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(wired, ssl=ssl.create_default_context())


def test_the_database_at_connect_must_exist(wired: Wired, language: Language) -> None:
    with connect(wired, database="shop") as client:
        client.select_db("files")
        with pytest.raises(pymysql.err.OperationalError, match="1049"):
            client.select_db("no`such")
    with pytest.raises(pymysql.err.OperationalError, match="1049"):
        connect(wired, database="nowhere")


def test_errors_carry_number_and_state_and_the_connection_goes_on(
    client: pymysql.Connection,
) -> None:
    for statement, code in (("NOSUCH", 1146), ("nonsense", 1064), (";", 1065), ("BREAK", 1105)):
        with pytest.raises(pymysql.err.MySQLError) as failed:
            ask(client, statement)
        assert failed.value.args[0] == code
    assert client.ping(reconnect=False) is None  # type: ignore[func-returns-value]


def test_counts_and_warnings_of_a_statement_are_told(client: pymysql.Connection) -> None:
    with client.cursor() as cursor:
        assert cursor.execute("NOTE") == 3
        assert client._result.warning_count == 1
        cursor.execute("SELECT 1")
        assert client._result.warning_count == 0


def test_several_statements_run_only_where_a_client_asked_for_that(
    wired: Wired, client: pymysql.Connection, language: Language
) -> None:
    with pytest.raises(pymysql.err.ProgrammingError, match="1064"):
        ask(client, "SELECT 1; NOTE")
    assert ("SELECT 1", ()) not in language.ran
    several = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with connect(wired, client_flag=several) as asking, asking.cursor() as cursor:
        cursor.execute("SELECT 1; NOTE; NUMBERS 3; NOSUCH; SELECT 1")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset()
        assert cursor.rowcount == 3
        assert cursor.nextset()
        assert cursor.fetchall() == ((0,), (1,), (2,))
        with pytest.raises(pymysql.err.ProgrammingError, match="1146"):
            cursor.nextset()
    assert [statement for statement, _ in language.ran][-1] == "NOSUCH"


def test_a_value_of_more_than_16_mb_travels_whole(client: pymysql.Connection) -> None:
    for n in (0xFFFFFF - 4, 17_000_000):  # 4: the length before the value
        assert [len(row[0]) for row in ask(client, f"WIDE {n}")] == [n]
    padding = " " * 17_000_000
    assert ask(client, f"SELECT 1 {padding}") == ((1,),)


def test_what_is_no_utf_8_is_refused_by_name(client: pymysql.Connection) -> None:
    client._execute_command(3, b"SELECT \xff")
    with pytest.raises(pymysql.err.MySQLError, match="1300"):
        client._read_query_result()


def test_kill_query_ends_a_statement_and_not_its_connection(
    wired: Wired, client: pymysql.Connection, language: Language
) -> None:
    for victim in ("SLEEP 30", "NUMBERS -1"):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            begun = time.monotonic()
            asked = pool.submit(ask, client, victim)
            time.sleep(0.2)
            with connect(wired) as other:
                ask(other, f"KILL QUERY {client.thread_id()}")
            with pytest.raises(pymysql.err.OperationalError, match="1317"):
                asked.result(timeout=10)
            assert time.monotonic() - begun < 10
    assert set(language.cancelled) == {"SLEEP 30", "NUMBERS -1"}
    assert ask(client, "SELECT 1") == ((1,),)


def test_only_the_same_key_or_an_admin_may_kill(wired: Wired, client: pymysql.Connection) -> None:
    with connect(wired, "mod_two") as stranger, pytest.raises(pymysql.err.MySQLError, match="1094"):
        ask(stranger, f"KILL {client.thread_id()}")
    assert ask(client, "SELECT 1") == ((1,),)
    with connect(wired, "mod_boss") as boss:
        ask(boss, f"KILL {client.thread_id()}")
    with pytest.raises(pymysql.err.MySQLError):
        ask(client, "SELECT 1")


def test_a_client_that_vanishes_cancels_its_statement(wired: Wired, language: Language) -> None:
    client = connect(wired)
    client._execute_command(3, "SLEEP 30")
    time.sleep(0.1)
    client._force_close()
    deadline = time.monotonic() + 10
    while "SLEEP 30" not in language.cancelled:
        assert time.monotonic() < deadline, "the statement of a vanished client runs on"
        time.sleep(0.01)


def test_a_hundred_clients_at_once_and_then_no_more(wired: Wired, language: Language) -> None:
    kept: list[pymysql.Connection] = []
    try:
        for _ in range(LIMIT):
            kept.append(connect(wired))
        with pytest.raises(pymysql.err.OperationalError, match="Too many connections"):
            connect(wired)
        for number, each in enumerate(kept):
            each._execute_command(3, f"NUMBERS {number}")
        for number, each in enumerate(kept):
            each._read_query_result()
            assert len(each._result.rows or ()) == number
    finally:
        for each in kept:
            each.close()


def mariadb(
    wired: Wired, *arguments: str, key: str = "mod_one"
) -> subprocess.CompletedProcess[str]:
    program = shutil.which("mariadb")
    if program is None:
        pytest.skip("the mariadb client is not installed (Debian: apt-get install mariadb-client)")
    command = [program, "-h127.0.0.1", f"-P{wired.mysql}", "-umodiste", *arguments]
    environment = {**os.environ, "MYSQL_PWD": key}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def test_the_mariadb_client_asks_and_prints(wired: Wired, language: Language) -> None:
    told = mariadb(wired, "-t", "--default-character-set=utf8mb4", "-e", "NUMBERS 2; NOTE; ECHO")
    assert told.returncode == 0, told.stderr
    assert "|    1 |" in told.stdout
    assert "né 😀" in told.stdout
    trusting = (f"--ssl-ca={wired.certificate}", "--ssl-verify-server-cert", "-Dshop")
    assert mariadb(wired, *trusting, "-Ne", "SELECT 1").stdout == "1\n"
    wrong = mariadb(wired, "-e", "SELECT 1", key="mod_wrong")
    assert wrong.returncode == 1
    assert "ERROR 1045 (28000)" in wrong.stderr
