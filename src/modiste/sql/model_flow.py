"""Rows with their answers, as they are there: data read ahead, a window of questions, pieces out.

Each piece of answered rows goes through what is left of the query, in order. Only what no row tells
alone (ORDER BY an answer, GROUP BY, DISTINCT, aggregates, windows) waits for all of them, in a
file; LIMIT stops the asking as soon as it is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from modiste.sql import errors, predict
from modiste.sql.ahead import Ahead
from modiste.sql.local import Engine
from modiste.sql.model_rest import PIECE, ROW, Rest
from modiste.sql.model_sides import Asked, Place, Side
from modiste.sql.query import Query
from modiste.sql.result import begun
from modiste.sql.spool import Stash
from modiste.sql.window import Window, already

T = TypeVar("T")
Pieces = AsyncGenerator[pa.RecordBatch, None]


@dataclass(frozen=True)
class Flow:
    """Read `batches` to their end or close them."""

    schema: pa.Schema
    batches: Pieces

    async def table(self) -> pa.Table:
        async with aclosing(self.batches):
            found = [batch async for batch in self.batches]
        return pa.Table.from_batches(found, schema=self.schema)


async def flow(query: Query, side: Side, asked: Sequence[Asked], rest: Rest) -> Flow:
    """
    Raises:
        SqlError: what the local engine makes of the query, before anybody is asked.
    """
    text, schema = await query.text(rest.tree), _schema(side, asked)
    tables = {**query.tables, PIECE: schema.empty_table()}
    engine = await asyncio.to_thread(Engine, tables)
    try:
        told = (await asyncio.to_thread(engine.table, text)).schema
    except BaseException:
        engine.close()
        raise
    folder = query.session.place.database.settings.cache_dir / "sql"
    last = _Last(engine, text, rest, schema, folder)
    return Flow(told, await begun(_batches(side, asked, last, told)))


class _Last(NamedTuple):
    """What a piece of answered rows goes through last."""

    engine: Engine
    text: str
    rest: Rest
    schema: pa.Schema
    """Of a piece."""
    folder: Path


async def _batches(side: Side, asked: Sequence[Asked], last: _Last, told: pa.Schema) -> Pieces:
    ahead: Ahead | None = None
    try:
        yield pa.RecordBatch.from_pylist([], told)
        if last.rest.limit == 0:
            return
        most = min(each.asking.most for each in asked)
        ahead = Ahead(side.reading, most, last.folder)
        if most <= predict.MAX_ROWS and not side.few:
            await ahead.settled()
        finish = _by_piece if last.rest.by_piece else _all_at_once
        answered = _answered(side, asked, ahead, last.schema)
        async with aclosing(answered), aclosing(finish(last, answered)) as found:
            async for batch in found:
                yield batch
        for each in asked:
            each.asking.finished()
    finally:
        if ahead is None:
            side.reading.close()
        else:
            ahead.close()
        last.engine.close()


async def _by_piece(last: _Last, answered: Pieces) -> Pieces:
    skip, left = last.rest.skip, last.rest.limit

    def finished(piece: pa.RecordBatch) -> pa.Table:
        last.engine.put(PIECE, pa.Table.from_batches([piece]))
        return last.engine.table(last.text)

    async for piece in answered:
        found = await _interruptible(last.engine, partial(finished, piece))
        found, skip = found.slice(skip), max(skip - found.num_rows, 0)
        if left is not None:
            found = found.slice(0, left)
            left -= found.num_rows
        for batch in found.to_batches():
            yield batch
        if left == 0:
            return


async def _all_at_once(last: _Last, answered: Pieces) -> Pieces:
    with Stash(last.schema, last.folder) as stash:
        async for piece in answered:
            await asyncio.to_thread(stash.write, piece)
        last.engine.put(PIECE, stash.reader())
        reading = await _interruptible(last.engine, partial(last.engine.stream, last.text))
        following = partial(next, reading.batches, None)
        try:
            while (batch := await _interruptible(last.engine, following)) is not None:
                yield batch
        finally:
            reading.close()  # Before the file that it reads.


async def _interruptible(engine: Engine, work: Callable[[], T]) -> T:
    """In a thread; cancelled, the engine is told to stop, and has stopped when this returns."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        engine.interrupt()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # Nobody is left to hear of it.
        raise


class _Row(NamedTuple):
    batch: pa.RecordBatch
    at: int
    inputs: tuple[dict[str, object], ...]
    """One of each model."""
    told: tuple[str | None, ...]
    """What a chat has answered to this row, one of each model; the others are asked."""


Ready = list[tuple[_Row, tuple[str | None, ...]]]
More = Callable[[], Awaitable[list[_Row] | None]]


async def _answered(side: Side, asked: Sequence[Asked], ahead: Ahead, schema: pa.Schema) -> Pieces:
    """Rows in the order of the data, each with its answers."""
    window = Window()

    async def more() -> list[_Row] | None:
        try:
            batch = await ahead.next()
        except errors.SqlError as error:
            if ahead.over:
                window.fail(error)
            raise
        return None if batch is None else _rows(batch, asked)

    def ask(row: _Row) -> list[asyncio.Future[str | None]]:
        return [
            already(told) if each.asking.is_chat else each.asking.ask(window, inputs)
            for each, inputs, told in zip(asked, row.inputs, row.told, strict=True)
        ]

    chats = any(each.asking.is_chat for each in asked)
    n_rows = 0
    async with aclosing(window.in_order(_talked(asked, more) if chats else more, ask)) as found:
        async for ready in found:
            for piece in _pieces(ready, asked, schema, n_rows):
                yield piece
                n_rows += piece.num_rows


def _talked(asked: Sequence[Asked], more: More) -> More:
    """All rows at once, since a chat is of all of them; what it answers stands beside them."""

    async def all_rows() -> list[_Row] | None:
        rows: list[_Row] = []
        while (found := await more()) is not None:
            rows += found
        if not rows:
            return None
        columns = [
            await each.asking.conversation([row.inputs[number] for row in rows])
            if each.asking.is_chat
            else [None] * len(rows)
            for number, each in enumerate(asked)
        ]
        return [
            row._replace(told=told)
            for row, told in zip(rows, zip(*columns, strict=True), strict=True)
        ]

    return all_rows


def _rows(batch: pa.RecordBatch, asked: Sequence[Asked]) -> list[_Row]:
    places = {place for each in asked for place in each.reads.values()}
    values = {place: _column(batch, place).to_pylist() for place in places}
    nobody = (None,) * len(asked)
    return [
        _Row(
            batch,
            at,
            tuple(
                {name: values[place][at] for name, place in each.reads.items()}
                | each.model.constants
                for each in asked
            ),
            nobody,
        )
        for at in range(batch.num_rows)
    ]


def _column(batch: pa.RecordBatch, place: Place) -> pa.Array:
    """NULL where the whole struct is, as on the empty side of a left join."""
    return pc.struct_field(batch.column(place.alias), place.at)


def _schema(side: Side, asked: Sequence[Asked]) -> pa.Schema:
    """Of answered rows: a struct for each alias of the data, one for each model, and a number."""
    fields = [pa.field(alias, pa.struct(side.fields(alias))) for alias in side.aliases]
    for each in asked:
        inside = [(each.model.target, pa.string())]
        inside += [(name, side.fields(alias)[at].type) for name, (alias, at) in each.shown.items()]
        inside += [(name, _constant(value).type) for name, value in _said(each)]
        fields.append(pa.field(each.model.alias, pa.struct(inside)))
    return pa.schema([*fields, (ROW, pa.int64())])


def _said(asked: Asked) -> list[tuple[str, object]]:
    taken = {asked.model.target, *asked.shown}
    return [each for each in asked.model.constants.items() if each[0] not in taken]


def _constant(value: object) -> pa.Scalar:
    return pa.scalar(value, pa.string() if value is None else None)


def _pieces(
    ready: Ready, asked: Sequence[Asked], schema: pa.Schema, n_before: int
) -> Iterator[pa.RecordBatch]:
    """Answered rows as Arrow again, a piece for each batch that they came in."""
    for _, group in groupby(ready, key=lambda each: id(each[0].batch)):
        rows = list(group)
        first = rows[0][0]
        data = first.batch.slice(first.at, len(rows))
        columns = list(data.columns)
        for number, each in enumerate(asked):
            inside = [pa.array([told[number] for _, told in rows], pa.string())]
            inside += [_column(data, place) for place in each.shown.values()]
            inside += [pa.repeat(_constant(value), len(rows)) for _, value in _said(each)]
            kind = schema.field(each.model.alias).type
            columns.append(pa.StructArray.from_arrays(inside, fields=list(kind)))
        numbers = range(n_before, n_before + len(rows))
        columns.append(pa.array(numbers, pa.int64()))
        n_before += len(rows)
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
