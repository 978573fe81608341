"""Queries, planned: the first way that fits is taken.

1. Nothing is read from: the local engine computes. 2. All tables lie in one source: the whole
query goes there and its rows stream. 3. One model and `column = constant`: one row is predicted.
4. Models beside data: `model_join`. 5. Anything else: each table is fetched and the local engine
joins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pyarrow as pa
from sqlglot import exp

from modiste.sql import errors, local, model_join, names, predict
from modiste.sql.computed import computed, labels_of
from modiste.sql.model_flow import Flow
from modiste.sql.names import SourceTable, Target
from modiste.sql.query import Query, constant, dialect, fetch, is_constant, put, there
from modiste.sql.result import Column, Row, Rows, begun, rows
from modiste.sql.session import Session
from modiste.sql.statements import Raw, Select
from modiste.types import PredictorVersion


async def select(said: Select, session: Session) -> Rows:
    """
    Raises:
        SqlError: names that stand for nothing, or what a source, model or engine refuses.
    """
    seen = await names.load(session)
    query = Query(session, seen, said.using, said.raws, table_of)
    tree = said.tree
    query.mentioned = frozenset(each.name for each in tree.find_all(exp.Literal))
    targets = _targets(query, tree)
    labels = labels_of(said)
    if not targets and not query.raws:
        return _labelled(await query.local(computed(tree, session)), labels)
    if (whole := _one_source(query, tree, targets)) is not None:
        return await _streamed(query, *whole, labels=labels)
    if (asked := _one_model(tree, targets)) is not None:
        return await _one_row(query, *asked, labels=labels)
    found = await _found(query, tree)
    return (
        _labelled(found, labels) if isinstance(found, pa.Table) else await _flowing(found, labels)
    )


async def shape(said: Select, session: Session) -> tuple[Column, ...] | None:
    """The columns of a query that does not run; None where only running it tells.

    Raises:
        SqlError: as `select`.
    """
    seen = await names.load(session)
    query = Query(session, seen, said.using, said.raws, table_of)
    tree, labels = said.tree, labels_of(said)
    targets = _targets(query, tree)
    untyped = any(isinstance(t, SourceTable) and query.is_untyped(t.source) for _, t in targets)
    if not untyped and (whole := _one_source(query, tree, targets)) is not None:
        source, asked = whole
        if query.is_untyped(source):
            return None
        text = asked if isinstance(asked, str) else asked.sql(dialect=dialect(query, source))
        schema = await query.schema(source, text)
        fits = labels is not None and not isinstance(asked, str) and len(labels) == len(schema)
        return local.columns(schema, labels if fits else None)
    if any(not isinstance(t, (PredictorVersion, SourceTable)) for _, t in targets):
        return None
    if labels is None and any(isinstance(t, PredictorVersion) for _, t in targets):
        return None
    for node, target in targets:
        put(query, node, await _empty(query, target))
    inner = exp.Subquery(this=computed(tree, session), alias=exp.TableAlias(this="q"))
    found = await query.local(exp.select("*").from_(inner).limit(0))
    fits = labels is not None and len(labels) == found.num_columns
    return local.columns(found.schema, labels if fits else None)


async def _empty(query: Query, target: Target | Raw) -> pa.Table:
    """A table without rows in the place of a source's or a model's."""
    if isinstance(target, PredictorVersion):
        inputs = dict.fromkeys((target.predict.lower(), *predict.columns_of(target.options)))
        return pa.table({name: pa.array([], pa.string()) for name in inputs})
    if not isinstance(target, SourceTable):
        raise errors.unsupported("This kind of table")
    text = exp.select("*").from_(there(target)).sql(dialect=dialect(query, target.source))
    return (await query.schema(target.source, text)).empty_table()


async def table_of(query: Query, tree: exp.Expr) -> pa.Table:
    """All rows of a query, whatever is in it."""
    found = await _found(query, tree)
    return found if isinstance(found, pa.Table) else await found.table()


async def _found(query: Query, tree: exp.Expr) -> pa.Table | Flow:
    """Rows that models answer as they come, else all of them."""
    if isinstance(tree, exp.Subquery) and not tree.args.get("limit"):
        return await _found(query, tree.this)
    tree = tree.copy()
    await _with(query, tree)
    if isinstance(tree, exp.SetOperation):
        for side in ("this", "expression"):
            name = query.register(await table_of(query, tree.args[side]))
            tree.set(side, exp.select("*").from_(name))
        return await query.local(tree)
    if not isinstance(tree, exp.Select):
        raise errors.unsupported(f"A query that is {tree.key}")
    for node in _from(tree):
        if isinstance(node, exp.Subquery):
            name = query.register(await table_of(query, node.this))
            node.replace(exp.to_table(name, alias=node.alias or None))
    await _within(query, tree)
    targets = _targets(query, tree)
    if (asked := _one_model(tree, targets)) is not None:
        return await _table(await _one_row(query, *asked, labels=None))
    if any(isinstance(target, PredictorVersion) for _, target in targets):
        return await model_join.joined(query, tree, targets)
    for node, target in targets:
        await fetch(query, node, target)
    return await query.local(computed(tree, query.session))


async def _within(query: Query, tree: exp.Select) -> None:
    """Queries within conditions or columns that ask a model, as tables; they stand by themselves.

    Raises:
        SqlError: one names a column of the query around it.
    """
    outer = {id(node) for node in _from(tree)}
    models = [
        node for node, target in _targets(query, tree)
        if isinstance(target, PredictorVersion) and id(node) not in outer
    ]  # fmt: skip
    for inner in list(tree.find_all(exp.Select)):
        if inner.parent_select is tree and any(
            node in inner.find_all(exp.Table) for node in models
        ):
            name = query.register(await table_of(query, inner))
            inner.replace(exp.select("*").from_(name))


async def _table(found: Rows) -> pa.Table:
    """Rows as a table; of one column all are NULL where nobody answered."""
    rows_ = [row async for batch in found.batches for row in batch]
    columns = [pa.array(list(each)) for each in zip(*rows_, strict=True)]
    columns = [
        each.cast(pa.string()) if pa.types.is_null(each.type) else each for each in columns
    ] or [pa.array([], pa.string()) for _ in found.columns]
    return pa.table(columns, names=[column.name for column in found.columns])


async def _with(query: Query, tree: exp.Expr) -> None:
    """Common table expressions, one after the other, as tables."""
    found = tree.args.get("with_")
    if found is None:
        return
    if found.args.get("recursive"):
        if any(isinstance(t, PredictorVersion) for _, t in _targets(query, tree)):
            raise errors.unsupported("WITH RECURSIVE beside a model")
        return
    for cte in found.expressions:
        query.tables[cte.alias] = await table_of(query, cte.this)
    tree.set("with_", None)


def _from(tree: exp.Select) -> list[exp.Expr]:
    """What stands in FROM and JOIN, in order."""
    found = tree.args.get("from_")
    joins = tree.args.get("joins") or []
    return ([] if found is None else [found.this]) + [join.this for join in joins]


def _targets(query: Query, tree: exp.Expr) -> list[tuple[exp.Table, Target | Raw]]:
    """Every table of a query and what it stands for, those already fetched left out."""
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    found: list[tuple[exp.Table, Target | Raw]] = []
    for node in tree.find_all(exp.Table, bfs=False):
        if not isinstance(node.this, exp.Identifier):
            continue
        if not node.db and (node.name in ctes or node.name in query.tables):
            continue
        if node.name in query.raws:
            found.append((node, query.raws[node.name]))
        else:
            found.append((node, query.names.target(_path(node))))
    return found


def _path(node: exp.Table) -> tuple[str, ...]:
    return tuple(part.name if part.args.get("quoted") else part.name.lower() for part in node.parts)


def _one_source(
    query: Query, tree: exp.Expr, targets: list[tuple[exp.Table, Target | Raw]]
) -> tuple[str, str | exp.Expr] | None:
    """The source that can answer all of it, with the text or tree to ask for."""
    if query.using:
        return None
    if len(targets) == 1 and isinstance(targets[0][1], Raw):
        raw = targets[0][1]
        if raw.database is not None and _is_all_of(tree) and query.names.is_source(raw.database):
            return raw.database, raw.sql
        return None
    found = {t.source if isinstance(t, SourceTable) else None for _, t in targets}
    source = found.pop() if len(found) == 1 else None
    if source is None:
        return None
    for node, target in targets:
        if isinstance(target, SourceTable):
            alias = exp.to_identifier(node.alias_or_name)
            node.replace(exp.alias_(there(target), alias, table=True))
    for column in tree.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)
    return source, tree


def _is_all_of(tree: exp.Expr) -> bool:
    """`SELECT * FROM x`, and nothing else."""
    said = {
        key for key, value in tree.args.items() if value and key not in ("from_", "expressions")
    }
    return isinstance(tree, exp.Select) and not said and [*tree.expressions] == [exp.Star()]


async def _streamed(
    query: Query, source: str, asked: str | exp.Expr, *, labels: list[str] | None
) -> Rows:
    raw = isinstance(asked, str)
    text = asked if isinstance(asked, str) else asked.sql(dialect=dialect(query, source))
    reading = await query.read(source, text)

    async def batches() -> AsyncGenerator[list[Row], None]:
        try:
            yield []
            while (batch := await asyncio.to_thread(next, reading.batches, None)) is not None:
                yield await asyncio.to_thread(local.values, batch)
        finally:
            await asyncio.to_thread(reading.close)

    fits = labels is not None and not raw and len(labels) == len(reading.schema)
    return Rows(local.columns(reading.schema, labels if fits else None), await begun(batches()))


async def _flowing(flow: Flow, labels: list[str] | None) -> Rows:
    async def batches() -> AsyncGenerator[list[Row], None]:
        async with aclosing(flow.batches):
            yield []
            async for batch in flow.batches:
                yield local.values(batch)

    fits = labels is not None and len(labels) == len(flow.schema)
    return Rows(local.columns(flow.schema, labels if fits else None), await begun(batches()))


def _one_model(
    tree: exp.Expr, targets: list[tuple[exp.Table, Target | Raw]]
) -> tuple[exp.Select, PredictorVersion] | None:
    if not isinstance(tree, exp.Select) or len(targets) != 1:
        return None
    node, target = targets[0]
    alone = len(beside := _from(tree)) == 1 and beside[0] is node
    return (tree, target) if alone and isinstance(target, PredictorVersion) else None


async def _one_row(
    query: Query, tree: exp.Select, version: PredictorVersion, *, labels: list[str] | None
) -> Rows:
    """`SELECT ... FROM model WHERE column = constant AND ...`"""
    if any(tree.args.get(part) for part in ("group", "having", "distinct")):
        raise errors.bad(
            "Unsupported operation when querying predictor. Only WHERE is allowed and required."
        )
    where = tree.args.get("where")
    if where is None:
        raise errors.bad("WHERE clause required when selecting from predictor")
    given = _constants(where.this)
    using = {key.rpartition(".")[2]: value for key, value in query.using.items()}
    wished = {k: v for k, v in given.items() if k in predict.SETTABLE and k not in using}
    told = await predict.answers(query.session, version, [given], {**using, **wished})
    limit = tree.args.get("limit")
    values: dict[str, object] = {version.predict: told[0]} | {
        key: value for key, value in given.items() if key != version.predict
    }
    if limit is not None and limit.expression.name == "0":
        return rows([Column(name) for name in values], [])
    return await _projected(query, tree, values, labels)


async def _projected(
    query: Query, tree: exp.Select, values: dict[str, object], labels: list[str] | None
) -> Rows:
    """The columns asked for of one row; expressions are computed by the local engine."""
    plain = _plain(tree, values)
    if plain is not None:
        return rows([_column(*each) for each in plain], [tuple(value for _, value in plain)])
    name = query.register(pa.table({key: pa.array([value]) for key, value in values.items()}))
    asked = exp.Select(expressions=[each.copy() for each in tree.expressions])
    for column in asked.find_all(exp.Column):
        column.set("table", None)
        column.set("db", None)
    return _labelled(await query.local(asked.from_(name)), labels)


def _plain(tree: exp.Select, values: dict[str, object]) -> list[tuple[str, object]] | None:
    """Labels and values where only columns and stars are asked for.

    Raises:
        SqlError: a column that is neither the answer nor an input.
    """
    found: list[tuple[str, object]] = []
    for each in tree.expressions:
        inner = each.this if isinstance(each, exp.Alias) else each
        if isinstance(inner, exp.Star) or isinstance(inner.this, exp.Star):
            found += list(values.items())
        elif isinstance(inner, exp.Column):
            if inner.name.lower() not in values:
                raise errors.no_column(f"Table not found for column: {inner.name}")
            found.append((each.alias_or_name, values[inner.name.lower()]))
        else:
            return None
    return found


def _column(name: str, value: object) -> Column:
    if isinstance(value, bool):
        return Column(name, "boolean")
    return Column(name, "integer" if isinstance(value, int) else
                  "float" if isinstance(value, float) else "text")  # fmt: skip


def _constants(condition: exp.Expr) -> dict[str, object]:
    """Raises SqlError for all but AND-ed `column = constant`."""
    given: dict[str, object] = {}
    for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
        part = part.unnest()
        column, value = (part.left, part.right) if isinstance(part, exp.EQ) else (None, None)
        if not isinstance(column, exp.Column) or not is_constant(value):
            raise errors.bad(
                "Only 'and' and '=' operations allowed in WHERE clause, found: "
                f"{part.sql(dialect='mysql')}"
            )
        name = column.name.lower()
        if name in given:
            raise errors.bad(f"Multiple values provided for {name}")
        given[name] = constant(value)
    return given


def _labelled(table: pa.Table, labels: list[str] | None) -> Rows:
    fits = labels is not None and len(labels) == table.num_columns
    return local.rows(table, labels if fits else None)
