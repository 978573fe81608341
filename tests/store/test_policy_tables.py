"""Rows of policies come back as the nouns they were made of."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from modiste.store.database import Database
from modiste.store.policy_tables import AttachmentRow, PolicyRow
from modiste.types import Guarded


def row(tx, version: int) -> PolicyRow:  # type: ignore[no-untyped-def]
    return PolicyRow(
        org="0" * 8, name="p", version=version, policy={"a": [1, "é"]}, comment=None,
        created_at=tx.now(), created_by="key_1",
    )  # fmt: skip


def test_a_policy_and_its_attachment_come_back(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(row(tx, 1))
        tx.session.add(
            AttachmentRow(
                org="0" * 8, guarded=Guarded.KEY, target="key_2", policy="p", attached=True,
                set_at=tx.now(), set_by="key_1",
            )
        )  # fmt: skip
    with database.transaction(write=False) as tx:
        found = tx.session.scalars(sa.select(PolicyRow)).one().noun()
        assert (found.version, found.policy) == (1, {"a": [1, "é"]})
        bound = tx.session.scalars(sa.select(AttachmentRow)).one().noun()
        assert (bound.guarded, bound.target) == (Guarded.KEY, "key_2")


def test_no_version_is_there_twice(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add_all([row(tx, 1), row(tx, 1)])
        with pytest.raises(sa.exc.IntegrityError):
            tx.session.flush()
        tx.session.rollback()
