"""A real MariaDB is read: kinds, refusals, and a hundred thousand rows nobody holds at once."""

from __future__ import annotations

import datetime
import shutil
import socket
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modiste.actions.data_sources import Opened
from modiste.sql import local, source_columns, sources
from modiste.sql.errors import SqlError

pymysql: Any = pytest.importorskip("pymysql", reason="run `make install`")
pytestmark = pytest.mark.slow
MANY = 100_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("MariaDB is not installed (Debian: apt-get install mariadb-server-core)")
    folder: Path = tmp_path_factory.mktemp("maria")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = f"--datadir={folder / 'data'}"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", data, "--skip-test-db",
         "--auth-root-authentication-method=normal"], check=True, **quiet,
    )  # fmt: skip
    server = subprocess.Popen(
        ["mariadbd", "--no-defaults", data, "--user=root", f"--socket={folder / 's'}",
         "--bind-address=127.0.0.1", f"--port={port}", "--innodb-buffer-pool-size=16M"], **quiet,
    )  # fmt: skip
    try:
        root = connected(server, folder / "s")
        with root, root.cursor() as cursor:
            for text in (
                "CREATE DATABASE demo",
                "CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'secret'",
                "GRANT ALL ON demo.* TO reader@'127.0.0.1'",
                "CREATE TABLE demo.kinds (i int, u bigint unsigned, n decimal(8,2), x double, "
                "s varchar(9) CHARACTER SET utf8mb4, b varbinary(9), d date, t datetime(6), "
                "h time, j json, y year)",
                "INSERT INTO demo.kinds VALUES (-1, 18446744073709551615, 1.25, 0.5, 'é😀', "
                "x'00ff', '2026-11-30', '2026-11-30 12:01:02.5', '03:04:05', '{\"a\": 1}', 2026), "
                "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
                "CREATE TABLE demo.many AS SELECT seq AS id, repeat(md5(seq), 30) AS text "
                f"FROM demo.seq_1_to_{MANY}",
            ):
                cursor.execute(text)
        given = {"host": "127.0.0.1", "port": port, "user": "reader", "password": "secret",
                 "database": "demo"}  # fmt: skip
        yield Opened("maria", "mysql", given)
    finally:
        server.terminate()
        server.wait(timeout=30)


def connected(server: subprocess.Popen[bytes], path: Path) -> Any:
    deadline = time.monotonic() + 60
    while True:
        try:
            return pymysql.connect(unix_socket=str(path), user="root", autocommit=True)
        except pymysql.OperationalError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)


def read(source: Opened, sql: str) -> list[tuple[object, ...]]:
    table = sources.read(source, sql, 30).table()
    return [row for batch in table.to_batches() for row in local.values(batch)]


def test_values_have_their_kinds_and_none_is_null(source: Opened) -> None:
    sources.check(source, 10)
    assert ("demo", "kinds", "BASE TABLE") in sources.tables(source, 10)
    told = {each.name: each.kind for each in source_columns.columns(source, 10)["demo", "kinds"]}
    assert (told["i"], told["n"], told["t"], told["b"]) == (
        "integer",
        "float",
        "timestamp",
        "bytes",
    )
    first, second = read(source, "SELECT * FROM kinds")
    assert first == (
        -1, 2**64 - 1, 1.25, 0.5, "é😀", b"\x00\xff", "2026-11-30",
        datetime.datetime(2026, 11, 30, 12, 1, 2, 500_000), "3:04:05", '{"a": 1}', 2026,
    )  # fmt: skip
    assert set(second) == {None}
    assert read(source, "SELECT i FROM kinds WHERE i > 5") == []


def test_nothing_is_written_and_no_password_told(source: Opened) -> None:
    for text in (
        "INSERT INTO many VALUES (1, 'x')",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT nope",
    ):
        with pytest.raises(SqlError):
            read(source, text)
    wrong = Opened("maria", "mysql", {**source.parameters, "password": "hunter2"})
    with pytest.raises(SqlError) as refused:
        sources.check(wrong, 10)
    assert "hunter2" not in refused.value.message


def test_a_hundred_thousand_rows_pass_in_a_few_megabytes(source: Opened) -> None:
    """They are 96 MB of text; a batch of 5,000 is 5 MB as rows and as many as Arrow."""
    tracemalloc.start()
    try:
        reading = sources.read(source, "SELECT id, text FROM many", 30)
        n = sum(batch.num_rows for batch in reading.batches)
        reading.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n == MANY
    assert peak < 30e6, "Python holds little"


def test_whoever_stops_early_reads_no_more(source: Opened) -> None:
    began = time.monotonic()
    reading = sources.read(source, "SELECT a.id FROM many AS a, many AS b", 30)
    next(reading.batches)
    reading.close()
    assert time.monotonic() - began < 20, "ten thousand million rows were not read"


def test_a_server_that_ends_the_connection_is_told_as_this_source(source: Opened) -> None:
    reading = sources.read(
        source, "SELECT connection_id() AS c, a.id FROM many AS a, many AS b", 30
    )
    first = next(reading.batches).column(0)[0].as_py()
    kill(source, first)
    with pytest.raises(SqlError, match="maria: "):
        list(reading.batches)
    reading.close()


def kill(source: Opened, id_: int) -> None:
    given = {key: source.parameters[key] for key in ("host", "port", "user", "password")}
    with pymysql.connect(**given) as other, other.cursor() as cursor:
        cursor.execute(f"KILL {int(id_)}")
