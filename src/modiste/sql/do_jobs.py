"""Statements about jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from modiste.actions import sql_jobs
from modiste.actions.sql_jobs import Body
from modiste.errors import Conflict, NotFound
from modiste.sql import errors, last, names
from modiste.sql.grammar import statements
from modiste.sql.result import Done
from modiste.sql.session import Dialect, Session
from modiste.sql.statements import CreateJob, DropJob
from modiste.types import SqlUnit


async def create_job(said: CreateJob, session: Session) -> Done:
    """
    Raises:
        SqlError: a statement of it cannot be read, a date is none, or the name is taken.
    """
    named = (await names.load(session)).named(said.name)
    _check(said.body, session.dialect)
    if said.condition:
        _check(said.condition, session.dialect, condition=True)
    start, end = _moment("START", said.start), _moment("END", said.end)
    if end is not None and start is not None and end < start:
        raise errors.bad(f"END {said.end} is before START {said.start}.")
    every = None if said.every is None else (said.every[0], SqlUnit(said.every[1]))
    if every is not None and not 1 <= every[0] <= 10_000:
        raise errors.bad(f"EVERY {every[0]}: expected 1 to 10,000 {every[1]}s.")
    try:
        await session.place.write(
            lambda tx: sql_jobs.create(
                tx, session.caller, project=named.project, name=named.name,
                body=Body(said.body, said.condition), dialect=session.dialect,
                start_at=start, end_at=end, every=every,
            )
        )  # fmt: skip
    except Conflict:
        if not said.if_not_exists:
            raise
    return Done(said.tag)


async def drop_job(said: DropJob, session: Session) -> Done:
    named = (await names.load(session)).named(said.name)
    actor = session.caller
    try:
        await session.place.write(lambda tx: sql_jobs.drop(tx, actor, named.project, named.name))
    except NotFound:
        if not said.if_exists:
            raise
    return Done(said.tag)


def _moment(word: str, text: str | None) -> datetime | None:
    if text is None or text.lower() == "now":
        return None
    found = sql_jobs.moment(text)
    if found is None:
        raise errors.bad(f"{word} is {text!r}, expected 'YYYY-MM-DD HH:MM:SS' (UTC) or now.")
    return found


def _check(texts: Sequence[str], dialect: Dialect, *, condition: bool = False) -> None:
    """Raises SqlError: a statement cannot be read, or a condition does not end in a query."""
    said = [each for text in texts for each in statements(text, dialect)]
    if condition and last.query_of(said[-1]) is not said[-1]:
        raise errors.bad("IF ends in a query; the job runs when that has a row.")
