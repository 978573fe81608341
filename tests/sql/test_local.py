"""The local engine computes, and reaches nothing."""

import datetime
import tempfile
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from modiste.sql import local
from modiste.sql.errors import SqlError


@pytest.mark.parametrize(
    "text",
    ["SELECT * FROM read_text('/etc/passwd')", "COPY (SELECT 1) TO '/tmp/x'",
     "ATTACH '/tmp/x.db'", "INSTALL httpfs", "SET enable_external_access = true",
     "SELECT * FROM secret"],
)  # fmt: skip
def test_files_settings_and_names_of_python_are_out_of_reach(text: str) -> None:
    secret = pa.table({"a": [1]})
    assert secret.num_rows == 1
    with pytest.raises(SqlError):
        local.run(text, {})


def test_tables_are_joined_and_kinds_are_told() -> None:
    found = local.run(
        "SELECT t.a, 1.5::DOUBLE AS f, TRUE AS b, {'x': 1} AS j, '\\xC3\\xA9'::BLOB AS y, "
        "TIMESTAMP '2026-01-02 03:04:05' AS s, DATE '2026-01-02' AS d, 2.50::DECIMAL(9,2) AS n "
        "FROM t JOIN u USING (a)",
        {"t": pa.table({"a": [1, 2]}), "u": pa.table({"a": [2]})},
    )
    assert [column.kind for column in local.columns(found.schema)] == [
        "integer", "float", "boolean", "json", "bytes", "timestamp", "text", "float",
    ]  # fmt: skip
    (row,) = [row for batch in found.to_batches() for row in local.values(batch)]
    when = datetime.datetime(2026, 1, 2, 3, 4, 5)
    assert row == (2, 1.5, True, '{"x": 1}', "é".encode(), when, "2026-01-02", 2.5)
    assert not isinstance(row[-1], Decimal)


def test_a_column_that_is_not_there_has_its_number() -> None:
    with pytest.raises(SqlError) as refused:
        local.run("SELECT b FROM t", {"t": pa.table({"a": [1]})})
    assert refused.value.code == 1054


@pytest.mark.slow
def test_what_does_not_fit_its_memory_goes_to_a_folder_that_is_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sorting 150 MB of texts within 50 MB."""
    monkeypatch.setattr(local, "MEMORY", "50MB")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = (
        "SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY m) AS n FROM "
        "(SELECT md5(i::VARCHAR) || md5((i + 1)::VARCHAR) AS m FROM range(1500000) AS r(i)))"
    )
    assert local.run(text, {}).to_pylist() == [{"n": 1_500_000}]
    assert list(tmp_path.iterdir()) == []
