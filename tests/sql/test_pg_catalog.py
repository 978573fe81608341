"""PostgreSQL's catalog is filled with what is here."""

from modiste.sql import pg_catalog
from modiste.sql.metadata import Metadata, Table
from modiste.sql.result import Column

SEEN = Metadata(
    current="p",
    schemas=("p",),
    databases=("p", "d"),
    tables=(Table("p", "t", "BASE TABLE", (Column("a", "integer"), Column("b", "text"))),),
)


def rows(name: str, schema: str = "pg_catalog") -> list[dict[str, object]]:
    found = pg_catalog.table(schema, name, SEEN)
    assert found is not None
    told: list[dict[str, object]] = found.to_pylist()
    return told


def test_tables_columns_and_types_refer_to_each_other() -> None:
    (table,) = rows("pg_class")
    assert table["relkind"] == "r"
    assert {each["attrelid"] for each in rows("pg_attribute")} == {table["oid"]}
    types = {each["oid"]: each["typname"] for each in rows("pg_type")}
    assert [types[each["atttypid"]] for each in rows("pg_attribute")] == ["int8", "text"]
    assert table["relnamespace"] in {each["oid"] for each in rows("pg_namespace")}
    assert [each["datname"] for each in rows("pg_database")] == ["p", "d"]
    assert [each["data_type"] for each in rows("columns", "information_schema")] == [
        "bigint", "text",
    ]  # fmt: skip


def test_what_there_is_none_of_is_empty_and_what_nobody_has_is_none() -> None:
    assert rows("pg_index") == []
    assert pg_catalog.table("pg_catalog", "pg_nothing", SEEN) is None
