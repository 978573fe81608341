"""What is known about rows, whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modiste.actions import seen
from modiste.errors import Corrupt
from modiste.prepare.records import row_id
from modiste.store.database import Database
from modiste.store.tables import JobRow
from modiste.types import Actor, File, Model

ROW: dict[str, Any] = {"text": "once upon a time"}


def test_a_job_trained_on_rows_of_its_training_files_but_not_on_lines_left_out(
    database: Database, upload: Callable[..., File], tune: Callable[..., Model]
) -> None:
    other = {"text": "the end"}
    train, held_out = upload(ROW, other), upload({"text": "else"}, filename="v.jsonl")
    tune(train, validation_files=[held_out.id], skip_lines={train.id: [2]})
    ids = [row_id(ROW), row_id(other), row_id({"text": "else"})]
    with database.transaction(write=False) as tx:
        (job,) = seen.jobs(tx, tx.session.query(JobRow).one().org)
        assert seen.trained_on([job], ids, seen.Indexes(tx)) == {row_id(ROW)}
        assert [use for _, use, _ in seen.files_of(job)] == [seen.Use.TRAIN, seen.Use.VALIDATION]


def test_jobs_without_known_rows_are_left_out(
    database: Database, admin: Actor, upload: Callable[..., File], tune: Callable[..., Model]
) -> None:
    tune(upload(ROW))
    with database.transaction() as tx:
        tx.session.query(JobRow).one().rows = None
    with database.transaction(write=False) as tx:
        assert list(seen.jobs(tx, admin.org)) == []


def test_a_damaged_index_is_not_believed(database: Database, upload: Callable[..., File]) -> None:
    sha256 = str(upload(ROW).rows_sha256)
    path = database.settings.home / "blobs" / sha256[:2] / sha256
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Corrupt), database.transaction(write=False) as tx:
        seen.Indexes(tx)(sha256)
