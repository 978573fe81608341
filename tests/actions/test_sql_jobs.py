"""Jobs run at their times, each time once, whoever looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from modiste.actions import keys, sql_jobs
from modiste.actions.sql_jobs import Body, Run
from modiste.errors import Conflict, Forbidden, NotFound
from modiste.store.database import Database
from modiste.types import Actor, Scope, SqlJobRun, SqlUnit

T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def clock(database: Database) -> list[datetime]:
    """The time, which tests set."""
    now = [T0]
    database.clock = lambda: now[0]
    return now


def make(database: Database, actor: Actor, name: str = "j", **wishes: object) -> None:
    said: dict[str, object] = {"body": Body(("SELECT 1",), ()), "dialect": "mysql", **wishes}
    with database.transaction() as tx:
        sql_jobs.create(tx, actor, project="mindsdb", name=name, **said)  # type: ignore[arg-type]


def claim(database: Database) -> tuple[Run, ...]:
    with database.transaction() as tx:
        assert sql_jobs.due(tx) or not sql_jobs.claim(tx)
        return sql_jobs.claim(tx)


def finish(database: Database, run: Run, error: str | None = None, *, ran: bool = True) -> None:
    with database.transaction() as tx:
        sql_jobs.finish(tx, run, error=error, last={"0.0": 7}, ran=ran)


def history(database: Database, actor: Actor) -> list[SqlJobRun]:
    with database.transaction(write=False) as tx:
        return list(sql_jobs.history(tx, actor))


def names(database: Database, actor: Actor) -> list[str]:
    with database.transaction(write=False) as tx:
        return [job.name for job in sql_jobs.list_(tx, actor)]


def test_a_job_without_every_runs_once_and_stays_in_the_history(
    database: Database, admin: Actor, clock: list[datetime]
) -> None:
    make(database, admin, start_at=T0 + timedelta(hours=1))
    assert claim(database) == ()
    clock[0] += timedelta(hours=2)
    (run,) = claim(database)
    assert (run.body, run.before, run.last) == (Body(("SELECT 1",), ()), None, {})
    assert claim(database) == ()
    finish(database, run)
    assert (names(database, admin), claim(database)) == ([], ())
    (told,) = history(database, admin)
    assert (told.name, told.run_start, told.error) == ("j", clock[0], None)
    assert told.run_end is not None


def test_times_that_were_missed_are_one_run_and_runs_never_overlap(
    database: Database, admin: Actor, clock: list[datetime]
) -> None:
    make(database, admin, every=(1, SqlUnit.HOUR), end_at=T0 + timedelta(hours=6))
    (run,) = claim(database)
    clock[0] += timedelta(seconds=20)
    with database.transaction() as tx:
        assert sql_jobs.alive(tx, run)
    finish(database, run)
    clock[0] = T0 + timedelta(hours=3, minutes=5)
    (late,) = claim(database)
    assert (late.before, late.last) == (T0, {"0.0": 7})
    finish(database, late, "no")
    with database.transaction(write=False) as tx:
        (job,) = sql_jobs.list_(tx, admin)
    assert job.next_run_at == T0 + timedelta(hours=4)
    clock[0] = T0 + timedelta(hours=6, minutes=1)
    (ended,) = claim(database)
    finish(database, ended)
    assert names(database, admin) == []
    assert [run.error for run in history(database, admin)] == [None, "no", None]


def test_a_run_whose_process_was_killed_is_told_and_not_repeated(
    database: Database, admin: Actor, clock: list[datetime]
) -> None:
    make(database, admin, every=(1, SqlUnit.DAY))
    (run,) = claim(database)
    clock[0] += timedelta(seconds=sql_jobs.LEASE_S + 1)
    assert claim(database) == ()
    assert [each.error for each in history(database, admin)] == [sql_jobs.GONE]
    with database.transaction() as tx:
        assert not sql_jobs.alive(tx, run)
    finish(database, run)  # Its holder lives after all: too late to say otherwise.
    assert [each.error for each in history(database, admin)] == [sql_jobs.GONE]
    clock[0] = T0 + timedelta(days=1)
    assert len(claim(database)) == 1


def test_a_condition_that_does_not_hold_leaves_no_trace(
    database: Database, admin: Actor, clock: list[datetime]
) -> None:
    make(database, admin, every=(1, SqlUnit.MINUTE))
    (run,) = claim(database)
    finish(database, run, ran=False)
    assert history(database, admin) == []
    assert names(database, admin) == ["j"]


def test_a_revoked_key_stops_its_jobs_and_scopes_are_those_of_now(
    database: Database, admin: Actor, clock: list[datetime]
) -> None:
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="data", scopes=[Scope.DATA])
        actor = keys.authenticate(tx, made.secret)
    make(database, replace(actor, scopes=frozenset({Scope.ADMIN})), every=(1, SqlUnit.MINUTE))
    (run,) = claim(database)
    assert run.actor.scopes == {Scope.DATA}
    finish(database, run)
    with database.transaction() as tx:
        keys.revoke(tx, admin, actor.key_id)
    clock[0] += timedelta(minutes=1)
    assert claim(database) == ()
    assert history(database, admin)[-1].error == sql_jobs.REVOKED
    clock[0] += timedelta(days=1)
    assert claim(database) == ()
    with database.transaction(write=False) as tx:
        (job,) = sql_jobs.list_(tx, admin)
    assert job.next_run_at is None


def test_a_job_sealed_with_another_key_is_told_and_holds_up_nobody(
    database: Database, admin: Actor, clock: list[datetime]
) -> None:
    make(database, admin, "lost")
    (database.settings.home / "secrets.key").unlink()
    make(database, admin, "fine")
    (run,) = claim(database)
    assert run.name == "fine"
    (told, _) = history(database, admin)
    assert (told.name, str(told.error)[:34]) == ("lost", "A secret was sealed with another k")


def test_names_are_free_or_refused_and_secrets_are_not_shown(
    database: Database, admin: Actor
) -> None:
    said = "CREATE MODEL m PREDICT a USING api_key = 'sk-1', max_tokens = 5, prompt = 'it''s'"
    make(database, admin, body=Body((said,), ()))
    with pytest.raises(Conflict, match="Job already exists: j"):
        make(database, admin)
    with (
        pytest.raises(NotFound, match="Database does not exist: nope"),
        database.transaction() as tx,
    ):
        sql_jobs.create(
            tx, admin, project="nope", name="j", body=Body(("SELECT 1",), ()), dialect="mysql"
        )
    with pytest.raises(Forbidden):
        make(database, replace(admin, scopes=frozenset({Scope.INFER})), name="k")
    with database.transaction() as tx:
        (job,) = sql_jobs.list_(tx, admin)
        assert job.query == said.replace("'sk-1'", "'******'")
        sql_jobs.drop(tx, admin, "mindsdb", "j")
        with pytest.raises(NotFound, match="Job does not exist: j"):
            sql_jobs.drop(tx, admin, "mindsdb", "j")


@pytest.mark.parametrize(
    ("every", "now", "then"),
    [
        ((1, SqlUnit.MONTH), T0, datetime(2026, 2, 28, 12, tzinfo=UTC)),
        ((1, SqlUnit.MONTH), datetime(2026, 2, 28, 12, tzinfo=UTC), T0.replace(month=3)),
        ((5, SqlUnit.MONTH), T0.replace(year=2027), T0.replace(year=2027, month=4, day=30)),
        ((2, SqlUnit.WEEK), T0 + timedelta(days=15), T0 + timedelta(days=28)),
        ((90, SqlUnit.MINUTE), T0 - timedelta(days=9), T0 + timedelta(minutes=90)),
    ],
)
def test_the_next_time_is_a_whole_number_of_steps_on(
    every: tuple[int, SqlUnit], now: datetime, then: datetime
) -> None:
    assert sql_jobs.next_after(T0, every, now) == then
