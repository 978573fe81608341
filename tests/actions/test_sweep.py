"""The sweep takes what nothing refers to, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from modiste.actions import files, jobs, sweep
from modiste.settings import Settings
from modiste.store.data_tables import DatasetRow, DatasetVersionRow
from modiste.store.database import Database
from modiste.store.tables import FileRow, JobRow
from modiste.types import Actor, DatasetFile, File, Job, VersionStatus

Upload = Callable[..., File]
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


def blobs_on_disk(settings: Settings) -> list[Path]:
    return [path for path in (settings.home / "blobs").rglob("*") if path.is_file()]


def age(settings: Settings) -> None:
    for path in blobs_on_disk(settings):
        os.utime(path, (0, 0))


def test_the_sweep_removes_what_nobody_needs(
    database: Database, settings: Settings, admin: Actor, upload: Upload
) -> None:
    kept = upload(CHAT, filename="kept")
    twin, alone = upload(CHAT, filename="twin"), upload(CHAT, CHAT, filename="alone")
    with database.transaction() as tx:
        files.delete(tx, admin, twin.id)
        files.delete(tx, admin, alone.id)
    assert sweep.sweep(database) == 0, "young bytes are spared"
    age(settings)
    assert sweep.sweep(database) == 4, "bytes, rows and report of one file, the report of the other"
    with database.transaction() as tx:
        assert b"".join(files.open_content(tx, admin, kept.id).chunks)
        assert files.report(tx, admin, kept.id)


def test_the_sweep_clears_what_killed_uploads_left(
    database: Database, settings: Settings, upload: Upload
) -> None:
    upload(CHAT)
    left = settings.cache_dir / "uploads" / "half"
    left.write_bytes(b"x")
    sweep.sweep(database)
    assert left.exists(), "it may still be arriving"
    os.utime(left, (0, 0))
    sweep.sweep(database)
    assert not left.exists()


def test_the_sweep_spares_files_of_unfinished_jobs(
    database: Database, settings: Settings, admin: Actor, create: Callable[..., Job]
) -> None:
    job = create()
    file_id = job.training_files[0].file_id
    with database.transaction() as tx:
        files.delete(tx, admin, file_id)
    age(settings)
    assert sweep.sweep(database) == 1, "the report of a file that nobody can ask for"
    assert len(blobs_on_disk(settings)) == 2
    with database.transaction() as tx:
        jobs.cancel(tx, admin, job.id)
        assert tx.session.query(JobRow).one().finished_at is not None
    assert sweep.sweep(database) == 2


def test_what_a_job_was_told_stays_with_it_and_its_rows_stay_with_a_model(
    database: Database, settings: Settings, admin: Actor, create: Callable[..., Job]
) -> None:
    job = create()
    with database.transaction() as tx:
        row = tx.session.query(JobRow).one()
        row.report_sha256 = database.blobs.put_bytes(b"report").sha256
        row.preview_sha256 = database.blobs.put_bytes(b"preview").sha256
        row.worst_sha256 = database.blobs.put_bytes(b"worst").sha256
        row.fine_tuned_model, row.finished_at = "ft:gone", tx.now()
        files.delete(tx, admin, job.training_files[0].file_id)
        told = {row.report_sha256, row.preview_sha256, row.worst_sha256}
        kept = {*told, *(row.rows or {}).values()}
    age(settings)
    sweep.sweep(database)
    assert {path.name for path in blobs_on_disk(settings)} == kept


def test_a_dataset_keeps_its_files(
    database: Database, settings: Settings, admin: Actor, upload: Upload
) -> None:
    made, source = upload(CHAT), upload(CHAT, CHAT)
    of = {"org": admin.org, "name": "sql", "created_by": "k"}
    with database.transaction() as tx:
        now = tx.now()
        tx.session.add(DatasetRow(id="d", created_at=now, **of))
        tx.session.flush()
        tx.session.add(
            DatasetVersionRow(
                **{**of, "id": "v", "dataset_id": "d", "version": 1, "code_version": "0"},
                **{"created_at": now, "queued_at": now, "stages": ()},
                status=VersionStatus.BUILDING,
                inputs=(DatasetFile("train", source.id, "a", source.sha256),),
                files=(DatasetFile("train", made.id, "b", made.sha256),),
            )
        )
        tx.session.query(FileRow).update({"deleted_at": now})
    age(settings)
    sweep.sweep(database)
    assert {path.name for path in blobs_on_disk(settings)} == {made.sha256, source.sha256}
    with database.transaction() as tx:
        tx.session.query(DatasetVersionRow).one().finished_at = tx.now()
    sweep.sweep(database)
    assert {path.name for path in blobs_on_disk(settings)} == {made.sha256}
    with database.transaction() as tx:
        tx.session.query(DatasetRow).one().deleted_at = tx.now()
    sweep.sweep(database)
    assert blobs_on_disk(settings) == []
