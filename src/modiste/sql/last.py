"""`LAST` in the statements of a job: what a column had reached when the job last ran well.

`col > LAST` becomes `col > <then> AND col <= <now>`: rows that arrive while it runs are neither
lost nor taken twice. In the first run it is NULL, so there are no rows, unless
`COALESCE(LAST, x)` says where to begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlglot import exp

from modiste.sql import errors, plan
from modiste.sql.grammar_query import literal
from modiste.sql.session import Session
from modiste.sql.statements import CreateTable, Insert, Select, Statement


def query_of(said: Statement) -> Select | None:
    """The query that a statement is, or has."""
    if isinstance(said, Insert):
        return said.query
    if isinstance(said, CreateTable) and isinstance(said.of, Select):
        return said.of
    return said if isinstance(said, Select) else None


async def bound(
    said: Statement, number: int, known: Mapping[str, Any], session: Session
) -> dict[str, Any]:
    """Put values where LAST stands, in the statement itself.

    Args:
        number: of the statement in its job.
        known: what earlier runs have seen.

    Returns:
        What this run sees, by the same names.

    Raises:
        SqlError: LAST stands where no column is compared with it.
    """
    query = query_of(said)
    if query is None:
        return {}
    seen: dict[str, Any] = {}
    places = [node for node in query.tree.find_all(exp.Column) if _is_last(node)]
    for at, node in enumerate(places):
        key = f"{number}.{at}"
        compared = node.find_ancestor(exp.GT, exp.GTE)
        column = None if compared is None else compared.this
        if compared is None or not isinstance(column, exp.Column):
            raise errors.bad("LAST stands only on the right of a comparison: column > LAST.")
        reached = await _reached(query, column, session)
        node.replace(literal(known.get(key)))
        if reached is None:
            continue
        seen[key] = reached
        until = exp.LTE(this=column.copy(), expression=literal(reached))
        compared.replace(exp.paren(exp.and_(compared.copy(), until)))
    return seen


def _is_last(node: exp.Column) -> bool:
    return node.name.lower() == "last" and not node.table and not node.this.args.get("quoted")


async def _reached(query: Select, column: exp.Column, session: Session) -> Any:
    """The highest value that the column has now."""
    around = column.parent_select
    found = None if around is None else around.args.get("from_")
    nodes = [] if found is None or around is None else [
        found.this, *(join.this for join in around.args.get("joins") or [])
    ]  # fmt: skip
    home = next((n for n in nodes if n.alias_or_name.lower() == column.table.lower()), None)
    if not column.table:
        home = nodes[0] if nodes else None
    if home is None:
        raise errors.no_column(f"LAST: nothing says of which table {column.sql()} is a column.")
    asked = exp.select(exp.alias_(exp.Max(this=column.copy()), "reached")).from_(home.copy())
    rows = await plan.select(Select(asked, {}, query.raws, ("reached",)), session)
    try:
        values = [row[0] async for batch in rows.batches for row in batch]
    finally:
        await rows.batches.aclose()
    value = values[0] if values else None
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value
