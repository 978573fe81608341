"""Statements that write into databases: INSERT, CREATE TABLE, DROP TABLE.

Whether the table can take the rows is looked at first, then rows are gathered (`spool`), then they
are written in one transaction: no lock is held while models answer, and a statement that fails or
is cancelled has written nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlglot import exp

from modiste.actions import data_sources
from modiste.actions.data_sources import Opened
from modiste.sql import errors, names, plan, sink, sinks, sources
from modiste.sql.names import SourceTable
from modiste.sql.result import Column, Done, Rows
from modiste.sql.session import Session
from modiste.sql.sink import Path, Sink
from modiste.sql.spool import Spool
from modiste.sql.statements import CreateTable, DropTable, Insert, Select

T = TypeVar("T")


async def insert(said: Insert, session: Session) -> Done:
    """Columns that are not named are found by their names where the query has those of the table,
    as MindsDB does, else in order.

    Raises:
        SqlError: no such table or column, or the database refuses a row; then none is written.
    """
    source, path = await _place(session, said.name)
    there = await _inside(session, source, lambda to: to.columns(path))
    if not there:
        raise errors.no_table(f"Table '{'.'.join(path)}' not found in database: {source.name}")
    wanted = [_named(there, name, path) for name in said.columns]
    found = await plan.select(said.query, session)
    try:
        into = _matched(wanted, there, said.query, found.columns, session.notes)
    except errors.SqlError:
        await found.batches.aclose()
        raise
    n = await _written(session, source, found, lambda to: (path, into))
    return Done(f"INSERT 0 {n}", n)


async def create_table(said: CreateTable, session: Session) -> Done:
    """
    Raises:
        SqlError: the table is there, or its columns cannot be.
    """
    source, path = await _place(session, said.name)
    if await _inside(session, source, lambda to: to.columns(path)) and not said.or_replace:
        if said.if_not_exists:
            return Done(said.tag)
        raise errors.exists(f"Table already exists: {source.name}.{'.'.join(path)}")
    replace = said.or_replace
    if isinstance(said.of, exp.Schema):
        text = _as_said(said.of, source)
        await _inside(
            session, source, lambda to: to.create(path, text, replace=replace, filled=False)
        )
        return Done(said.tag)
    found = await plan.select(said.of, session)
    labels = [column.name for column in found.columns]
    twice = sorted({name for name in labels if labels.count(name) > 1})
    if twice:
        await found.batches.aclose()
        raise errors.bad(f"Two columns would be called {', '.join(twice)}; say AS for one of them.")
    make = sink.made_for(found.columns, source.engine)

    def begin(to: Sink) -> tuple[Path, list[str]]:
        to.create(path, make, replace=replace, filled=True)
        return path, labels

    return Done(said.tag, await _written(session, source, found, begin))


async def drop_table(said: DropTable, session: Session) -> Done:
    source, path = await _place(session, said.name)

    def act(to: Sink) -> bool:
        there = bool(to.columns(path))
        if there:
            to.drop(path)
        return there

    if not await _inside(session, source, act) and not said.if_exists:
        raise errors.no_table(f"Table '{'.'.join(path)}' not found in database: {source.name}")
    return Done(said.tag)


async def _place(session: Session, path: Path) -> tuple[Opened, Path]:
    """The database and the table in it; whether this key may write there.

    Raises:
        SqlError: no database of that name, a file, or it may not.
    """
    seen = await names.load(session)
    found: SourceTable | None = None
    if len(path) > 1 and seen.is_source(path[0]):
        found = SourceTable(path[0], path[1:])
    elif seen.is_source(session.database):
        found = SourceTable(session.database, path)
    elif len(path) > 1 and not seen.is_database(path[0]):
        raise errors.no_database(path[0])
    if found is None:
        raise errors.bad(
            f"{'.'.join(path)} is in no database that is written to; say database.table, with one "
            "of CREATE DATABASE."
        )
    if len(found.path) > 2:
        raise errors.bad(f"{'.'.join(path)} names no table; expected database.[schema.]table")
    name = found.source
    source = await session.place.read(lambda tx: data_sources.writable(tx, session.caller, name))
    sinks.check(source)
    return source, found.path


async def _inside(session: Session, source: Opened, act: Callable[[Sink], T]) -> T:
    """One transaction there."""
    timeout = session.place.database.settings.sql_timeout_s

    def work() -> T:
        with sinks.opened(source, timeout) as to:
            told = act(to)
            to.commit()
            return told

    return await asyncio.to_thread(work)


async def _written(
    session: Session,
    source: Opened,
    found: Rows,
    begin: Callable[[Sink], tuple[Path, Sequence[str]]],
) -> int:
    """Gather all rows, then write them in one transaction; cancelled, it is taken back."""
    settings = session.place.database.settings
    stop = threading.Event()
    with Spool(found.columns, settings.cache_dir / "sql") as spool:
        try:
            async for rows in found.batches:
                await asyncio.to_thread(spool.add, rows)
        finally:
            await found.batches.aclose()

        def work() -> None:
            with sinks.opened(source, settings.sql_timeout_s) as to:
                path, into = begin(to)
                for batch in spool.batches():
                    if stop.is_set():
                        return
                    to.append(path, into, batch)
                if not stop.is_set():
                    to.commit()

        writing = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([writing])  # The file is read until it ends.
            raise
        return spool.n_rows


def _named(there: Sequence[str], name: str, path: Path) -> str:
    """How the table spells a column."""
    found = [each for each in there if each == name] or [
        each for each in there if each.lower() == name.lower()
    ]
    if not found:
        raise errors.no_column(
            f"Unknown column '{name}' in '{'.'.join(path)}', which has {', '.join(there)}"
        )
    return found[0]


def _matched(
    wanted: list[str],
    there: Sequence[str],
    query: Select,
    columns: Sequence[Column],
    notes: list[str],
) -> list[str]:
    """Which column of the table each column of the query goes to."""
    n = len(columns)
    if wanted and len(wanted) != n:
        raise errors.bad(f"INSERT names {len(wanted)} columns, and its query has {n}.")
    if wanted:
        return wanted
    by_name = {name.lower(): name for name in there}
    labels = [column.name.lower() for column in columns]
    bare = isinstance(query.tree, exp.Values)
    if not bare and len(set(labels)) == n and all(label in by_name for label in labels):
        found = [by_name[label] for label in labels]
        if found != list(there)[:n]:
            notes.append(f"Columns were matched by their names: {', '.join(found)}.")
        return found
    if n != len(there):
        raise errors.bad(
            f"The query has {n} columns ({', '.join(labels)}), the table {len(there)} "
            f"({', '.join(there)}); name those meant: INSERT INTO table (...)."
        )
    return list(there)


def _as_said(columns: exp.Schema, source: Opened) -> Callable[[str], str]:
    """Columns as the statement has them, in the words of that database."""
    dialect = sources.dialect(source)
    inside = ", ".join(each.sql(dialect=dialect) for each in columns.expressions)
    return lambda name: f"CREATE TABLE {name} ({inside})"
