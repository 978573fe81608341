"""A process that is killed while it writes has written nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from modiste.actions.data_sources import Opened
from modiste.sql import sinks, sources
from modiste.sql.errors import SqlError

KILLED = """
import os, sys, signal
import pyarrow as pa
from modiste.actions.data_sources import Opened
from modiste.sql import sinks
batch = pa.record_batch({"0": list(range(50000))})
for engine, path in (("sqlite", sys.argv[1]), ("duckdb", sys.argv[2])):
    held = sinks.opened(Opened("x", engine, {"path": path}), 10)
    to = held.__enter__()
    to.create(("new",), lambda name: f"CREATE TABLE {name} (a bigint)", replace=False, filled=True)
    for table in ("t", "new"):
        to.append((table,), ["a"], batch)
    globals()[engine] = held
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_killed_half_way_nothing_is_written(tmp_path: Path) -> None:
    import sqlite3

    lite, duck = str(tmp_path / "s.db"), str(tmp_path / "d.duckdb")
    for connection in (sqlite3.connect(lite), duckdb.connect(duck)):
        connection.execute("CREATE TABLE t (a bigint)")
        connection.commit()
        connection.close()
    ended = subprocess.run([sys.executable, "-c", KILLED, lite, duck], check=False)
    assert ended.returncode == -signal.SIGKILL
    for engine, path in (("sqlite", lite), ("duckdb", duck)):
        source = Opened("x", engine, {"path": path})
        assert tables(source) == ["t"]
        found = sources.read(source, "SELECT count(*) AS n FROM t", 10).table()
        assert found.to_pylist() == [{"n": 0}]


def tables(source: Opened) -> list[str]:
    query = (
        "SELECT name FROM sqlite_master"
        if source.engine == "sqlite"
        else "SELECT table_name FROM information_schema.tables"
    )
    return [str(name) for name in sources.read(source, query, 10).table().column(0).to_pylist()]


def test_only_a_file_that_is_there_is_written_to(tmp_path: Path) -> None:
    for engine in ("sqlite", "duckdb"):
        with (
            pytest.raises(SqlError, match="there is no file"),
            sinks.opened(Opened("x", engine, {"path": str(tmp_path / "new")}), 10),
        ):
            pass
    assert list(tmp_path.iterdir()) == []
