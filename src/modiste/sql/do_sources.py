"""Statements about databases, projects and views."""

from __future__ import annotations

import asyncio

from modiste.actions import data_sources, projects
from modiste.errors import Conflict, NotFound
from modiste.sql import errors, names, sources
from modiste.sql.result import Done
from modiste.sql.session import Session
from modiste.sql.statements import (
    AlterDatabase,
    CreateDatabase,
    CreateView,
    DropDatabase,
    DropView,
    Use,
)
from modiste.types import SqlView


async def create_database(said: CreateDatabase, session: Session) -> Done:
    """It must answer before it is kept; whether its name is free is looked at first."""
    place, actor = session.place, session.caller
    try:
        await place.write(lambda tx: projects.refuse_taken(tx, actor, said.name))
    except Conflict:
        if said.if_not_exists:
            return Done(said.tag)
        raise errors.database_exists(said.name) from None
    if said.engine is None:
        await place.write(lambda tx: projects.create(tx, actor, said.name))
        return Done("CREATE PROJECT")
    settings = place.database.settings
    found = data_sources.checked(settings, actor, said.name, said.engine, said.parameters)
    await asyncio.to_thread(sources.check, found, settings.sql_timeout_s)
    await place.write(lambda tx: data_sources.add(tx, actor, found))
    return Done(said.tag)


async def alter_database(said: AlterDatabase, session: Session) -> Done:
    """Parameters that are named change; the others stay."""
    place, actor = session.place, session.caller
    try:
        now = await place.read(lambda tx: data_sources.opened(tx, actor, said.name))
    except NotFound:
        raise errors.no_database(said.name) from None
    settings = place.database.settings
    wanted = {**now.parameters, **said.parameters}
    found = data_sources.checked(settings, actor, said.name, now.engine, wanted)
    await asyncio.to_thread(sources.check, found, settings.sql_timeout_s)
    await place.write(lambda tx: data_sources.change(tx, actor, found))
    return Done(said.tag)


async def drop_database(said: DropDatabase, session: Session) -> Done:
    place, actor = session.place, session.caller
    seen = await names.load(session)
    if not seen.is_database(said.name):
        if said.if_exists:
            return Done(said.tag)
        raise errors.no_database(said.name)
    if seen.is_source(said.name):
        await place.write(lambda tx: data_sources.drop(tx, actor, said.name))
    else:
        await place.write(lambda tx: projects.drop(tx, actor, said.name))
    return Done(said.tag)


async def use(said: Use, session: Session) -> Done:
    seen = await names.load(session)
    if not seen.is_database(said.name):
        raise errors.no_database(said.name)
    session.database = said.name
    return Done(said.tag)


async def create_view(said: CreateView, session: Session) -> Done:
    seen = await names.load(session)
    named = seen.named(said.name)
    if said.query.database is not None and not seen.is_source(said.query.database):
        raise errors.no_database(said.query.database)
    view = SqlView(named.project, named.name, said.query.sql, said.query.database)
    await session.place.write(lambda tx: projects.create_view(tx, session.caller, view))
    return Done(said.tag)


async def drop_view(said: DropView, session: Session) -> Done:
    named = (await names.load(session)).named(said.name)
    actor = session.caller
    try:
        await session.place.write(
            lambda tx: projects.drop_view(tx, actor, named.project, named.name)
        )
    except NotFound:
        if not said.if_exists:
            raise
    return Done(said.tag)
