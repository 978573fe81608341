"""The sweep: bytes that nothing refers to any more go, be it a file, an unfinished job or batch, an
evaluation, a model or a dataset.

What a job was told about its data (report, preview) stays with the job; the index of its rows stays
while there is, or was, a model to trace.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from modiste.actions import batch_runs, eval_runs, files
from modiste.store.blobs import sweep_folder
from modiste.store.data_tables import DatasetRow, DatasetVersionRow
from modiste.store.database import Database, Tx
from modiste.store.tables import FileRow, JobRow, ModelRow
from modiste.types import JobStatus

BLOB_GRACE = timedelta(hours=1)
"""Blobs younger than this are never swept: the row that needs them may be on its way."""
UPLOAD_GRACE = timedelta(days=1)
"""What an upload that was killed left behind; a living one is not that old."""


def sweep(database: Database, *, grace: timedelta = BLOB_GRACE) -> int:
    """Remove bytes that nothing refers to. Returns how many blobs went."""
    with database.transaction() as tx:
        living = files.living(tx).subquery()
        tx.session.execute(
            sa.update(FileRow)
            .where(FileRow.deleted_at.is_(None), FileRow.id.not_in(sa.select(living.c.id)))
            .values(deleted_at=tx.now())
        )
        in_use = _of_files(tx) | _of_jobs(tx) | _of_datasets(tx)
        in_use.update(batch_runs.blobs_in_use(tx))
        in_use.update(eval_runs.blobs_in_use(tx))
        adapters = [a for a in tx.session.scalars(sa.select(ModelRow.adapter)) if a]
        in_use.update(sha256 for adapter in adapters for sha256 in adapter.files.values())
    cache, versions = database.settings.cache_dir, {adapter.version for adapter in adapters}
    sweep_folder(database.blobs.scratch, keep=set(), older_than=UPLOAD_GRACE)
    sweep_folder(cache / "blobs", keep=in_use, older_than=grace)
    sweep_folder(cache / "adapters", keep=versions, older_than=grace)
    return database.blobs.sweep(in_use, older_than=grace)


def _of_files(tx: Tx) -> set[str]:
    kept = (FileRow.sha256, FileRow.report_sha256, FileRow.rows_sha256)
    found = tx.session.execute(sa.select(*kept).where(FileRow.deleted_at.is_(None)))
    return {sha256 for row in found for sha256 in row if sha256}


def _of_jobs(tx: Tx) -> set[str]:
    """Files of unfinished jobs, adapters that may still be wanted, what was told about any job."""
    in_use: set[str] = set()
    for job in tx.session.scalars(sa.select(JobRow)):
        unfinished = job.finished_at is None
        told = (job.report_sha256, job.preview_sha256, job.worst_sha256)
        in_use.update(sha256 for sha256 in told if sha256)
        in_use.update(job.blobs.values() if unfinished else ())
        if job.fine_tuned_model or unfinished:
            in_use.update((job.rows or {}).values())
        kept = not job.fine_tuned_model and (unfinished or job.status is JobStatus.FAILED)
        in_use.update(job.adapter.files.values() if job.adapter and kept else ())
    return in_use


def _of_datasets(tx: Tx) -> set[str]:
    """Versions keep their files alive, and while they are built, those they are made from."""
    in_use: set[str] = set()
    living = sa.select(DatasetRow.id).where(DatasetRow.deleted_at.is_(None))
    query = sa.select(DatasetVersionRow).where(DatasetVersionRow.dataset_id.in_(living))
    for version in tx.session.scalars(query):
        kept = (version.manifest_sha256, version.report_sha256)
        in_use.update(sha256 for sha256 in kept if sha256)
        in_use.update(file.sha256 for file in version.files)
        in_use.update(file.sha256 for file in version.inputs if version.finished_at is None)
    return in_use
