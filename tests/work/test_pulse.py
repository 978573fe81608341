"""The pulse keeps the lease, hears wishes and says when the job is no longer ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from modiste.actions import jobs
from modiste.actions.runs import Assignment, Wish
from modiste.errors import LeaseLost
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import Phase
from modiste.types import Actor, Job
from modiste.work.pulse import WISHES, Pulse

HERE = WorkerId.of_this_process("tester")


@pytest.fixture
def pulse(database: Database) -> Iterator[Pulse]:
    with Pulse(database, HERE) as pulse:
        yield pulse


def until(happened: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers(database: Database) -> list[str | None]:
    """The jobs of the living workers."""
    with database.transaction(write=False) as tx:
        return [row.job_id for row in queue.living_workers(tx)]


def test_a_living_worker_is_counted_and_a_leaving_one_is_not(database: Database) -> None:
    with Pulse(database, HERE):
        assert workers(database) == [None]
        time.sleep(database.settings.lease_s * 1.5)
        assert workers(database) == [None]
    assert workers(database) == []


def test_the_lease_outlives_its_length(
    database: Database,
    pulse: Pulse,
    create: Callable[..., Job],
    take: Callable[[], Assignment],
) -> None:
    create()
    claim = take().claim
    with pulse.holding(claim):
        time.sleep(database.settings.lease_s * 1.5)
        with database.transaction() as tx:
            elsewhere = WorkerId("elsewhere", "another host", 1, 1.0)
            assert queue.claim(tx, elsewhere) is None
        assert workers(database) == [claim.job_id]


def test_a_cancellation_is_heard_within_a_second_or_two(
    database: Database,
    admin: Actor,
    pulse: Pulse,
    create: Callable[..., Job],
    take: Callable[[], Assignment],
) -> None:
    job = create()
    with pulse.holding(take().claim):
        assert pulse.check() is Wish.GO_ON
        with database.transaction() as tx:
            jobs.cancel(tx, admin, job.id)
        until(lambda: pulse.check() is Wish.CANCEL)


def test_a_stolen_job_is_noticed_and_the_next_one_is_ours(
    pulse: Pulse,
    create: Callable[..., Job],
    take: Callable[[], Assignment],
    steal: Callable[[Claim], None],
) -> None:
    create()
    claim = take().claim

    def lost() -> bool:
        try:
            pulse.check()
        except LeaseLost:
            return True
        return False

    with pulse.holding(claim):
        steal(claim)
        until(lost)
    create(suffix="next")
    with pulse.holding(take().claim):
        assert not lost()


def test_a_database_that_is_away_for_a_while_costs_nothing(
    database: Database,
    pulse: Pulse,
    create: Callable[..., Job],
    take: Callable[[], Assignment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create()
    with pulse.holding(take().claim):
        broken = sa.create_engine("sqlite:////nowhere/at/all.db")
        whole = database._writing, database._reading
        database._writing = database._reading = sa.orm.sessionmaker(broken)
        time.sleep(1.5)
        assert pulse.check() is Wish.GO_ON
        database._writing, database._reading = whole
        time.sleep(1.0)
        assert pulse.check() is Wish.GO_ON


def test_every_kind_of_work_has_somebody_who_listens_for_its_wishes() -> None:
    assert set(WISHES) == set(Phase)
