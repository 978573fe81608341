"""Projects, engines and views: the names under which SQL keeps its models.

`mindsdb` is the project that is always there. Projects and data sources share one space of names.
An engine is a name and a handler; every handler is this server, which needs no key, so keys that
scripts send along are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from modiste.actions.keys import require
from modiste.errors import BadRequest, Conflict, InvalidInput, NotFound
from modiste.store.database import Tx
from modiste.store.sql_tables import (
    SqlEngineRow,
    SqlJobRow,
    SqlModelRow,
    SqlProjectRow,
    SqlSourceRow,
    SqlViewRow,
)
from modiste.types import Actor, Scope, SqlEngine, SqlView

DEFAULT = "mindsdb"
RESERVED = (DEFAULT, "information_schema", "log", "pg_catalog", "mysql", "performance_schema")
HANDLERS = {
    "modiste": "Models that this server trains and answers for",
    "anyscale_endpoints": "The same, under the name that scripts for Anyscale Endpoints use",
}


def list_(tx: Tx, actor: Actor) -> tuple[str, ...]:
    query = sa.select(SqlProjectRow.name).where(SqlProjectRow.org == actor.org)
    return (DEFAULT, *tx.session.scalars(query.order_by(SqlProjectRow.name)))


def create(tx: Tx, actor: Actor, name: str) -> str:
    """Raises Conflict where a project or data source has the name."""
    require(actor, Scope.TRAIN)
    refuse_taken(tx, actor, name)
    row = SqlProjectRow(org=actor.org, name=name, created_at=tx.now(), created_by=actor.key_id)
    tx.session.add(row)
    tx.session.flush()
    return name


def drop(tx: Tx, actor: Actor, name: str) -> None:
    """
    Raises:
        NotFound: no such project. Conflict: it is not empty, or the one that is always there.
    """
    require(actor, Scope.TRAIN)
    if name in RESERVED:
        raise Conflict(f"{name} is always there and cannot be dropped.")
    row = tx.session.get(SqlProjectRow, (actor.org, name))
    if row is None:
        raise NotFound(f"Database does not exist: {name}", code="database_not_found")
    jobs = sa.select(SqlJobRow.name).where(SqlJobRow.org == actor.org, SqlJobRow.project == name)
    inside = [*_inside(tx, actor, name), *tx.session.scalars(jobs)]
    if inside:
        raise Conflict(f"{name} still holds {', '.join(inside)}; drop them first.")
    tx.session.delete(row)
    tx.session.flush()


def refuse_taken(tx: Tx, actor: Actor, name: str) -> None:
    """Raises Conflict: a project or data source has this name."""
    tx.alone("sql names")
    key = (actor.org, name)
    there = tx.session.get(SqlProjectRow, key) or tx.session.get(SqlSourceRow, key)
    if name in RESERVED or there is not None:
        raise Conflict(f"Database already exists: {name}", code="database_exists")


def engines(tx: Tx, actor: Actor) -> tuple[SqlEngine, ...]:
    query = sa.select(SqlEngineRow).where(SqlEngineRow.org == actor.org)
    return tuple(row.noun() for row in tx.session.scalars(query.order_by(SqlEngineRow.name)))


def create_engine(
    tx: Tx, actor: Actor, name: str, handler: str, parameters: Mapping[str, Any]
) -> SqlEngine:
    """
    Raises:
        InvalidInput: no such handler. Conflict: the name is taken.
    """
    require(actor, Scope.TRAIN)
    if handler not in HANDLERS:
        raise InvalidInput(
            f"There is no engine '{handler}'; there are {', '.join(HANDLERS)}.", param="engine"
        )
    tx.alone("sql names")
    if tx.session.get(SqlEngineRow, (actor.org, name)) is not None:
        raise Conflict(f"Integration already exists: {name}")
    row = SqlEngineRow(
        org=actor.org,
        name=name,
        handler=handler,
        parameters=dict(parameters),
        created_at=tx.now(),
        created_by=actor.key_id,
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def drop_engine(tx: Tx, actor: Actor, name: str) -> None:
    require(actor, Scope.TRAIN)
    row = tx.session.get(SqlEngineRow, (actor.org, name))
    if row is None:
        raise NotFound(f"Integration does not exists: {name}")
    used = tx.session.scalars(
        sa.select(SqlModelRow.name).where(SqlModelRow.org == actor.org, SqlModelRow.engine == name)
    ).all()
    if used:
        raise BadRequest(f"Unable to drop ml engine with active models: {list(used)}")
    tx.session.delete(row)
    tx.session.flush()


def engine_of(tx: Tx, actor: Actor, name: str) -> SqlEngine:
    """The engine of this name; one named after a handler is made where it is not there.

    Raises:
        InvalidInput: neither an engine nor a handler.
    """
    row = tx.session.get(SqlEngineRow, (actor.org, name))
    return row.noun() if row is not None else create_engine(tx, actor, name, name, {})


def views(tx: Tx, actor: Actor) -> tuple[SqlView, ...]:
    query = sa.select(SqlViewRow).where(SqlViewRow.org == actor.org)
    return tuple(
        row.noun()
        for row in tx.session.scalars(query.order_by(SqlViewRow.project, SqlViewRow.name))
    )


def create_view(tx: Tx, actor: Actor, view: SqlView) -> SqlView:
    """Raises Conflict where a view or a model has the name."""
    require(actor, Scope.DATA)
    known(tx, actor, view.project)
    tx.alone("sql names")
    if view.name in _inside(tx, actor, view.project):
        raise Conflict(f"View or model already exists: {view.project}.{view.name}")
    row = SqlViewRow(
        org=actor.org,
        project=view.project,
        name=view.name,
        query=view.query,
        source=view.source,
        created_at=tx.now(),
        created_by=actor.key_id,
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def drop_view(tx: Tx, actor: Actor, project: str, name: str) -> None:
    require(actor, Scope.DATA)
    row = tx.session.get(SqlViewRow, (actor.org, project, name))
    if row is None:
        raise NotFound(f"View does not exist: {project}.{name}")
    tx.session.delete(row)
    tx.session.flush()


def known(tx: Tx, actor: Actor, project: str) -> None:
    """Raises NotFound: no such project."""
    if project != DEFAULT and tx.session.get(SqlProjectRow, (actor.org, project)) is None:
        raise NotFound(f"Database does not exist: {project}", code="database_not_found")


def _inside(tx: Tx, actor: Actor, project: str) -> list[str]:
    models = sa.select(SqlModelRow.name).where(
        SqlModelRow.org == actor.org, SqlModelRow.project == project
    )
    kept = sa.select(SqlViewRow.name).where(
        SqlViewRow.org == actor.org, SqlViewRow.project == project
    )
    return [*tx.session.scalars(models), *tx.session.scalars(kept)]
