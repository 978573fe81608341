"""The local engine computes, and reaches nothing."""

import datetime
from decimal import Decimal

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
