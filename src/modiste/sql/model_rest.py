"""What is left of a query once data and answers are there: columns, conditions on answers, groups.

`PIECE` is what it is asked of: a struct for each alias, one for each model, and the number of the
row. Where each row stands for itself the same query serves for any piece of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from sqlglot import exp

from modiste.sql import errors
from modiste.sql.model_sides import Model, Side

ROW = "__row"
PIECE = "__answered"


@dataclass(frozen=True)
class Rest:
    tree: exp.Select
    by_piece: bool
    """Each row stands for itself."""
    skip: int = 0
    limit: int | None = None
    """What of OFFSET and LIMIT is left to whoever asks it piece by piece."""


def needs_all(tree: exp.Select) -> bool:
    """Whether no row is told before the last is there, ORDER BY aside."""
    windows = tree.args.get("qualify") or any(each.find(exp.Window) for each in tree.expressions)
    return bool(windows) or _gathers(tree)


def _gathers(tree: exp.Select) -> bool:
    """Whether its rows are others than those of the data."""
    if any(tree.args.get(part) for part in ("group", "having", "distinct")):
        return True
    return any(
        found.find_ancestor(exp.Window) is None
        for each in tree.expressions
        for found in each.find_all(exp.AggFunc)
    )


def rest_of(tree: exp.Select, side: Side, models: list[Model], after: list[exp.Expr]) -> Rest:
    """
    Raises:
        SqlError: a column that nobody has.
    """
    rest = tree.copy()
    rest.set("joins", None)
    rest.set("where", None)
    rest = rest.from_(exp.to_table(PIECE))
    if after:
        rest = rest.where(*(part.copy() for part in after))
    skip, limit = (0, None) if side.limited else _bounds(tree)
    by_piece = not needs_all(tree) and (side.ordered or not tree.args.get("order"))
    by_piece = by_piece and skip is not None
    for part in ("order", "limit", "offset") if by_piece or side.limited else ():
        rest.set(part, None)
    rest.set("expressions", _expanded(rest, side, models))
    named = {each.alias.lower() for each in rest.expressions if isinstance(each, exp.Alias)}
    for column in list(rest.find_all(exp.Column)):
        _qualify(column, side, models, named)
    if not _gathers(rest) and not rest.args.get("order"):
        rest = rest.order_by(exp.column(ROW))
    return Rest(rest, by_piece, skip or 0, limit)


def _bounds(tree: exp.Select) -> tuple[int | None, int | None]:
    """OFFSET and LIMIT, the first None where they are no plain numbers."""
    limit, offset = tree.args.get("limit"), tree.args.get("offset")
    found: list[int | None] = []
    for clause in (offset, limit):
        value = None if clause is None else clause.args.get("expression")
        if clause is None:
            found.append(None)
        elif isinstance(clause, exp.Fetch) or not _is_whole(value):
            return None, None
        else:
            found.append(int(value.name))
    return found[0] or 0, found[1]


def whole_limit(tree: exp.Select) -> int | None:
    """LIMIT, where it is a plain number."""
    return _bounds(tree)[1]


def _is_whole(value: object) -> TypeGuard[exp.Literal]:
    return isinstance(value, exp.Literal) and not value.is_string and value.name.isdigit()


def _expanded(rest: exp.Select, side: Side, models: list[Model]) -> list[exp.Expr]:
    """Stars as columns: those of the data, then the answers."""
    found: list[exp.Expr] = []
    for each in rest.expressions:
        if isinstance(each, exp.Star):
            for alias in side.aliases:
                found += _all_of(alias, side.columns(alias))
            for one in models:
                found += _all_of(one.alias, [one.version.predict])
        elif isinstance(each, exp.Column) and isinstance(each.this, exp.Star):
            alias = each.table.lower()
            model = next((m for m in models if m.alias == alias), None)
            if model is None and alias not in side.aliases:
                raise errors.no_table(f"Table '{each.table}' is not in this query")
            names = side.columns(alias) if model is None else [model.version.predict]
            found += _all_of(alias, names)
        else:
            found.append(each)
    return found


def _all_of(alias: str, names: Sequence[str]) -> list[exp.Expr]:
    return [
        exp.alias_(exp.column(name, table=alias, quoted=True), name, quoted=True) for name in names
    ]


def _qualify(column: exp.Column, side: Side, models: list[Model], named: set[str]) -> None:
    """Say whose column it is. An unqualified name is the answer's before it is the data's."""
    name = column.name.lower()
    if column.table:
        column.set("db", None)
        known = {*side.aliases, *(model.alias for model in models)}
        if column.table.lower() not in known:
            raise errors.no_column(f"Table not found for column: {column.table}.{column.name}")
        home = column.table.lower()
    else:
        model = next((each for each in models if each.target == name), None)
        if (
            model is None
            and name in named
            and column.find_ancestor(exp.Order, exp.Group, exp.Having)
        ):
            return
        home = side.home(column.name) if model is None else model.alias
    column.set("table", exp.to_identifier(home, quoted=True))
