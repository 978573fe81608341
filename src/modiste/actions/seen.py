"""What files and jobs know about rows: their indexes, what a file was used for, what was left out.

The ground under `lineage` and `forgetting`. A row is known by its content (`row_id` of
`prepare.records`), so it is the same row in every file and every version of a dataset. Jobs keep
the index of every file they were validated with; it outlives the file. A job that went on from a
model builds on what the job of that model saw, and so on back to the base: its line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa

from modiste.actions import files
from modiste.errors import InvalidInput
from modiste.prepare.row_index import RowIndex, is_row_id
from modiste.store.data_tables import DatasetVersionRow, ForgottenRow
from modiste.store.database import Tx
from modiste.store.tables import FileRow, JobRow
from modiste.types import Actor, Scope

MAX_ROWS_AT_ONCE = 10_000
INDEXES_KEPT = 16
PRIVATE = "(private)"


class Use(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"


class Holding(NamedTuple):
    """One file that holds rows somebody asks about."""

    file_id: str
    filename: str
    lines: tuple[int, ...]
    datasets: tuple[str, ...]
    """Versions it belongs to, as `name@version`."""


class Indexes:
    """Indexes by their hash; the last few are kept, for jobs that share files."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._read = lru_cache(maxsize=INDEXES_KEPT)(self._load)

    def __call__(self, sha256: str) -> RowIndex:
        return self._read(sha256)

    def _load(self, sha256: str) -> RowIndex:
        return RowIndex.from_bytes(b"".join(self._tx.blobs.open(sha256)))

    def of_job(self, job: JobRow) -> dict[str, RowIndex]:
        return {file_id: self(sha256) for file_id, sha256 in (job.rows or {}).items()}


class Lines:
    """Jobs behind jobs; each is looked up once."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._made: dict[tuple[str, str], JobRow | None] = {}

    def __call__(self, job: JobRow) -> list[JobRow]:
        """The job, then the one whose model it went on from, and so on back to the base. Jobs stay
        when their models are deleted."""
        found = [job]
        while (parent := self._parent(found[-1])) is not None:
            found.append(parent)
        return found

    def _parent(self, job: JobRow) -> JobRow | None:
        name = job.asked.continue_from
        if name is None:
            return None
        if (job.org, name) not in self._made:
            query = sa.select(JobRow).where(JobRow.org == job.org, JobRow.fine_tuned_model == name)
            self._made[job.org, name] = self._tx.session.scalar(query)
        return self._made[job.org, name]


def jobs(tx: Tx, org: str) -> Iterator[JobRow]:
    """Jobs that know their rows or go on from others, oldest first."""
    query = sa.select(JobRow).where(JobRow.org == org).order_by(JobRow.seq)
    for job in tx.session.scalars(query):
        if job.rows is not None or job.asked.continue_from is not None:
            yield job


def files_of(job: JobRow) -> Iterator[tuple[str, Use, float]]:
    for file_id, weight in job.training_files:
        yield file_id, Use.TRAIN, weight
    for file_id in job.validation_files:
        yield file_id, Use.VALIDATION, 1.0


def trained_on(line: Iterable[JobRow], ids: Collection[str], read: Indexes) -> set[str]:
    """Which of these rows one of the jobs trains on, or would."""
    found: set[str] = set()
    for job in line:
        indexes = read.of_job(job)
        for file_id, use, _ in files_of(job):
            if use is Use.TRAIN and file_id in indexes:
                found |= set(kept(job, file_id, indexes[file_id].lines(ids)))
    return found


def kept(job: JobRow, file_id: str, found: dict[str, list[int]]) -> dict[str, tuple[int, ...]]:
    """Without the lines that the job leaves out."""
    left_out = set(job.skip_lines.get(file_id, ()))
    kept = {id: tuple(n for n in lines if n not in left_out) for id, lines in found.items()}
    return {id: lines for id, lines in kept.items() if lines}


def name_for(actor: Actor, file: FileRow | None) -> str:
    if file is None:
        return ""
    seen = file.owner in ("", actor.key_id) or actor.may(Scope.ADMIN)
    return file.filename if seen else PRIVATE


def holding(
    tx: Tx, actor: Actor, ids: Collection[str], read: Indexes, *, private: bool = False
) -> Iterator[Holding]:
    """Living files with one of these rows.

    Args:
        private: tell of files that only another key may see, too, without their names.
    """
    versions = list(
        tx.session.scalars(
            sa.select(DatasetVersionRow)
            .where(DatasetVersionRow.org == actor.org)
            .order_by(DatasetVersionRow.seq)
        )
    )
    visible = None if private else set(tx.session.scalars(files.visible_ids(tx, actor)))
    for file in _indexed_files(tx, actor.org):
        if visible is not None and file.id not in visible:
            continue
        found = read(str(file.rows_sha256)).lines(ids)
        if found:
            yield Holding(
                file.id,
                name_for(actor, file),
                tuple(sorted(line for lines in found.values() for line in lines)),
                tuple(
                    version.noun().label
                    for version in versions
                    if any(f.file_id == file.id for f in (*version.inputs, *version.files))
                ),
            )


def in_files(tx: Tx, org: str, ids: Collection[str], read: Indexes) -> Iterator[str]:
    for file in _indexed_files(tx, org):
        yield from read(str(file.rows_sha256)).lines(ids)


def _indexed_files(tx: Tx, org: str) -> Iterator[FileRow]:
    query = sa.select(FileRow).where(
        FileRow.org == org, FileRow.deleted_at.is_(None), FileRow.rows_sha256.is_not(None)
    )
    yield from tx.session.scalars(query.order_by(FileRow.seq))


def forgotten(tx: Tx, org: str) -> dict[str, str]:
    """Every forgotten row with its reason."""
    query = sa.select(ForgottenRow.row_id, ForgottenRow.reason).where(ForgottenRow.org == org)
    return {row_id: reason for row_id, reason in tx.session.execute(query)}


def check_ids(ids: Sequence[str]) -> None:
    wrong = [id for id in ids if not is_row_id(id)]
    if not ids:
        raise InvalidInput("No row is named.", param="rows")
    if len(ids) > MAX_ROWS_AT_ONCE:
        raise InvalidInput(
            f"{len(ids):,} rows at once; at most {MAX_ROWS_AT_ONCE:,} fit.", param="rows"
        )
    if wrong:
        shown = ", ".join(repr(id[:40]) for id in wrong[:5])
        raise InvalidInput(
            f"{shown}: the id of a row has 32 hex digits. `modiste data trace --file FILE --line N`"
            " tells it.",
            param="rows",
        )
