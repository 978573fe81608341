"""Statements about engines, models and their versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from modiste.actions import predictor_tunings, predictors, projects
from modiste.actions.data_sources import SECRET
from modiste.actions.predictor_tunings import Tuning
from modiste.actions.predictors import Made, Named
from modiste.errors import Conflict, NotFound
from modiste.sql import catalog, errors, names, tuning
from modiste.sql.result import Column, Done, Rows, rows
from modiste.sql.session import Session
from modiste.sql.statements import (
    CancelFinetune,
    CreateEngine,
    CreateModel,
    DropEngine,
    DropModel,
    Finetune,
    Retrain,
    SetActive,
)
from modiste.types import PredictorStatus, PredictorVersion

WAIT_S = 0.5


async def create_engine(said: CreateEngine, session: Session) -> Done:
    kept = {key: value for key, value in said.using.items()}
    secrets = [key for key in kept if SECRET.search(key)]
    for key in secrets:
        del kept[key]
        session.notes.append(f"{key} is not needed here and was not kept.")
    place, actor = session.place, session.caller
    try:
        await place.write(
            lambda tx: projects.create_engine(tx, actor, said.name, said.handler, kept)
        )
    except Conflict:
        if not said.if_not_exists:
            raise
    return Done(said.tag)


async def drop_engine(said: DropEngine, session: Session) -> Done:
    try:
        await session.place.write(lambda tx: projects.drop_engine(tx, session.caller, said.name))
    except NotFound:
        if not said.if_exists:
            raise
    return Done(said.tag)


async def create_model(said: CreateModel, session: Session) -> Rows:
    """Answers with its one row; a base that is not here is told in ERROR."""
    seen = await names.load(session)
    named = seen.named(said.name)
    if named.version is not None:
        raise errors.bad("A new model has no version; leave the number out.")
    source = said.source
    if source is not None and source.database is not None and not seen.is_source(source.database):
        raise errors.no_database(source.database)
    there = seen.model(named)
    if there is not None and said.if_not_exists:
        return answer(there)
    place, actor = session.place, session.caller
    if there is not None and said.or_replace:
        await place.write(lambda tx: predictors.drop(tx, actor, named))
    if source is None:
        made = await place.write(
            lambda tx: predictors.create(tx, actor, named, predict=said.predict, options=said.using)
        )
        session.notes += made.notes
        return answer(made.version)
    begun, made = await place.write(
        lambda tx: predictor_tunings.create(
            tx, actor, named, predict=said.predict, query=source.sql, source=source.database,
            options=said.using,
        )
    )  # fmt: skip
    return await _begun(session, begun, made, said.using)


async def retrain(said: Retrain, session: Session) -> Rows:
    """As FINETUNE, but from the base, and on the rows it had where none are named."""
    seen = await names.load(session)
    named = seen.named(said.name)
    raw = said.source
    if raw is not None and raw.database is not None and not seen.is_source(raw.database):
        raise errors.no_database(raw.database)
    begun, made = await session.place.write(
        lambda tx: predictor_tunings.again(
            tx, session.caller, named, predict=said.predict,
            query=None if raw is None else raw.sql,
            source=None if raw is None else raw.database, options=said.using,
        )
    )  # fmt: skip
    return await _begun(session, begun, made, said.using)


async def _begun(
    session: Session, tuning_: Tuning | None, made: Made, using: Mapping[str, object]
) -> Rows:
    """The row of a version whose rows are read meanwhile."""
    session.notes += made.notes
    if tuning_ is None:
        return answer(made.version)
    session.place.background(tuning.prepared(session.place, tuning_, session.dialect))
    version = tuning_.version
    if using.get("join_learn_process") not in (True, 1, "true", "1"):
        return answer(version)
    return answer(await _waited(session, Named(version.project, version.name, version.version)))


async def finetune(said: Finetune, session: Session) -> Rows:
    """The next version's row at once; its rows are read and its job runs meanwhile."""
    seen = await names.load(session)
    named = seen.named(said.name)
    source = said.source.database
    if source is not None and not (seen.is_source(source) or source in seen.projects):
        raise errors.no_database(source)
    if said.explain:
        return await tuning.explained(session, named, said)
    begun = await session.place.write(
        lambda tx: predictor_tunings.begin(
            tx, session.caller, named, query=said.source.sql, source=source, options=said.using
        )
    )
    return await _begun(session, begun, Made(begun.version, ()), said.using)


async def _waited(session: Session, named: Named) -> PredictorVersion:
    while True:
        found = (await names.load(session)).model(named)
        if found is None or found.status is not PredictorStatus.GENERATING:
            break
        await asyncio.sleep(WAIT_S)
    if found is None:
        raise errors.no_table(f"{named} was dropped while it was made")
    return found


async def cancel(said: CancelFinetune, session: Session) -> Done:
    named = (await names.load(session)).named(said.name)
    await session.place.write(lambda tx: predictor_tunings.cancel(tx, session.caller, named))
    return Done(said.tag)


async def drop_model(said: DropModel, session: Session) -> Done:
    named = (await names.load(session)).named(said.name)
    try:
        await session.place.write(lambda tx: predictors.drop(tx, session.caller, named))
    except NotFound:
        if not said.if_exists:
            raise
    return Done(said.tag)


async def set_active(said: SetActive, session: Session) -> Done:
    named = (await names.load(session)).named(said.name)
    if named.version is None:
        raise errors.bad(f"Say which version: SET ACTIVE {named.name}.N")
    await session.place.write(lambda tx: predictors.activate(tx, session.caller, named))
    return Done(said.tag)


def answer(version: PredictorVersion) -> Rows:
    """The one row that statements about a model answer with."""
    columns = [
        Column(
            name,
            "integer" if name in catalog.WHOLE else "float" if name in catalog.REAL else "text",
        )
        for name in catalog.ANSWER
    ]
    return rows(columns, [catalog.model_row(version, catalog.ANSWER)])
