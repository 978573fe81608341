"""Notices: written with the end, claimed by one, tried again, given up, and never a job's harm."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from modiste.actions import jobs, notices
from modiste.actions.job_states import move
from modiste.actions.notices import LEASE_S, MOST_ATTEMPTS, RETRY_AFTER_S, Errand
from modiste.errors import Forbidden
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.store.notice_tables import NoticeRow
from modiste.store.tables import JobRow
from modiste.types import Actor, Job, JobStatus, NoticeChannel, NoticeStatus

TOLD = {
    "smtp_host": "mail.example.org",
    "mail_from": "modiste@example.org",
    "mail_to": ("a@example.org", "b@example.org"),
    "webhook_url": SecretStr("https://hooks.example.org/x"),
    "webhook_secret": SecretStr("whsec_" + "a" * 44),
}
Create = Callable[..., Job]


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 30, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def on(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


BOTH = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True)
"""Where locks and times decide; what is left is the same SQL."""


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update=TOLD)


@pytest.fixture
def clock(database: Database) -> Clock:
    database.clock = Clock()
    return database.clock


@pytest.fixture
def ended(database: Database, admin: Actor, clock: Clock, create: Create) -> Job:
    job = create()
    with database.transaction() as tx:
        return jobs.cancel(tx, admin, job.id)


def claim(database: Database, limit: int = 10) -> tuple[Errand, ...]:
    with database.transaction() as tx:
        return notices.claim(tx, limit) if notices.due(tx) else ()


def failed(database: Database, errand: Errand, error: str = "down") -> None:
    with database.transaction() as tx:
        notices.failed(tx, errand, error)


def statuses(database: Database) -> list[NoticeStatus]:
    with database.transaction(write=False) as tx:
        query = sa.select(NoticeRow.status).order_by(NoticeRow.seq)
        return list(tx.session.scalars(query))


WAYS = [
    (JobStatus.FAILED,),
    (JobStatus.VALIDATING, JobStatus.FAILED_VALIDATION),
    (JobStatus.STARTED, JobStatus.RUNNING, JobStatus.SUCCESS),
    (JobStatus.CANCELLED,),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[-1])
def test_every_end_tells_everybody_once_and_nothing_before_it_does(
    database: Database, create: Create, way: tuple[JobStatus, ...]
) -> None:
    create()
    with database.transaction() as tx:
        row = tx.session.query(JobRow).one()
        for status in way[:-1]:
            move(tx, row, status)
    assert statuses(database) == []
    with database.transaction() as tx:
        row = tx.session.query(JobRow).one()
        move(tx, row, way[-1])
        move(tx, row, way[-1])
    told = [(each.notice.channel, each.notice.target) for each in claim(database)]
    mail = [(NoticeChannel.EMAIL, f"{who}@example.org") for who in "ab"]
    assert told == [*mail, (NoticeChannel.WEBHOOK, "")]


def test_an_end_that_is_not_written_tells_nobody(database: Database, create: Create) -> None:
    create()

    def killed() -> None:
        with database.transaction() as tx:
            move(tx, tx.session.query(JobRow).one(), JobStatus.CANCELLED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert statuses(database) == []


def test_where_nobody_is_to_be_told_no_row_is_written(database: Database, create: Create) -> None:
    create()
    nobody = database.settings.model_copy(update={"mail_to": (), "webhook_url": None})
    database.settings = nobody
    with database.transaction() as tx:
        move(tx, tx.session.query(JobRow).one(), JobStatus.CANCELLED)
    assert statuses(database) == []


def test_what_is_sent_is_over(database: Database, clock: Clock, ended: Job) -> None:
    for errand in claim(database):
        assert errand.job.id == ended.id
        with database.transaction() as tx:
            notices.sent(tx, errand)
    clock.on(1e6)
    assert claim(database) == ()
    assert statuses(database) == [NoticeStatus.SENT] * 3


@BOTH
def test_who_looks_at_the_same_moment_takes_others(
    database: Database, ended: Job, create: Create, admin: Actor
) -> None:
    for seed in range(3):
        job = create(suffix=f"s{seed}")
        with database.transaction() as tx:
            jobs.cancel(tx, admin, job.id)
    taken: list[str] = []
    together = threading.Barrier(4)

    def front() -> None:
        together.wait()
        for _ in range(3):
            taken.extend(errand.notice.id for errand in claim(database, 2))

    fronts = [threading.Thread(target=front) for _ in range(4)]
    for each in fronts:
        each.start()
    for each in fronts:
        each.join()
    assert len(taken) == len(set(taken)) == 12


@BOTH
def test_a_sender_that_ended_in_the_middle_is_followed_by_another_with_the_same_id(
    database: Database, clock: Clock, ended: Job
) -> None:
    first = claim(database)
    clock.on(LEASE_S - 1)
    assert claim(database) == ()
    clock.on(2)
    second = claim(database)
    assert [e.notice.id for e in second] == [e.notice.id for e in first]
    assert [e.notice.attempts for e in second] == [2, 2, 2]
    failed(database, first[0])  # The first one wakes up again: what it says late changes nothing,
    assert claim(database) == ()
    with database.transaction() as tx:
        notices.sent(tx, first[1])  # unless the receiver has the notice.
    assert statuses(database)[1] is NoticeStatus.SENT


@BOTH
def test_it_is_tried_again_at_longer_and_longer_intervals_and_then_given_up(
    database: Database, clock: Clock, ended: Job, admin: Actor
) -> None:
    claim(database)
    with database.transaction() as tx:
        tx.session.execute(sa.delete(NoticeRow).where(NoticeRow.target != "a@example.org"))
    clock.on(LEASE_S)
    for pause_s in RETRY_AFTER_S[1:]:
        (errand,) = claim(database)
        failed(database, errand, f"down at {errand.notice.attempts}")
        clock.on(pause_s - 1)
        assert claim(database) == ()
        clock.on(1)
    (errand,) = claim(database)
    assert errand.notice.attempts == MOST_ATTEMPTS
    failed(database, errand, "down for good")
    clock.on(1e6)
    assert claim(database) == ()
    with database.transaction(write=False) as tx:
        (told,) = notices.list_(tx, admin)
        job = jobs.get(tx, admin, ended.id)
    assert (told.status, told.error, told.due_at) == (NoticeStatus.FAILED, "down for good", None)
    assert (job.status, job.finished_at) == (JobStatus.CANCELLED, ended.finished_at)
    assert job.events[-1].level == "warning"
    assert "could not be delivered in 10 attempts" in job.events[-1].message
    assert "example.org" not in job.events[-1].message


def test_a_sender_that_dies_every_time_is_given_up_too(
    database: Database, clock: Clock, ended: Job
) -> None:
    for _ in range(MOST_ATTEMPTS):
        assert len(claim(database)) == 3
        clock.on(LEASE_S)
    assert claim(database) == ()
    assert statuses(database) == [NoticeStatus.FAILED] * 3


def test_a_channel_that_is_not_set_here_is_left_to_others(
    database: Database, clock: Clock, ended: Job
) -> None:
    whole = database.settings
    database.settings = whole.model_copy(update={"mail_to": ()})
    assert [errand.notice.channel for errand in claim(database)] == [NoticeChannel.WEBHOOK]
    database.settings = whole
    assert len(claim(database)) == 2


def test_only_admins_see_whom_jobs_are_told_to(
    database: Database, other: Actor, admin: Actor, ended: Job
) -> None:
    with database.transaction(write=False) as tx:
        assert [told.target for told in notices.list_(tx, admin)] == [
            "", "b@example.org", "a@example.org",
        ]  # fmt: skip
        with pytest.raises(Forbidden):
            notices.list_(tx, other)
