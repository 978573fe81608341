"""Jobs of SQL: statements that run at their times, each time once, in the name of who made them.

The row is the clock: `claim` writes the run and moves the next time on in one transaction, under a
lease, so two fronts on one database never both run it, and a run that a killed process left half
done is told as that and not repeated. Every run looks up what the key that made the job may do
now; when that is revoked, the job stops and says so.
"""

from __future__ import annotations

import json
import re
import uuid
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from modiste.actions import keys, projects
from modiste.actions.keys import require
from modiste.errors import Conflict, Corrupt, NotFound
from modiste.store import sealed
from modiste.store.database import Tx
from modiste.store.sql_tables import SqlJobRow, SqlJobRunRow
from modiste.types import Actor, Scope, SqlJob, SqlJobRun, SqlUnit

LEASE_S = 30.0
"""A run that said nothing for so long has ended with its process."""
MOST_RUNS = 10_000
"""Shown of the history, the newest."""
GONE = "The server ended while it ran."
REVOKED = "The key that made this job was revoked, so it stopped; make it anew with another."
SECRET = re.compile(
    r"""(['"`]?\w*(?:api_?key|password|passwd|token|secret)\w*['"`]?\s*[=:]\s*)"""
    r"""('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")""",
    re.IGNORECASE,
)


class Body(NamedTuple):
    """What a run says, as it was written."""

    statements: tuple[str, ...]
    condition: tuple[str, ...]


class Run(NamedTuple):
    """A run that its holder has to do, and to `finish`."""

    seq: int
    run_seq: int
    lease: str
    actor: Actor
    project: str
    name: str
    dialect: str
    body: Body
    started_at: datetime
    before: datetime | None
    """When the run before this one started."""
    last: Mapping[str, Any]


def create(
    tx: Tx,
    actor: Actor,
    *,
    project: str,
    name: str,
    body: Body,
    dialect: str,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    every: tuple[int, SqlUnit] | None = None,
) -> SqlJob:
    """Run these statements at `start_at` (now, where it is None or past), and again every so often.

    Raises:
        Conflict: the name is taken. NotFound: no such project.
    """
    require(actor, Scope.DATA)
    projects.known(tx, actor, project)
    tx.alone("sql jobs")
    if _row(tx, actor, project, name) is not None:
        raise Conflict(f"Job already exists: {name}")
    start = start_at or tx.now()
    row = SqlJobRow(
        org=actor.org,
        project=project,
        name=name,
        query=shown("; ".join(body.statements)),
        if_query=shown("; ".join(body.condition)) if body.condition else None,
        sealed=sealed.seal(tx.settings, json.dumps(body)),
        dialect=dialect,
        start_at=start,
        end_at=end_at,
        every_n=None if every is None else every[0],
        every_unit=None if every is None else every[1],
        next_run_at=start,
        last={},
        actor=actor,
        created_at=tx.now(),
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def shown(text: str) -> str:
    """Without the secrets that stand in it."""
    return SECRET.sub(lambda found: f"{found[1]}'******'", text)


def drop(tx: Tx, actor: Actor, project: str, name: str) -> None:
    """No further run; one under way goes on. Raises NotFound."""
    require(actor, Scope.DATA)
    row = _row(tx, actor, project, name)
    if row is None:
        raise NotFound(f"Job does not exist: {name}")
    tx.session.delete(row)
    tx.session.flush()


def list_(tx: Tx, actor: Actor) -> tuple[SqlJob, ...]:
    query = sa.select(SqlJobRow).where(SqlJobRow.org == actor.org)
    rows = tx.session.scalars(query.order_by(SqlJobRow.project, SqlJobRow.name))
    return tuple(row.noun() for row in rows)


def history(tx: Tx, actor: Actor) -> tuple[SqlJobRun, ...]:
    """Runs of all jobs, those that are gone among them; oldest first."""
    query = sa.select(SqlJobRunRow).where(SqlJobRunRow.org == actor.org)
    rows = tx.session.scalars(query.order_by(SqlJobRunRow.seq.desc()).limit(MOST_RUNS)).all()
    return tuple(row.noun() for row in reversed(rows))


def due(tx: Tx) -> bool:
    """Whether there is anything for `claim`."""
    return tx.session.scalar(_due(tx).limit(1)) is not None


def claim(tx: Tx) -> tuple[Run, ...]:
    """Every job whose time has come, held by the caller; those of ended processes are told off."""
    tx.alone("sql jobs")
    found = []
    for row in tx.session.scalars(_due(tx)).all():
        tx.lock(row)
        if row.lease is not None:
            _end(tx, row, GONE)
        elif row.next_run_at is not None and row.next_run_at <= tx.now():
            run = _begun(tx, row, row.next_run_at)
            found += [] if run is None else [run]
    return tuple(found)


def alive(tx: Tx, run: Run) -> bool:
    """Say that the run goes on; False where it was dropped, or given up for lost."""
    row = tx.session.get(SqlJobRow, run.seq)
    if row is None or row.lease != run.lease:
        return False
    row.lease_until = tx.now() + timedelta(seconds=LEASE_S)
    return True


def finish(
    tx: Tx, run: Run, *, error: str | None = None, last: Mapping[str, Any], ran: bool = True
) -> None:
    """Write what became of a run. Where its condition did not hold (`ran`), it leaves no trace.

    Args:
        last: what LAST stands for from now on; nothing changes where the run failed.
    """
    row = tx.session.get(SqlJobRow, run.seq)
    told = tx.session.get(SqlJobRunRow, run.run_seq)
    if row is not None and row.lease == run.lease:
        tx.lock(row)
        if error is None and ran:
            row.last = {**row.last, **last}
        _end(tx, row, error)
    elif told is not None and told.run_end is None:  # Dropped meanwhile.
        told.run_end, told.error = tx.now(), error
    if not ran and told is not None and error is None:
        tx.session.delete(told)


def next_after(start: datetime, every: tuple[int, SqlUnit], now: datetime) -> datetime:
    """The first time after `now` that is a whole number of steps from `start`."""
    n, unit = every
    if unit is SqlUnit.MONTH:
        months = (now.year - start.year) * 12 + now.month - start.month
        k = max(1, months // n)
        while (found := _months_on(start, k * n)) <= now:
            k += 1
        return found
    seconds = {SqlUnit.MINUTE: 60, SqlUnit.HOUR: 3600, SqlUnit.DAY: 86400, SqlUnit.WEEK: 604800}
    step = timedelta(seconds=n * seconds[unit])
    return start + step * max(1, (now - start) // step + 1)


def _months_on(start: datetime, months: int) -> datetime:
    """The same day of a later month, or its last one."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return start.replace(
        year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1])
    )


def _due(tx: Tx) -> sa.Select[SqlJobRow]:
    now = tx.now()
    free = sa.and_(SqlJobRow.lease.is_(None), SqlJobRow.next_run_at <= now)
    return sa.select(SqlJobRow).where(sa.or_(free, SqlJobRow.lease_until < now))


def _begun(tx: Tx, row: SqlJobRow, due_at: datetime) -> Run | None:
    """Times that were missed while nobody was there are one run, now."""
    now = tx.now()
    following = None if row.every is None else next_after(row.start_at, row.every, now)
    late = row.end_at is not None and following is not None and following > row.end_at
    row.next_run_at = None if late else following
    told = SqlJobRunRow(
        org=row.org,
        project=row.project,
        name=row.name,
        job_seq=row.seq,
        due_at=due_at,
        run_start=now,
        query=row.query,
    )
    tx.session.add(told)
    tx.session.flush()
    scopes = keys.scopes_now(tx, row.actor.key_id)
    if not scopes:
        row.next_run_at = None
        told.run_end, told.error = now, REVOKED
        return None
    try:
        statements, condition = json.loads(sealed.opened(tx.settings, row.sealed))
    except Corrupt as error:  # One job that cannot be read must not hold up the others.
        row.next_run_at = None
        told.run_end, told.error = now, error.message
        return None
    row.lease, row.lease_until = str(uuid.uuid4()), now + timedelta(seconds=LEASE_S)
    before, row.last_run_at = row.last_run_at, now
    return Run(
        row.seq,
        told.seq,
        row.lease,
        replace(row.actor, scopes=scopes),
        row.project,
        row.name,
        row.dialect,
        Body(tuple(statements), tuple(condition)),
        now.astimezone(UTC),
        before,
        row.last,
    )


def _end(tx: Tx, row: SqlJobRow, error: str | None) -> None:
    """The run under way is over; a job with no run to come leaves."""
    told = tx.session.scalars(
        sa.select(SqlJobRunRow).where(
            SqlJobRunRow.job_seq == row.seq, SqlJobRunRow.run_end.is_(None)
        )
    )
    for each in told:
        each.run_end, each.error = tx.now(), error
    row.lease = row.lease_until = None
    if row.next_run_at is None:
        tx.session.delete(row)


def _row(tx: Tx, actor: Actor, project: str, name: str) -> SqlJobRow | None:
    return tx.session.scalar(
        sa.select(SqlJobRow).where(
            SqlJobRow.org == actor.org, SqlJobRow.project == project, SqlJobRow.name == name
        )
    )


def find(tx: Tx, actor: Actor, project: str, name: str) -> SqlJob | None:
    row = _row(tx, actor, project, name)
    return None if row is None else row.noun()


def every_text(every: tuple[int, SqlUnit] | None) -> str | None:
    """`every 1 hour`"""
    return None if every is None else f"every {every[0]} {every[1]}{'s' * (every[0] > 1)}"


def moment(text: str) -> datetime | None:
    """`YYYY-MM-DD[ HH:MM:SS]`, UTC; None where it is neither."""
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
