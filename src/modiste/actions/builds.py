"""Builds: what a worker reads and writes about a version of a dataset that it makes, fenced.

As with jobs, every write names the claim it is made under, and a worker whose lease went to
somebody else gets LeaseLost and changes nothing. Files are stored before the version names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from modiste.actions.runs import Wish
from modiste.store import queue
from modiste.store.data_tables import DatasetRow
from modiste.store.database import Tx
from modiste.store.queue import Claim
from modiste.types import Actor, DatasetFile, DatasetVersion, JobError, Scope, VersionStatus


@dataclass(frozen=True)
class Build:
    """All that a worker needs to know about the version it holds."""

    claim: Claim
    version: DatasetVersion
    dataset_id: str
    owner: Actor
    """In whose name the files are stored."""
    given_up: bool
    """Too many claims without an end: say so instead of trying again."""


def taken(tx: Tx, claim: Claim) -> Build:
    """The version behind a claim that was just made."""
    row = queue.held_version(tx, claim)
    row.status = VersionStatus.BUILDING
    return Build(
        claim=claim,
        version=row.noun(),
        dataset_id=row.dataset_id,
        owner=Actor(row.created_by, row.org, frozenset({Scope.DATA})),
        given_up=row.attempts > queue.MAX_ATTEMPTS,
    )


def wish(tx: Tx, claim: Claim) -> Wish:
    """Raises LeaseLost when the version is no longer ours."""
    return Wish.CANCEL if queue.held_version(tx, claim).cancel_requested else Wish.GO_ON


def record_built(
    tx: Tx,
    claim: Claim,
    *,
    files: Sequence[DatasetFile],
    manifest_sha256: str,
    report_sha256: str,
) -> DatasetVersion:
    """The version is READY, unless it was cancelled in the last moment."""
    row = queue.held_version(tx, claim)
    if row.cancel_requested:
        return record_cancelled(tx, claim)
    row.files, row.manifest_sha256, row.report_sha256 = tuple(files), manifest_sha256, report_sha256
    return _ended(tx, claim, VersionStatus.READY)


def record_failed(tx: Tx, claim: Claim, error: JobError) -> DatasetVersion:
    row = queue.held_version(tx, claim)
    if row.cancel_requested:
        return record_cancelled(tx, claim)
    row.error = error
    return _ended(tx, claim, VersionStatus.FAILED)


def record_cancelled(tx: Tx, claim: Claim) -> DatasetVersion:
    return _ended(tx, claim, VersionStatus.CANCELLED)


def living_datasets(tx: Tx) -> set[str]:
    """Ids of datasets that were not deleted: what a worker keeps of the others may go."""
    query = sa.select(DatasetRow.id).where(DatasetRow.deleted_at.is_(None))
    return set(tx.session.scalars(query))


def _ended(tx: Tx, claim: Claim, status: VersionStatus) -> DatasetVersion:
    row = queue.held_version(tx, claim)
    queue.drop(row)
    row.status, row.finished_at, row.queued_for = status, tx.now(), None
    tx.session.flush()
    return row.noun()
