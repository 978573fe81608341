"""PostgreSQL's functions and types of its catalog, as the local engine understands them.

Tools ask with them before a person asks anything. What depends on the catalog (`format_type`,
`regclass`, `pg_table_is_visible`) becomes constants of it; what describes things that do not exist
here is NULL, what asks for permission is true.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from modiste.sql.metadata import Metadata
from modiste.sql.pg_catalog import TYPES, number, schema_oid
from modiste.sql.pg_tables import CATALOG

NULLS = frozenset({
    "pg_get_expr", "pg_get_constraintdef", "pg_get_indexdef", "pg_get_viewdef",
    "pg_get_functiondef", "pg_get_triggerdef", "pg_get_ruledef", "pg_get_partkeydef",
    "pg_get_serial_sequence", "pg_get_function_result", "pg_get_function_arguments",
    "pg_get_function_identity_arguments", "pg_get_statisticsobjdef_columns", "obj_description",
    "col_description", "shobj_description", "pg_tablespace_location", "inet_server_addr",
    "inet_client_addr", "array_upper", "array_lower", "pg_stat_get_numscans", "to_regproc",
})  # fmt: skip
TRUE = frozenset({
    "pg_function_is_visible", "pg_type_is_visible", "pg_collation_is_visible",
    "pg_opclass_is_visible", "pg_operator_is_visible", "has_schema_privilege",
    "has_table_privilege", "has_database_privilege", "has_any_column_privilege",
    "has_column_privilege", "has_function_privilege", "pg_has_role",
})  # fmt: skip
FALSE = frozenset({
    "pg_is_in_recovery", "pg_relation_is_publishable", "pg_is_other_temp_schema",
})  # fmt: skip
ZERO = frozenset({
    "pg_table_size", "pg_total_relation_size", "pg_relation_size", "pg_indexes_size",
    "pg_database_size", "pg_my_temp_schema", "txid_current", "age", "inet_server_port",
})  # fmt: skip
SETTINGS = {
    "server_version": "15.0", "server_version_num": "150000", "server_encoding": "UTF8",
    "client_encoding": "UTF8", "datestyle": "ISO, MDY", "timezone": "UTC",
    "standard_conforming_strings": "on", "transaction isolation level": "read committed",
    "transaction_isolation": "read committed", "default_transaction_isolation": "read committed",
    "transaction_read_only": "off", "default_transaction_read_only": "off",
    "default_table_access_method": "heap", "max_identifier_length": "63",
    "integer_datetimes": "on", "lc_collate": "C", "lc_ctype": "C", "is_superuser": "off",
    "extra_float_digits": "1", "bytea_output": "hex", "jit": "off", "search_path": "",
}  # fmt: skip
PLAIN = {
    "oid": "BIGINT", "xid": "BIGINT", "int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT",
    "name": "TEXT", "char": "TEXT", "text": "TEXT", "bool": "BOOLEAN", "regproc": "TEXT",
    "regrole": "TEXT", "sql_identifier": "TEXT", "character_data": "TEXT",
    "cardinal_number": "INTEGER", "yes_or_no": "TEXT",
}  # fmt: skip
SHORT = {name: oid for oid, name, *_ in TYPES} | {said: oid for oid, *_, said in TYPES}


def foreign(tree: exp.Expr) -> bool:
    """Whether anything of PostgreSQL's own is in it."""
    for node in tree.walk():
        if isinstance(node, (exp.ObjectIdentifier, exp.Operator, exp.CurrentSchemas)):
            return True
        if isinstance(node, exp.Identifier) and node.name in ("pg_catalog", "information_schema"):
            return True
        if isinstance(node, exp.Table) and node.name in CATALOG:
            return True
        if isinstance(node, exp.Anonymous) and node.name.lower() in KNOWN:
            return True
    return False


def plain(tree: exp.Expr, seen: Metadata, settings: Callable[[str], str]) -> exp.Expr:
    """The same query without them."""
    words = _Words(seen, settings)
    return _bottom_up(_bottom_up(tree.copy(), words.unqualified), words.changed)


def _bottom_up(tree: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """`transform` of the tree's own does not go on below what it has replaced."""
    for node in reversed(list(tree.walk())):
        made = change(node)
        if made is not node:
            tree = made if node is tree else tree
            node.replace(made)
    return tree


class _Words:
    def __init__(self, seen: Metadata, settings: Callable[[str], str]) -> None:
        self._seen, self._settings = seen, settings
        self._names = {number(t.schema, t.name): t.name for t in seen.tables}
        self._names |= {number("pg_catalog", name): name for name in CATALOG}

    def unqualified(self, node: exp.Expr) -> exp.Expr:
        """`pg_catalog.f(x)` is `f(x)`, `pg_catalog.t.c` is `t.c`, `x OPERATOR(pg_catalog.~) y`."""
        if isinstance(node, exp.Dot) and node.this.name == "pg_catalog":
            inner: exp.Expr = node.expression
            return inner
        if isinstance(node, exp.Column) and node.db in ("pg_catalog", "information_schema"):
            node.set("db", None)
        if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
            node.set("db", None)
        if isinstance(node, exp.Collate):
            bare: exp.Expr = node.this
            return bare
        if isinstance(node, exp.Operator):
            sign = str(node.args["operator"]).rpartition(".")[2]
            kind = {"~": exp.RegexpLike, "=": exp.EQ, "~~": exp.Like}.get(sign)
            if kind is not None:
                return kind(this=node.this, expression=node.expression)
        return node

    def changed(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Cast):
            return self._cast(node)
        if isinstance(node, exp.CurrentSchemas):
            names = ["pg_catalog", self._seen.current]
            return exp.Array(expressions=[exp.Literal.string(name) for name in names])
        if isinstance(node, exp.Literal) and node.is_string:
            if re.fullmatch(r"\{\d*\}", node.name):
                return exp.Literal.string(f"[{node.name[1:-1]}]")
            return node
        if isinstance(node, exp.Anonymous):
            return self._function(node)
        return node

    def _function(self, node: exp.Anonymous) -> exp.Expr:
        name, given = node.name.lower(), node.expressions
        literal = node.find(exp.Literal)
        said = "" if literal is None else literal.name
        if name in NULLS:
            return exp.Null()
        if name in TRUE or name in FALSE:
            return exp.Boolean(this=name in TRUE)
        if name in ZERO:
            return exp.Literal.number(0)
        if name in ("pg_get_userbyid", "pg_encoding_to_char"):
            return exp.Literal.string("UTF8" if name == "pg_encoding_to_char" else "modiste")
        if name == "pg_backend_pid":
            return exp.Literal.number(self._settings("connection_id") or "1")
        if name == "current_setting":
            return exp.Literal.string(self._settings(said))
        if name == "json_build_object":
            return exp.Anonymous(this="json_object", expressions=given)
        if name == "set_config" and len(given) > 1:
            value: exp.Expr = given[1]
            return value
        if name == "format_type":
            return self._type_name(given[0])
        if name == "to_regtype":
            return self._type_oid(said)
        if name == "to_regclass":
            return self._class_oid(said)
        if name == "pg_table_is_visible":
            return self._visible(given[0])
        if name == "generate_subscripts":
            return exp.Null()
        return node

    def _visible(self, oid: exp.Expr) -> exp.Expr:
        shown = [t for t in self._seen.tables if t.schema == self._seen.current]
        oids = [exp.Literal.number(number(t.schema, t.name)) for t in shown]
        return exp.In(this=oid.copy(), expressions=oids) if oids else exp.Boolean(this=False)

    def _cast(self, node: exp.Cast) -> exp.Expr:
        said = str(node.to.args.get("kind") or node.to.this)
        name = said.rpartition(".")[2].strip('"').lower().replace("dtype.", "")
        inner = node.this
        literal = isinstance(inner, exp.Literal) and inner.is_string
        if name == "regclass":
            if literal:
                return self._class_oid(inner.name)
            return _case(inner, {str(oid): each for oid, each in self._names.items()})
        if name == "regnamespace":
            if literal:
                return exp.Literal.number(schema_oid(inner.name))
            return _case(inner, {str(schema_oid(each)): each for each in self._seen.schemas})
        if name == "regtype":
            return self._type_oid(inner.name) if literal else self._type_name(inner)
        return exp.cast(inner, PLAIN[name], dialect="duckdb") if name in PLAIN else node

    def _class_oid(self, name: str) -> exp.Expr:
        schema, _, table = name.replace('"', "").rpartition(".")
        if table in CATALOG and schema in ("", "pg_catalog"):
            return exp.Literal.number(number("pg_catalog", table))
        for each in self._seen.tables:
            if each.name == table and each.schema == (schema or self._seen.current):
                return exp.Literal.number(number(each.schema, each.name))
        return exp.Literal.number(name) if name.isdigit() else exp.cast(exp.Null(), "BIGINT")

    def _type_oid(self, name: str) -> exp.Expr:
        oid = SHORT.get(name.rpartition(".")[2].lower())
        return exp.cast(exp.Null(), "BIGINT") if oid is None else exp.Literal.number(oid)

    def _type_name(self, oid: exp.Expr) -> exp.Expr:
        return _case(oid, {str(number_): said for number_, *_, said in TYPES})


def _case(value: exp.Expr, told: dict[str, str]) -> exp.Expr:
    case = exp.Case(this=exp.cast(value.copy(), "BIGINT"))
    for key, said in told.items():
        case = case.when(exp.Literal.number(key), exp.Literal.string(said), copy=False)
    return case


KNOWN = NULLS | TRUE | FALSE | ZERO | {
    "pg_get_userbyid", "pg_encoding_to_char", "pg_backend_pid", "current_setting", "set_config",
    "format_type", "to_regtype", "to_regclass", "pg_table_is_visible", "generate_subscripts",
    "json_build_object",
}  # fmt: skip
