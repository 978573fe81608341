"""Columns of catalog tables are read from their lines."""

import pyarrow as pa

from modiste.sql.pg_tables import CATALOG, INFORMATION, schemas


def test_a_line_is_a_table_and_a_kind_stands_behind_a_column() -> None:
    found = schemas("a = x y:i\n  z:b\nb = l:l")
    assert [(each.name, each.type) for each in found["a"]] == [
        ("x", pa.string()), ("y", pa.int64()), ("z", pa.bool_()),
    ]  # fmt: skip
    assert found["b"].field("l").type == pa.list_(pa.int64())


def test_what_clients_join_over_is_there() -> None:
    assert {"pg_class", "pg_attribute", "pg_type", "pg_namespace", "pg_index"} <= set(CATALOG)
    assert "ordinal_position" in INFORMATION["columns"].names
