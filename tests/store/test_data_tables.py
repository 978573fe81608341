"""What the tables of datasets and forgotten rows refuse, whoever writes to them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import sqlalchemy as sa

from modiste.store.data_tables import DatasetRow, DatasetVersionRow, ForgottenRow
from modiste.store.database import Database, Tx
from modiste.types import Dataset, DatasetFile, DatasetVersion, Forgotten, VersionStatus


def dataset(tx: Tx, id: str, name: str, **changes: Any) -> DatasetRow:
    values = {"org": "0" * 8, "created_at": tx.now(), "created_by": "key"}
    return DatasetRow(id=id, name=name, **(values | changes))


def version(tx: Tx, number: int, **changes: Any) -> DatasetVersionRow:
    values = {
        **{"id": f"v{number}", "dataset_id": "d", "org": "0" * 8, "name": "sql"},
        **{"version": number, "status": VersionStatus.READY, "code_version": "0.1"},
        **{"inputs": (), "stages": (), "files": (), "created_by": "key"},
        **{"created_at": tx.now(), "queued_at": tx.now()},
    }
    return DatasetVersionRow(**(values | changes))


def test_two_living_datasets_cannot_have_the_same_name(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(dataset(tx, "1", "sql", deleted_at=tx.now()))
        tx.session.add(dataset(tx, "2", "sql"))
        tx.session.add(dataset(tx, "3", "sql", org="1" * 8))
        tx.session.flush()
        tx.session.add(dataset(tx, "4", "sql"))
        with pytest.raises(sa.exc.IntegrityError):
            tx.session.flush()
        tx.session.rollback()


def test_a_dataset_has_every_version_once(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.add(dataset(tx, "d", "sql"))
        tx.session.flush()
        tx.session.add_all([version(tx, 1), version(tx, 2)])
        tx.session.flush()
        tx.session.add(version(tx, 2, id="again"))
        with pytest.raises(sa.exc.IntegrityError):
            tx.session.flush()
        tx.session.rollback()


def test_a_version_comes_back_as_it_was_written(database: Database) -> None:
    file = DatasetFile("train", "id", "a.jsonl", "f" * 64, 3)
    stages = ({"dedup": {"near": True}},)
    with database.transaction() as tx:
        tx.session.add(dataset(tx, "d", "sql"))
        tx.session.flush()
        tx.session.add(version(tx, 7, inputs=(file,), files=(file,), stages=stages))
    with database.transaction(write=False) as tx:
        found = tx.session.scalars(sa.select(DatasetVersionRow)).one().noun()
    assert (found.label, found.files, found.inputs) == ("sql@7", (file,), (file,))
    assert found.stages == stages


@pytest.mark.parametrize(
    ("noun", "row", "elsewhere"),
    [
        (Dataset, DatasetRow, {"versions"}),
        (DatasetVersion, DatasetVersionRow, {"dataset"}),
        (Forgotten, ForgottenRow, set()),
    ],
)
def test_every_field_of_a_noun_is_kept(noun: type, row: type, elsewhere: set[str]) -> None:
    names = {field.name for field in fields(noun)}
    assert names - elsewhere <= set(row.__table__.columns.keys())  # type: ignore[attr-defined]
