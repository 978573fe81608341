"""MariaDB is written to: a real one, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pytest

from modiste.actions.data_sources import Opened
from modiste.sql import sinks, sources
from modiste.sql.errors import SqlError
from modiste.sql.result import Column
from modiste.sql.sink import made_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    import pymysql

    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("MariaDB is not installed (Debian: apt-get install mariadb-server-core)")
    folder = tmp_path_factory.mktemp("maria")
    data = f"--datadir={folder / 'data'}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", data, "--user=root", "--skip-test-db",
         "--auth-root-authentication-method=normal"], check=True, **quiet,
    )  # fmt: skip
    ours = str(free_port())
    running = subprocess.Popen(
        ["mariadbd", "--no-defaults", data, "--user=root", f"--socket={folder / 's'}",
         "--bind-address=127.0.0.1", f"--port={ours}", "--innodb-buffer-pool-size=16M"], **quiet,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                root = pymysql.connect(unix_socket=str(folder / "s"), user="root")
                break
            except pymysql.OperationalError:
                assert running.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        with root, root.cursor() as cursor:
            cursor.execute("CREATE DATABASE d")
            cursor.execute("CREATE TABLE d.isam (a int) ENGINE = MyISAM")
            cursor.execute("CREATE USER u@'127.0.0.1' IDENTIFIED BY 'secret'")
            cursor.execute("GRANT ALL ON d.* TO u@'127.0.0.1'")
        given = {"host": "127.0.0.1", "port": int(ours), "user": "u", "password": "secret",
                 "database": "d"}  # fmt: skip
        yield Opened("my", "mysql", given)
    finally:
        running.terminate()
        running.wait(timeout=30)


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def rows(server: Opened, text: str) -> list[tuple[object, ...]]:
    table = sources.read(server, text, 10).table()
    return [tuple(row.values()) for row in table.to_pylist()]


COLUMNS = [Column("id", "integer"), Column("odd `%s", "text"), Column("at", "timestamp")]
NAMES = [column.name for column in COLUMNS]


def batch(*ids: int) -> pa.RecordBatch:
    at = [datetime(2026, 1, 2, 3, 4, 5, 6)] * len(ids)
    text = ["it's %s\\ é"] * len(ids)
    kinds = (pa.int64(), pa.string(), pa.timestamp("us", "UTC"))
    columns = [pa.array(each, kind) for each, kind in zip((ids, text, at), kinds, strict=True)]
    return pa.RecordBatch.from_arrays(columns, ["0", "1", "2"])


def test_a_new_table_is_there_with_all_its_rows_or_not_at_all(server: Opened) -> None:
    text = made_for(COLUMNS, "mysql")
    for replace in (False, True):
        with sinks.opened(server, 10) as to:
            to.create(("t",), text, replace=replace, filled=True)
            to.append(("t",), NAMES, batch(1, 2))
            with sinks.opened(server, 10) as other:
                assert other.columns(("t",)) == (NAMES if replace else [])
            to.commit()
    with sinks.opened(server, 10) as to:
        to.create(("t",), text, replace=True, filled=True)
        to.append(("t",), NAMES, batch(3))
    told = "it's %s\\ é"
    at = datetime(2026, 1, 2, 3, 4, 5, 6)
    assert rows(server, "SELECT * FROM t ORDER BY id") == [(1, told, at), (2, told, at)]
    assert rows(server, "SHOW TABLES") == [("isam",), ("t",)]


def test_rows_are_taken_back_and_nothing_is_cut(server: Opened) -> None:
    def make(name: str) -> str:
        return f"CREATE TABLE {name} (id int PRIMARY KEY, x varchar(3), g int AS (id + 1))"

    for replace in (False, True):
        with sinks.opened(server, 10) as to:
            to.create(("k",), make, replace=replace, filled=False)
            assert to.columns(("k",)) == ["id", "x"]
            to.commit()
    for values, said in (([1, 1], "Duplicate entry"), ([1, 2], "Data too long")):
        given = pa.record_batch({"0": values, "1": ["a", "a" if values[1] == 1 else "abcd"]})
        with pytest.raises(SqlError, match=said), sinks.opened(server, 10) as to:
            to.append(("k",), ["id", "x"], given)
    assert rows(server, "SELECT count(*) FROM k") == [(0,)]
    with pytest.raises(SqlError, match="is a MyISAM table"), sinks.opened(server, 10) as to:
        to.columns(("d", "isam"))
    with sinks.opened(server, 10) as to:
        to.drop(("d", "k"))
    assert ("k",) not in rows(server, "SHOW TABLES")
