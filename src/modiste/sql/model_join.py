"""Models beside data: the data side first, then one answer per row, then the rest of the query.

Conditions and order of the data go to the data, `model.key = constant` is an input of the model,
what is said of its answer holds after it is there. It is a left join: every row of the data stays,
in its order. Columns are kept as one struct per alias, so equal names do not collide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from sqlglot import exp

from modiste.sql import errors, predict
from modiste.sql.names import SourceTable, Target
from modiste.sql.query import Query, constant, fetch, is_constant
from modiste.sql.statements import Raw
from modiste.types import PredictorVersion

ROW = "__row"
Found = Sequence[tuple[exp.Table, Target | Raw]]


@dataclass
class _Model:
    alias: str
    version: PredictorVersion
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Input to alias and column of the data; empty takes every column under its own name."""
    constants: dict[str, object] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return self.version.predict.lower()


async def joined(query: Query, tree: exp.Select, targets: Found) -> pa.Table:
    """All rows of a SELECT with models in FROM or JOIN.

    Raises:
        SqlError: no data beside the models, or a column that nobody has.
    """
    by_node = {id(node): target for node, target in targets}
    models, data = _sides(tree, by_node)
    if not data:
        raise errors.bad("A model is joined with data: FROM <data> JOIN model.")
    for join in tree.args.get("joins") or []:
        if id(join.this) in by_node and isinstance(by_node[id(join.this)], PredictorVersion):
            _mapping(models, join.args.get("on"))
    own, after = _split(tree, models)
    side = await _data_side(query, tree, targets, data, models, own, after=bool(after))
    await _predict(query, side, models)
    return await _rest(query, tree, side, models, after)


@dataclass
class _Side:
    aliases: list[str]
    table: pa.Table
    """A column ROW, and a struct for each alias."""
    limited: bool
    """ORDER BY and LIMIT are done."""

    def columns(self, alias: str) -> list[str]:
        return [each.name for each in self.table.schema.field(alias).type]


def _sides(
    tree: exp.Select, by_node: Mapping[int, Target | Raw]
) -> tuple[list[_Model], list[exp.Join | exp.From]]:
    models: list[_Model] = []
    data: list[exp.Join | exp.From] = []
    for clause in [tree.args["from_"], *(tree.args.get("joins") or [])]:
        target = by_node.get(id(clause.this))
        if isinstance(target, PredictorVersion):
            alias = clause.this.alias or target.name
            models.append(_Model(alias.lower(), target))
        else:
            data.append(clause)
    return models, data


def _mapping(models: list[_Model], on: exp.Expr | None) -> None:
    """`ON m.x = t.y`: input x is the column y."""
    for part in _parts(on):
        left, right = (part.left, part.right) if isinstance(part, exp.EQ) else (None, None)
        if isinstance(right, exp.Column) and _of(models, right) is not None:
            left, right = right, left
        model = _of(models, left)
        if model is None or not isinstance(left, exp.Column):
            raise errors.bad("ON of a model says only model.input = data.column.")
        if isinstance(right, exp.Column):
            model.columns[left.name.lower()] = (right.table.lower(), right.name)
        elif is_constant(right):
            model.constants[left.name.lower()] = constant(right)
        else:
            raise errors.bad("ON of a model says only model.input = data.column.")


def _split(tree: exp.Select, models: list[_Model]) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """Conditions of WHERE on the data, and those on answers; inputs go to their models."""
    own, after = [], []
    where = tree.args.get("where")
    for part in _parts(None if where is None else where.this):
        column, value = (part.left, part.right) if isinstance(part, exp.EQ) else (None, None)
        model = _of(models, column)
        name = column.name.lower() if isinstance(column, exp.Column) else ""
        if model is not None and is_constant(value) and name != model.target:
            model.constants[name] = constant(value)
        elif _touches(models, part):
            after.append(part)
        else:
            own.append(part)
    return own, after


async def _data_side(
    query: Query,
    tree: exp.Select,
    targets: Found,
    data: list[exp.Join | exp.From],
    models: list[_Model],
    own: list[exp.Expr],
    *,
    after: bool,
) -> _Side:
    """The data alone, in order; LIMIT is taken before anybody is asked, where nothing forbids."""
    whole = any(tree.args.get(part) for part in ("group", "having", "distinct"))
    whole = whole or any(each.find(exp.AggFunc) for each in tree.expressions)
    order, limit = tree.args.get("order"), tree.args.get("limit")
    selected = {each.alias.lower() for each in tree.expressions if isinstance(each, exp.Alias)}
    ordered = order is None or not (
        _touches(models, order)
        or any(c.name.lower() in selected for c in order.find_all(exp.Column))
    )
    limited = ordered and not whole and not after
    asked = exp.select("*")
    if own:
        asked = asked.where(*(part.copy() for part in own))
    if limited and order is not None:
        asked.set("order", order.copy())
    if limited and limit is not None:
        asked.set("limit", limit.copy())
        if tree.args.get("offset"):
            asked.set("offset", tree.args["offset"].copy())
    known = {id(node): target for node, target in targets}
    first = data[0].this
    pushed = len(data) == 1 and isinstance(known.get(id(first)), SourceTable)
    aliases = []
    for clause in data:
        node = clause.this
        alias = node.alias_or_name.lower()
        if alias in aliases:
            raise errors.bad(f"{alias} is joined twice; give one of them another name with AS")
        aliases.append(alias)
        if (target := known.get(id(node))) is not None:
            await fetch(query, node, target, only=asked.copy() if pushed else None)
    joins = [clause for clause in data[1:]]
    around = exp.select(*(exp.column(alias, quoted=True) for alias in aliases))
    around = around.from_(data[0].this.copy())
    around.set("joins", [join.copy() for join in joins if isinstance(join, exp.Join)])
    if not pushed:
        for part in ("where", "order", "limit", "offset"):
            if asked.args.get(part):
                around.set(part, asked.args[part].copy())
    table = await query.local(around)
    table = table.append_column(ROW, pa.array(range(table.num_rows), pa.int64()))
    return _Side(aliases, table, limited)


async def _predict(query: Query, side: _Side, models: list[_Model]) -> None:
    """Add a struct for each model: its answer, and what it was asked with."""
    for model in models:
        rows = _inputs(side, model)
        using = _using(query.using, model.alias, {each.alias for each in models})
        constants = {k: v for k, v in model.constants.items() if k in predict.SETTABLE}
        told = await predict.answers(query.session, model.version, rows, {**constants, **using})
        shown = [*model.columns, *model.constants]
        structs = [
            {model.target: answer, **{name: row.get(name) for name in shown}}
            for answer, row in zip(told, rows, strict=True)
        ]
        kind = None if structs else pa.struct([(model.target, pa.string())])
        answers = pa.array(structs, kind)
        if structs and all(answer is None for answer in told):
            names = [model.target, *shown]
            parts = [pa.array(told, pa.string())]
            parts += [pa.array([each[name] for each in structs]) for name in shown]
            answers = pa.StructArray.from_arrays(parts, names)
        side.table = side.table.append_column(model.alias, answers)


def _inputs(side: _Side, model: _Model) -> list[dict[str, object]]:
    columns = {alias: side.table.column(alias).to_pylist() for alias in side.aliases}
    found: list[dict[str, object]] = []
    for number in range(side.table.num_rows):
        row: dict[str, object] = {}
        for alias in side.aliases:
            for name, value in columns[alias][number].items():
                row.setdefault(name.lower(), value)
        found.append(row)
    for name, (alias, column) in model.columns.items():
        home = alias or _home(side, column)
        if home not in side.aliases or column.lower() not in map(str.lower, side.columns(home)):
            raise errors.no_column(f"Table not found for column: {column}")
        for row, structs in zip(found, columns[home], strict=True):
            row[name] = {key.lower(): value for key, value in structs.items()}[column.lower()]
    return [{**row, **model.constants} for row in found]


def _using(using: Mapping[str, object], alias: str, models: set[str]) -> dict[str, object]:
    """`alias.key` is for that model alone."""
    found: dict[str, object] = {}
    for key, value in using.items():
        head, dot, name = key.rpartition(".")
        if not dot:
            found.setdefault(key, value)
        elif head == alias:
            found[name] = value
        elif head not in models:
            raise errors.bad(f"USING {key}: no model of this query is called {head}.")
    return found


async def _rest(
    query: Query, tree: exp.Select, side: _Side, models: list[_Model], after: list[exp.Expr]
) -> pa.Table:
    """The query as it was written, over what is there now."""
    rest = tree.copy()
    rest.set("joins", None)
    rest.set("where", None)
    rest = rest.from_(query.register(side.table))
    if after:
        rest = rest.where(*(part.copy() for part in after))
    if side.limited:
        for part in ("order", "limit", "offset"):
            rest.set(part, None)
    rest.set("expressions", _expanded(rest, side, models))
    named = {each.alias.lower() for each in rest.expressions if isinstance(each, exp.Alias)}
    for column in list(rest.find_all(exp.Column)):
        _qualify(column, side, models, named)
    plain = not any(rest.args.get(part) for part in ("group", "having", "distinct", "order"))
    if plain and not any(each.find(exp.AggFunc) for each in rest.expressions):
        rest = rest.order_by(exp.column(ROW))
    return await query.local(rest)


def _expanded(rest: exp.Select, side: _Side, models: list[_Model]) -> list[exp.Expr]:
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


def _qualify(column: exp.Column, side: _Side, models: list[_Model], named: set[str]) -> None:
    """Say whose column it is. An unqualified name is the answer's before it is the data's."""
    name = column.name.lower()
    if column.table:
        column.set("db", None)
        known = {*side.aliases, *(model.alias for model in models)}
        if column.table.lower() not in known:
            raise errors.no_column(f"Table not found for column: {column.table}.{column.name}")
        home = column.table.lower()
    elif name == ROW:
        return
    else:
        model = next((each for each in models if each.target == name), None)
        if (
            model is None
            and name in named
            and column.find_ancestor(exp.Order, exp.Group, exp.Having)
        ):
            return
        home = _home(side, column.name) if model is None else model.alias
    column.set("table", exp.to_identifier(home, quoted=True))


def _home(side: _Side, name: str) -> str:
    found = [alias for alias in side.aliases if name.lower() in map(str.lower, side.columns(alias))]
    if not found:
        raise errors.no_column(f"Table not found for column: {name}")
    if len(found) > 1:
        raise errors.ambiguous(f"Column '{name}' is in {' and '.join(found)}; say which")
    return found[0]


def _parts(condition: exp.Expr | None) -> list[exp.Expr]:
    if condition is None:
        return []
    inner = condition.unnest()
    return [each.unnest() for each in inner.flatten()] if isinstance(inner, exp.And) else [inner]


def _of(models: list[_Model], node: exp.Expr | None) -> _Model | None:
    """The model that a qualified column belongs to."""
    if not isinstance(node, exp.Column):
        return None
    return next((model for model in models if model.alias == node.table.lower()), None)


def _touches(models: list[_Model], node: exp.Expr) -> bool:
    """Whether an answer, or an input of a model, is in it."""
    for column in node.find_all(exp.Column):
        if _of(models, column) is not None:
            return True
        if not column.table and any(column.name.lower() == each.target for each in models):
            return True
    return False
