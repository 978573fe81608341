"""Versions and their model on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from modiste.store.database import Database
from modiste.store.sql_tables import SqlModelRow, SqlVersionRow
from modiste.types import Actor, PredictorStatus, Scope


def test_a_version_is_what_was_written_and_goes_with_its_model(database: Database) -> None:
    actor = Actor("key", "12345678", frozenset({Scope.TRAIN}))
    with database.transaction() as tx:
        model = SqlModelRow(
            org=actor.org, project="p", name="m", engine="e", next_version=2, active_version=1
        )
        tx.session.add(model)
        tx.session.flush()
        tx.session.add(
            SqlVersionRow(
                model_seq=model.seq, version=1, status=PredictorStatus.COMPLETE, predict="a",
                options={"k": [1]}, activate=True, training={}, actor=actor, created_at=tx.now(),
            )
        )  # fmt: skip
    with database.transaction() as tx:
        row = tx.session.scalar(sa.select(SqlVersionRow))
        assert row is not None
        assert row.actor == actor
        noun = row.noun(model)
        assert (noun.label, noun.active, noun.options) == ("p.m.1", True, {"k": [1]})
        again = SqlVersionRow(
            model_seq=model.seq, version=1, status=PredictorStatus.ERROR, predict="a",
            options={}, activate=True, training={}, actor=actor, created_at=tx.now(),
        )  # fmt: skip
        with pytest.raises(sa.exc.IntegrityError), tx.session.begin_nested():
            tx.session.add(again)
        tx.session.delete(tx.session.get(SqlModelRow, model.seq))
        tx.session.flush()
        assert tx.session.scalar(sa.select(sa.func.count()).select_from(SqlVersionRow)) == 0
