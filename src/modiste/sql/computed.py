"""What only the session knows: its functions, its variables, and what columns are called."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlglot import exp

from modiste import __version__
from modiste.sql.session import Session
from modiste.sql.statements import Select

SERVER_VERSION = "8.0.36-modiste"
POSTGRES_VERSION = f"PostgreSQL 15.0 (Modiste {__version__})"
VARIABLES = {
    "autocommit": "1", "character_set_client": "utf8mb4", "character_set_connection": "utf8mb4",
    "character_set_results": "utf8mb4", "character_set_server": "utf8mb4",
    "collation_connection": "utf8mb4_0900_ai_ci", "collation_server": "utf8mb4_0900_ai_ci",
    "interactive_timeout": "28800", "license": "Apache-2.0", "lower_case_table_names": "0",
    "max_allowed_packet": "67108864", "net_write_timeout": "60", "performance_schema": "0",
    "sql_mode": "", "system_time_zone": "UTC", "time_zone": "UTC",
    "transaction_isolation": "READ-COMMITTED", "transaction_read_only": "0",
    "tx_isolation": "READ-COMMITTED", "version": SERVER_VERSION, "version_comment": "Modiste",
    "wait_timeout": "28800",
}  # fmt: skip


def computed(tree: exp.Expr, session: Session) -> exp.Expr:
    """What only the session knows, as constants."""
    known = {
        "version": SERVER_VERSION if session.dialect == "mysql" else POSTGRES_VERSION,
        "database": session.database,
        "schema": session.database,
        "user": session.caller.key_id,
        "session_user": session.caller.key_id,
        "system_user": session.caller.key_id,
    }  # fmt: skip

    def change(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.SessionParameter):
            return exp.Literal.string(variable(session, node.name))
        if isinstance(node, exp.CurrentVersion):
            return exp.Literal.string(known["version"])
        if isinstance(node, (exp.CurrentSchema, exp.CurrentDatabase)):
            return exp.Literal.string(session.database)
        if isinstance(node, exp.CurrentUser):
            return exp.Literal.string(session.caller.key_id)
        if isinstance(node, exp.Anonymous) and node.name.lower() in known:
            return exp.Literal.string(known[node.name.lower()])
        if isinstance(node, exp.Anonymous) and node.name.lower() == "connection_id":
            return exp.Literal.number(session.variables.get("connection_id", "1"))
        if isinstance(node, (exp.CurrentTimestamp,)) or (
            isinstance(node, exp.Anonymous) and node.name.lower() == "now"
        ):
            said = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
            return exp.cast(exp.Literal.string(str(said)), "timestamp")
        return node

    return tree.transform(change)


def variable(session: Session, name: str) -> str:
    name = name.lower().removeprefix("session.").removeprefix("global.")
    return session.variables.get(name, VARIABLES.get(name, ""))


def labels_of(said: Select) -> list[str] | None:
    """What the columns are called: as the user spelled them. None where a star decides."""
    tree = said.tree
    while isinstance(tree, (exp.Subquery, exp.SetOperation)):
        tree = tree.this
    if not isinstance(tree, exp.Select):
        return None
    found = []
    known = len(said.spelled) == len(tree.expressions)
    for at, each in enumerate(tree.expressions):
        if isinstance(each, exp.Star) or (
            isinstance(each, exp.Column) and isinstance(each.this, exp.Star)
        ):
            return None
        if isinstance(each, (exp.Alias, exp.Column)):
            found.append(each.alias_or_name)
        else:
            found.append(said.spelled[at] if known else each.sql())
    return found
