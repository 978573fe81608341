"""Which columns the tables of a source have, and where a table lies that is named alone."""

from __future__ import annotations

from pathlib import Path

from modiste.actions.data_sources import Opened
from modiste.sql import local
from modiste.sql.result import Column, Kind
from modiste.sql.sources import FILES, read

NAMED: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("json", "struct", "map", "[]", "array"), "json"),
    (("bool",), "boolean"),
    (("int", "serial", "oid"), "integer"),
    (("float", "double", "real", "numeric", "decimal"), "float"),
    (("timestamp", "datetime"), "timestamp"),
    (("blob", "bytea", "binary"), "bytes"),
)
"""Parts of names of types, the first that fits; anything else is text."""


def columns(source: Opened, timeout_s: float) -> dict[tuple[str | None, str], list[Column]]:
    """By schema and name, in order. Raises SqlError where it does not answer."""
    if source.engine in FILES:
        name = Path(source.parameters["path"]).stem.lower()
        reading = read(source, f'SELECT * FROM "{name}" LIMIT 0', timeout_s)  # noqa: S608
        return {(None, name): list(local.columns(reading.table().schema))}
    query = (
        "SELECT NULL, m.name, p.name, p.type FROM sqlite_master AS m, pragma_table_info(m.name) AS "
        "p WHERE m.type IN ('table', 'view') ORDER BY m.name, p.cid"
        if source.engine == "sqlite"
        else "SELECT table_schema, table_name, column_name, data_type "
        "FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', "
        "'information_schema', 'mysql', 'performance_schema', 'sys') "
        "ORDER BY table_schema, table_name, ordinal_position"
    )
    told = read(source, query, timeout_s).table()
    held: dict[tuple[str | None, str], list[Column]] = {}
    for schema, table, name, kind in zip(*(each.to_pylist() for each in told.columns), strict=True):
        held.setdefault((schema, str(table)), []).append(Column(str(name), kind_named(str(kind))))
    return held


def default_schema(source: Opened) -> str | None:
    """Where a table lies that is named without one; None where there are no schemas."""
    if source.engine == "postgres":
        return str(source.parameters.get("schema") or "public")
    if source.engine == "mysql":
        return str(source.parameters["database"])
    return "main" if source.engine == "duckdb" else None


def kind_named(type_: str) -> Kind:
    """What a source's name of a type is here."""
    said = type_.lower()
    if said.startswith(("interval", "point")) or said == "date":
        return "text"
    for words, kind in NAMED:
        if any(word in said for word in words):
            return kind
    return "text"
