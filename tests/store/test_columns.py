"""Nouns, words and times come back as they went in, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from modiste.store.columns import Noun, Time, Word
from modiste.store.database import Database
from modiste.types import Hyperparameters, JobStatus, Problem, Scope, TrainingFile

TABLE = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("hyperparameters", Noun(Hyperparameters)),
    sa.Column("files", Noun(tuple[TrainingFile, ...])),
    sa.Column("scopes", Noun(frozenset[Scope])),
    sa.Column("problems", Noun(tuple[Problem, ...])),
    sa.Column("status", Word(JobStatus)),
    sa.Column("at", Time),
)


def there_and_back(database: Database, **values: object) -> dict[str, object]:
    with database.transaction() as tx:
        TABLE.create(tx.session.connection(), checkfirst=True)
        tx.session.execute(sa.insert(TABLE).values(**values))
        row = tx.session.execute(sa.select(TABLE)).mappings().one()
        return {name: row[name] for name in values}


def test_nouns_come_back_equal(database: Database) -> None:
    values = {
        "hyperparameters": Hyperparameters(training_steps=3, epochs=None, learning_rate=1e-8),
        "files": (TrainingFile("a", 0.5), TrainingFile("b")),
        "scopes": frozenset({Scope.TRAIN, Scope.INFER}),
        "problems": (Problem("f", 3, "messages[0]", "code", 'says "ü"\n'),),
        "status": JobStatus.RUNNING,
        "at": datetime(2026, 11, 20, 12, 30, 15, 123456, tzinfo=UTC),
    }
    assert there_and_back(database, **values) == values


def test_nothing_comes_back_as_none(database: Database) -> None:
    values = {"hyperparameters": None, "status": None, "at": None}
    assert there_and_back(database, **values) == values


def test_times_of_any_zone_come_back_in_utc(database: Database) -> None:
    there = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    back = there_and_back(database, at=there)["at"]
    assert isinstance(back, datetime)
    assert (back, back.tzinfo) == (datetime(2025, 12, 31, 23, 0, tzinfo=UTC), UTC)


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="naive"):
        there_and_back(database, at=datetime(2026, 1, 1))


def test_a_word_that_is_no_member_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="not a valid JobStatus"):
        there_and_back(database, status="SOMETHING")
