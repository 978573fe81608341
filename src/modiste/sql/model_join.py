"""Models beside data: rows of the data stream in, each is answered, the rest of the query follows.

Conditions and order of the data go to the data, `model.key = constant` is an input of the model,
what is said of its answer holds after it is there. It is a left join: every row of the data stays,
in its order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import pyarrow as pa
from sqlglot import exp

from modiste.sql import model_flow, model_rest, predict
from modiste.sql.local import Engine, Reading
from modiste.sql.model_flow import Flow
from modiste.sql.model_sides import Found, Model, Side, asked_of, sides, split, touches, using_of
from modiste.sql.names import SourceTable, Target
from modiste.sql.query import Query, dialect, fetch, there
from modiste.sql.statements import Raw
from modiste.types import SqlView


async def joined(query: Query, tree: exp.Select, targets: Found) -> Flow:
    """The rows of a SELECT with models in FROM or JOIN.

    Raises:
        SqlError: no data beside the models, or a column that nobody has; nobody was asked then.
    """
    models, data = sides(tree, {id(node): target for node, target in targets})
    own, after = split(tree, models)
    askings = []
    for model in models:
        using = using_of(query.using, model.alias, {each.alias for each in models})
        constants = {k: v for k, v in model.constants.items() if k in predict.SETTABLE}
        askings.append(predict.asking(query.session, model.version, {**constants, **using}))
    most = min(each.most for each in askings)
    side = await _data_side(query, tree, targets, data, models, own, after=bool(after), most=most)
    try:
        asked = [asked_of(side, *each) for each in zip(models, askings, strict=True)]
        rest = model_rest.rest_of(tree, side, models, after)
        return await model_flow.flow(query, side, asked, rest)
    except BaseException:
        await asyncio.to_thread(side.reading.close)
        raise


async def _data_side(
    query: Query,
    tree: exp.Select,
    targets: Found,
    data: list[exp.Join | exp.From],
    models: list[Model],
    own: list[exp.Expr],
    *,
    after: bool,
    most: int,
) -> Side:
    """The data alone, in order; LIMIT is taken before anybody is asked, where nothing forbids."""
    ordered = not model_rest.needs_all(tree) and _is_of_data(tree, models)
    limited = ordered and not after
    asked = exp.select("*")
    if own:
        asked = asked.where(*(part.copy() for part in own))
    for part in ("order", *(("limit", "offset") if limited else ())):
        if ordered and (clause := tree.args.get(part)) is not None:
            asked.set(part, clause.copy())
    known = {id(node): target for node, target in targets}
    node = data[0].this
    target = known.get(id(node)) if len(data) == 1 else None
    if isinstance(target, SourceTable):
        alias = exp.alias_(there(target), node.alias_or_name, table=True)
        text = asked.from_(alias).sql(dialect=dialect(query, target.source))
        reading = _as_struct(await query.read(target.source, text), node.alias_or_name.lower())
    elif (said := _as_it_is(query, target)) is not None and not _says_more(asked):
        reading = _as_struct(await query.read(*said), node.alias_or_name.lower())
    else:
        reading = await _joined_here(query, data, asked, known)
    n = model_rest.whole_limit(tree) if limited else None
    aliases = [clause.this.alias_or_name.lower() for clause in data]
    return Side(aliases, reading, ordered, limited, n is not None and n <= most)


def _says_more(asked: exp.Select) -> bool:
    return any(asked.args.get(part) for part in ("where", "order", "limit", "offset"))


def _is_of_data(tree: exp.Select, models: list[Model]) -> bool:
    """Whether ORDER BY, if there is one, is of columns of the data."""
    order = tree.args.get("order")
    if order is None:
        return True
    selected = {each.alias.lower() for each in tree.expressions if isinstance(each, exp.Alias)}
    return not touches(models, order) and not any(
        column.name.lower() in selected for column in order.find_all(exp.Column)
    )


def _as_it_is(query: Query, target: Target | Raw | None) -> tuple[str, str] | None:
    """The source and the text of a query in a source's own words."""
    if isinstance(target, Raw) and target.database and query.names.is_source(target.database):
        return target.database, target.sql
    if isinstance(target, SqlView) and target.source is not None:
        return target.source, target.query
    return None


async def _joined_here(
    query: Query,
    data: list[exp.Join | exp.From],
    asked: exp.Select,
    known: Mapping[int, Target | Raw],
) -> Reading:
    """Tables of several places, or of none that can be told more, by the local engine."""
    for clause in data:
        if (target := known.get(id(clause.this))) is not None:
            await fetch(query, clause.this, target)
    around = exp.select(
        *(exp.column(clause.this.alias_or_name.lower(), quoted=True) for clause in data)
    )
    around = around.from_(data[0].this.copy())
    around.set("joins", [each.copy() for each in data[1:] if isinstance(each, exp.Join)])
    for part in ("where", "order", "limit", "offset"):
        if asked.args.get(part):
            around.set(part, asked.args[part].copy())
    text = await query.text(around)

    def begin() -> Reading:
        engine = Engine(query.tables)
        try:
            return engine.stream(text)
        except BaseException:
            engine.close()
            raise

    return await asyncio.to_thread(begin)


def _as_struct(reading: Reading, alias: str) -> Reading:
    """All columns in one, so that they cannot be taken for those of another; equal names differ."""
    fields: list[pa.Field] = []
    taken: set[str] = set()
    for each in reading.schema:
        name, n = each.name, 0
        while name.lower() in taken:
            n += 1
            name = f"{each.name}_{n}"
        taken.add(name.lower())
        fields.append(pa.field(name, each.type))
    schema = pa.schema([(alias, pa.struct(fields))])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reading.batches:
            column = pa.StructArray.from_arrays(batch.columns, fields=fields)
            yield pa.RecordBatch.from_arrays([column], schema=schema)

    return Reading(schema, batches(), reading.close)
