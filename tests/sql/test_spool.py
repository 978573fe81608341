"""Rows on their way into a database."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modiste.sql import spool as spooling
from modiste.sql.errors import SqlError
from modiste.sql.result import Column
from modiste.sql.spool import Spool


def test_rows_come_back_in_their_order_and_kinds_and_no_file_stays(tmp_path: Path) -> None:
    columns = [Column("a", "integer"), Column("a", "text"), Column("w", "timestamp"),
               Column("b", "bytes")]  # fmt: skip
    naive = datetime(2026, 1, 2, 3, 4, 5)
    rows = [(at, "x" * 9000, naive, b"\x00") for at in range(1000)]
    with Spool(columns, tmp_path / "new") as spool:
        spool.add(rows)
        spool.add([])
        spool.add([(None, None, None, None)])
        found = [row for batch in spool.batches() for row in zip(*map(list, batch), strict=True)]
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    plain = [tuple(value.as_py() for value in row) for row in found]
    aware = naive.replace(tzinfo=UTC)
    assert plain == [*((a, t, aware, b) for a, t, _, b in rows), (None, None, None, None)]
    assert spool.n_rows == 1001


def test_an_integer_too_large_is_told(tmp_path: Path) -> None:
    with (
        Spool([Column("a", "integer")], tmp_path) as spool,
        pytest.raises(SqlError, match="cannot be written"),
    ):
        spool.add([(2**63,)])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        spooling.tempfile,
        "SpooledTemporaryFile",
        lambda size, dir: Path("/dev/full").open("w+b", buffering=0),  # noqa: SIM115 - closed by whoever holds it.
    )
    with (
        pytest.raises(SqlError, match="cannot hold the rows of this query"),
        Spool([Column("a", "integer")], tmp_path) as spool,
    ):
        spool.add([(1,)])
