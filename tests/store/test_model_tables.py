"""Rows about how models are asked for become the nouns that leave the store."""

from __future__ import annotations

from datetime import UTC, date, datetime

from modiste.store.database import Database
from modiste.store.model_tables import AliasRow, SpendingRow
from modiste.types import Alias, Spent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_an_alias_and_a_days_spending_come_back_as_they_were_written(database: Database) -> None:
    day = date(2026, 3, 1)
    counts = {"n_requests": 3, "prompt_tokens": 2**40, "completion_tokens": 7, "cost_micro": 9}
    with database.transaction() as tx:
        tx.session.add(AliasRow(org="0", name="bot", model=None, set_at=NOW, set_by="key"))
        tx.session.add(SpendingRow(model="big", day=day, n_estimated=1, **counts))
    with database.transaction(write=False) as tx:
        alias = tx.session.query(AliasRow).one()
        spending = tx.session.get(SpendingRow, ("big", day))
        assert alias.noun() == Alias("bot", None, NOW, "key")
        assert spending is not None
        assert spending.noun() == Spent(n_estimated=1, **counts)
