"""One statement at work: what it has fetched, and how the rows of a table come to it.

What stands inside of what (views, queries within queries) is done by `whole`, which the planner
gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
from sqlglot import exp

from modiste.actions import data_sources
from modiste.sql import catalog, errors, local, mysql_catalog, pg_catalog, pg_words, sources
from modiste.sql.grammar import statements
from modiste.sql.local import Reading
from modiste.sql.metadata import Metadata, look_around
from modiste.sql.names import Foreign, Names, SourceTable, SystemTable, Target
from modiste.sql.session import Session
from modiste.sql.statements import Raw, Select
from modiste.types import SqlView

MOST_VIEWS = 20
"""Views within views; more is a circle."""


@dataclass
class Query:
    """One statement at work: the catalog it sees, and the tables it has fetched so far."""

    session: Session
    names: Names
    using: Mapping[str, object]
    raws: Mapping[str, Raw]
    whole: Callable[[Query, exp.Expr], Awaitable[pa.Table]]
    depth: int = 0
    tables: dict[str, pa.Table] = field(default_factory=dict)
    mentioned: frozenset[str] = frozenset()
    """Texts that stand in it."""
    _around: Metadata | None = None

    def register(self, table: pa.Table) -> str:
        name = f"__t{len(self.tables)}"
        self.tables[name] = table
        return name

    async def local(self, tree: exp.Expr) -> pa.Table:
        return await asyncio.to_thread(local.run, await self.text(tree), dict(self.tables))

    async def text(self, tree: exp.Expr) -> str:
        """As the local engine reads it."""
        if self.session.dialect == "postgres" and (self._around or pg_words.foreign(tree)):
            tree = pg_words.plain(tree, await self.around(), self._setting)
        return tree.sql(dialect="duckdb")

    async def around(self) -> Metadata:
        """What clients see here that look around with this query."""
        if self._around is None:
            self._around = await look_around(self.session, self.names, self.mentioned)
        return self._around

    def _setting(self, name: str) -> str:
        return self.session.variables.get(name.lower(), pg_words.SETTINGS.get(name.lower(), ""))

    async def read(self, source: str, sql: str) -> Reading:
        place = self.session.place
        found = await place.read(lambda tx: data_sources.opened(tx, self.session.caller, source))
        timeout = place.database.settings.sql_timeout_s
        return await asyncio.to_thread(sources.read, found, sql, timeout)

    def is_untyped(self, source: str) -> bool:
        """Whether only rows tell what a query's columns are, as in SQLite."""
        return any(each.name == source and each.engine == "sqlite" for each in self.names.sources)

    async def schema(self, source: str, sql: str) -> pa.Schema:
        """Of the rows of a query, which is asked for none, or for one where only that tells."""
        few = int(self.is_untyped(source))
        text = sql.strip().rstrip(";")
        reading = await self.read(source, f"SELECT * FROM ({text}) AS q LIMIT {few}")  # noqa: S608
        await asyncio.to_thread(reading.close)
        return reading.schema

    async def fetched(self, source: str, sql: str) -> pa.Table:
        reading = await self.read(source, sql)
        return await asyncio.to_thread(reading.table)


async def fetch(
    query: Query, node: exp.Table, target: Target | Raw, only: exp.Select | None = None
) -> None:
    """Put the rows of a table in its place.

    Args:
        only: what to ask a source for instead of all; its FROM is replaced.
    """
    if isinstance(target, Foreign):
        table = _foreign(query.session, target, await query.around())
    elif isinstance(target, SystemTable):
        table = await catalog.table(query.session, query.names, target)
    elif isinstance(target, SqlView):
        table = await _view(query, target)
    elif isinstance(target, Raw):
        table = await raw_table(query, target)
    elif isinstance(target, SourceTable):
        place = there(target)
        asked = (
            exp.select("*").from_(place)
            if only is None
            else only.from_(exp.alias_(place, node.alias_or_name, table=True))
        )
        text = asked.sql(dialect=dialect(query, target.source))
        table = await query.fetched(target.source, text)
    else:
        raise errors.unsupported("A model where a table is expected")
    put(query, node, table)


def _foreign(session: Session, target: Foreign, seen: Metadata) -> pa.Table:
    """Raises SqlError: neither MySQL nor PostgreSQL has such a table."""
    catalogs = mysql_catalog if session.dialect == "mysql" else pg_catalog
    found = catalogs.table(target.schema, target.name, seen)
    if found is None:
        raise errors.no_table(f"Table '{target.schema}.{target.name}' not found")
    return found


def put(query: Query, node: exp.Table, table: pa.Table) -> None:
    """Let the node mean a fetched table, under the name it had."""
    alias = node.alias_or_name
    if alias.isdigit() and node.args.get("db") is not None:
        alias = node.args["db"].name
    name = query.register(table)
    node.replace(exp.to_table(name, alias=exp.to_identifier(alias, quoted=True)))


async def raw_table(query: Query, raw: Raw) -> pa.Table:
    if raw.database in query.names.projects:
        return await _inner(query, raw.sql, str(raw.database))
    if raw.database is not None:
        if not query.names.is_source(raw.database):
            raise errors.no_database(raw.database)
        return await query.fetched(raw.database, raw.sql)
    return await _inner(query, raw.sql, query.session.database)


async def _view(query: Query, view: SqlView) -> pa.Table:
    if query.depth >= MOST_VIEWS:
        raise errors.bad(f"View {view.project}.{view.name} stands on itself.")
    if view.source is not None:
        return await query.fetched(view.source, view.query)
    return await _inner(query, view.query, view.project)


async def _inner(query: Query, text: str, database: str) -> pa.Table:
    """A query of ours that stands as text within another."""
    session = query.session
    found = statements(text, session.dialect)
    if len(found) != 1 or not isinstance(found[0], Select):
        raise errors.bad(f"Expected one query, found: {text:.80}")
    said = found[0]
    inner = Query(
        session,
        replace(query.names, database=database),
        said.using or query.using,
        said.raws,
        query.whole,
        query.depth + 1,
    )
    return await query.whole(inner, said.tree)


def there(target: SourceTable) -> exp.Table:
    parts = [exp.to_identifier(part) for part in target.path]
    named = dict(zip(("this", "db", "catalog"), reversed(parts), strict=False))
    return exp.Table(**named)


def dialect(query: Query, source: str) -> str:
    found = next(each for each in query.names.sources if each.name == source)
    return sources.DIALECTS.get(found.engine, "duckdb")


def is_constant(node: exp.Expr | None) -> bool:
    inner = node.this if isinstance(node, exp.Neg) else node
    return isinstance(inner, (exp.Literal, exp.Boolean, exp.Null))


def constant(node: exp.Expr | None) -> object:
    if isinstance(node, exp.Neg):
        value = constant(node.this)
        return -value if isinstance(value, (int, float)) else value
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if not isinstance(node, exp.Literal):
        return None
    if node.is_string:
        return node.name
    return int(node.name) if node.name.isdigit() else float(node.name)
