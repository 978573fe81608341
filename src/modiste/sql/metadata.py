"""What clients see of this place when they look around: schemas, tables, columns.

Every database is a schema of its name: projects with models, views and system tables, sources with
their tables. A source is looked into only where it is the session's own database or a query names
it, since that takes a connection. Of a view no columns are told: only running it would tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from modiste.actions import data_sources
from modiste.sql import catalog, predict, source_columns, sources
from modiste.sql.names import HOUSE, SCHEMA, SYSTEM, SYSTEM_DATABASES, Names
from modiste.sql.result import Column
from modiste.sql.session import Session


@dataclass(frozen=True)
class Table:
    schema: str
    name: str
    kind: str
    """`BASE TABLE`, `VIEW` or `SYSTEM VIEW`."""
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Metadata:
    current: str
    """The schema that names without one are looked up in."""
    schemas: tuple[str, ...]
    databases: tuple[str, ...]
    """What one may connect to."""
    tables: tuple[Table, ...]


async def look_around(session: Session, names: Names, named: Collection[str]) -> Metadata:
    """
    Args:
        named: texts that stand in the query; sources among them are looked into.
    """
    tables = [*_system(SCHEMA)]
    for project in names.projects:
        tables += _of_project(names, project)
    schemas = [*SYSTEM_DATABASES, *names.projects]
    for source in names.sources:
        own = source.name == names.database
        if own or source.name in named:
            found = await _of_source(session, source.name, own=own)
            tables += found
            schemas += sorted({table.schema for table in found} - {source.name})
        schemas.append(source.name)
    databases = (*names.projects, *(source.name for source in names.sources))
    return Metadata(names.database, tuple(schemas), databases, tuple(tables))


def _system(schema: str) -> Iterable[Table]:
    for name in (*SYSTEM, *(HOUSE if schema == SCHEMA else ())):
        told = catalog.LABELS[name]
        columns = tuple(Column(each, catalog.kind(name, each)) for each in told)
        yield Table(schema, name, "SYSTEM VIEW", columns)


def _of_project(names: Names, project: str) -> list[Table]:
    tables = [*_system(project)]
    models = {v.name: v for v in names.versions if v.project == project}
    models |= {v.name: v for v in names.versions if v.project == project and v.active}
    for name, version in models.items():
        inputs = dict.fromkeys(predict.columns_of(version.options))
        held = tuple(Column(each) for each in dict.fromkeys((version.predict, *inputs)))
        tables.append(Table(project, name, "BASE TABLE", held))
    tables += [Table(project, v.name, "VIEW", ()) for v in names.views if v.project == project]
    return tables


async def _of_source(session: Session, name: str, *, own: bool) -> list[Table]:
    """Tables outside its default schema have names only where it is the session's database."""
    place = session.place
    found = await place.read(lambda tx: data_sources.opened(tx, session.caller, name))
    timeout = place.database.settings.sql_timeout_s
    listed = await asyncio.to_thread(sources.tables, found, timeout)
    columns = await asyncio.to_thread(source_columns.columns, found, timeout)
    default = source_columns.default_schema(found)
    tables = []
    for each in listed:
        held = tuple(columns.get((each.schema, each.name), ()))
        if each.schema in (None, default):
            tables.append(Table(name, each.name, each.kind, held))
        elif own:
            tables.append(Table(str(each.schema), each.name, each.kind, held))
    return tables
