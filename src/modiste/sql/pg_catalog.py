"""What PostgreSQL's own clients and tools look into, filled with what is here.

`pg_catalog` and `information_schema` as tables for the local engine; what there is none of here
(indexes, constraints, functions, policies) is an empty table with its columns. An object's number
is made of its name, so it is the same in every process.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from modiste.sql.metadata import Metadata, Table
from modiste.sql.pg_tables import CATALOG, INFORMATION
from modiste.sql.result import Kind

OWNER = 10
OIDS: dict[Kind, int] = {
    "text": 25, "integer": 20, "float": 701, "boolean": 16, "timestamp": 1114, "json": 114,
    "bytes": 17,
}  # fmt: skip
TYPES = (
    (16, "bool", 1, 1000, "B", "boolean"), (17, "bytea", -1, 1001, "U", "bytea"),
    (18, "char", 1, 1002, "Z", '"char"'), (19, "name", 64, 1003, "S", "name"),
    (20, "int8", 8, 1016, "N", "bigint"), (21, "int2", 2, 1005, "N", "smallint"),
    (23, "int4", 4, 1007, "N", "integer"), (25, "text", -1, 1009, "S", "text"),
    (26, "oid", 4, 1028, "N", "oid"), (114, "json", -1, 199, "U", "json"),
    (700, "float4", 4, 1021, "N", "real"), (701, "float8", 8, 1022, "N", "double precision"),
    (1042, "bpchar", -1, 1014, "S", "character"),
    (1043, "varchar", -1, 1015, "S", "character varying"), (1082, "date", 4, 1182, "D", "date"),
    (1083, "time", 8, 1183, "D", "time without time zone"),
    (1114, "timestamp", 8, 1115, "D", "timestamp without time zone"),
    (1184, "timestamptz", 8, 1185, "D", "timestamp with time zone"),
    (1700, "numeric", -1, 1231, "N", "numeric"), (2950, "uuid", 16, 2951, "U", "uuid"),
    (3802, "jsonb", -1, 3807, "U", "jsonb"),
)  # fmt: skip
"""OID, name, size, OID of its array, category, and its name in SQL; as PostgreSQL has them."""
SYSTEM_OIDS = {"pg_catalog": 11, "information_schema": 13000}
COLLATION = 100
Row = Mapping[str, object]


def table(schema: str, name: str, seen: Metadata) -> pa.Table | None:
    """None: there is no such table in PostgreSQL."""
    known = {"pg_catalog": CATALOG, "information_schema": INFORMATION}.get(schema, {}).get(name)
    if known is None:
        return None
    rows = ROWS[name](seen) if name in ROWS else []
    columns = {each.name: [row.get(each.name) for row in rows] for each in known}
    return pa.table(columns, schema=known)


def number(*names: str) -> int:
    """The OID of what is called so."""
    return zlib.crc32("\0".join(names).encode()) & 0x3FFFFFFF | 0x40000000


def schema_oid(schema: str) -> int:
    return SYSTEM_OIDS.get(schema) or number(schema)


def _namespaces(seen: Metadata) -> list[Row]:
    names = dict.fromkeys(("pg_catalog", *seen.schemas))
    return [{"oid": schema_oid(name), "nspname": name, "nspowner": OWNER} for name in names]


def _classes(seen: Metadata) -> list[Row]:
    none = dict.fromkeys(
        ("reltoastrelid", "reloftype", "reltablespace", "relfilenode", "relrewrite", "relchecks"), 0
    )
    no = dict.fromkeys(
        ("relhasindex", "relhasrules", "relhastriggers", "relrowsecurity", "relforcerowsecurity",
         "relispartition", "relisshared", "relhassubclass"), False,
    )  # fmt: skip
    return [
        {
            **none, **no, "oid": number(each.schema, each.name), "relname": each.name,
            "relnamespace": schema_oid(each.schema), "relowner": OWNER, "relam": 2,
            "relkind": "r" if each.kind == "BASE TABLE" else "v", "relpersistence": "p",
            "relreplident": "n", "relnatts": len(each.columns), "reltuples": -1.0,
            "relispopulated": True, "reltype": 0,
        }
        for each in seen.tables
    ]  # fmt: skip


def _attributes(seen: Metadata) -> list[Row]:
    sizes = {oid: size for oid, _, size, *_ in TYPES}
    return [
        {
            "attrelid": number(each.schema, each.name), "attname": column.name,
            "atttypid": OIDS[column.kind], "attlen": sizes[OIDS[column.kind]], "attnum": at,
            "atttypmod": -1, "attnotnull": False, "atthasdef": False, "attisdropped": False,
            "attidentity": "", "attgenerated": "", "attislocal": True, "attinhcount": 0,
            "attndims": 0, "attstattarget": -1, "attstorage": "x", "attcompression": "",
            "attcollation": COLLATION if column.kind == "text" else 0,
        }
        for each in seen.tables for at, column in enumerate(each.columns, start=1)
    ]  # fmt: skip


def _types(seen: Metadata) -> list[Row]:
    return [
        {
            "oid": oid, "typname": name, "typnamespace": 11, "typowner": OWNER, "typlen": size,
            "typtype": "b", "typcategory": category, "typisdefined": True, "typdelim": ",",
            "typrelid": 0, "typelem": 0, "typarray": array, "typnotnull": False, "typbasetype": 0,
            "typtypmod": -1, "typndims": 0, "typcollation": COLLATION if category == "S" else 0,
        }
        for oid, name, size, array, category, _ in TYPES
    ]  # fmt: skip


def _databases(seen: Metadata) -> list[Row]:
    return [
        {
            "oid": schema_oid(name), "datname": name, "datdba": OWNER, "encoding": 6,
            "datlocprovider": "c", "datistemplate": False, "datallowconn": True,
            "datconnlimit": -1, "dattablespace": 1663, "datcollate": "C", "datctype": "C",
        }
        for name in seen.databases
    ]  # fmt: skip


def _roles(seen: Metadata) -> list[Row]:
    return [
        {
            "oid": OWNER, "rolname": "modiste", "rolsuper": False, "rolinherit": True,
            "rolcreaterole": False, "rolcreatedb": False, "rolcanlogin": True,
            "rolreplication": False, "rolbypassrls": False, "rolconnlimit": -1,
        }
    ]  # fmt: skip


def _listed(seen: Metadata) -> list[Row]:
    """Of `pg_tables`."""
    return [
        {"schemaname": each.schema, "tablename": each.name, "tableowner": "modiste"}
        for each in seen.tables
        if each.kind == "BASE TABLE"
    ]


def _views(seen: Metadata) -> list[Row]:
    return [
        {"schemaname": each.schema, "viewname": each.name, "viewowner": "modiste"}
        for each in seen.tables
        if each.kind != "BASE TABLE"
    ]


def _schemata(seen: Metadata) -> list[Row]:
    return [
        {"catalog_name": seen.current, "schema_name": name, "schema_owner": "modiste"}
        for name in dict.fromkeys(("pg_catalog", *seen.schemas))
    ]


def _tables(seen: Metadata) -> list[Row]:
    return [
        {**_place(seen, each), "table_type": "BASE TABLE" if each.kind == "BASE TABLE" else "VIEW"}
        for each in seen.tables
    ]


def _columns(seen: Metadata) -> list[Row]:
    named = {oid: (short, said) for oid, short, _, _, _, said in TYPES}
    return [
        {
            **_place(seen, each), "column_name": column.name, "ordinal_position": at,
            "is_nullable": "YES", "data_type": named[OIDS[column.kind]][1],
            "udt_catalog": seen.current, "udt_schema": "pg_catalog",
            "udt_name": named[OIDS[column.kind]][0], "is_identity": "NO",
            "is_generated": "NEVER", "is_updatable": "NO",
        }
        for each in seen.tables for at, column in enumerate(each.columns, start=1)
    ]  # fmt: skip


def _place(seen: Metadata, each: Table) -> Row:
    return {
        "table_catalog": seen.current,
        "table_schema": each.schema,
        "table_name": each.name,
    }


def _info_views(seen: Metadata) -> Sequence[Row]:
    return [_place(seen, each) for each in seen.tables if each.kind != "BASE TABLE"]


ROWS: dict[str, Callable[[Metadata], Sequence[Row]]] = {
    "pg_namespace": _namespaces,
    "pg_class": _classes,
    "pg_attribute": _attributes,
    "pg_type": _types,
    "pg_database": _databases,
    "pg_roles": _roles,
    "pg_tables": _listed,
    "pg_views": _views,
    "pg_am": lambda seen: [{"oid": 2, "amname": "heap", "amtype": "t"}],
    "pg_tablespace": lambda seen: [{"oid": 1663, "spcname": "pg_default", "spcowner": OWNER}],
    "pg_user": lambda seen: [{"usename": "modiste", "usesysid": OWNER, "usesuper": False}],
    "pg_collation": lambda seen: [
        {"oid": COLLATION, "collname": "default", "collnamespace": 11, "collowner": OWNER}
    ],
    "schemata": _schemata,
    "tables": _tables,
    "columns": _columns,
    "views": _info_views,
}
