"""The state machine: every way ends, final is final, one event per change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modiste.actions.job_states import NEXT, WrongMove, move
from modiste.store.database import Database
from modiste.store.tables import JobEventRow, JobRow
from modiste.types import Job, JobStatus

S = JobStatus


def test_every_status_has_its_line_and_only_final_ones_end() -> None:
    assert set(NEXT) == set(JobStatus)
    assert {status for status, following in NEXT.items() if not following} == {
        status for status in JobStatus if status.final
    }


def test_from_everywhere_a_cancellation_is_reachable_and_from_nowhere_a_second_end() -> None:
    for status in JobStatus:
        if not status.final:
            assert {S.CANCELLED, S.CANCELLATION_REQUESTED} & set(NEXT[status])


def test_a_move_writes_one_event_and_standing_still_writes_none(
    database: Database, create: Callable[..., Job]
) -> None:
    create()
    with database.transaction() as tx:
        row = tx.session.query(JobRow).one()
        move(tx, row, S.VALIDATING, "now")
        move(tx, row, S.VALIDATING, "again")
        events = tx.session.query(JobEventRow).order_by(JobEventRow.seq).all()
        assert [(event.status, event.message) for event in events][1:] == [(S.VALIDATING, "now")]


def test_a_wrong_move_changes_nothing(database: Database, create: Callable[..., Job]) -> None:
    create()
    with database.transaction() as tx:
        row = tx.session.query(JobRow).one()
        with pytest.raises(WrongMove, match="QUEUED, which cannot become SUCCESS"):
            move(tx, row, S.SUCCESS)
        assert row.status is S.QUEUED


def test_an_end_takes_the_job_out_of_the_queue(
    database: Database, create: Callable[..., Job]
) -> None:
    create()
    with database.transaction() as tx:
        row = tx.session.query(JobRow).one()
        row.paused = row.pause_requested = True
        move(tx, row, S.CANCELLED)
        assert row.finished_at == tx.now()
        assert (row.queued_for, row.paused, row.pause_requested) == (None, False, False)
