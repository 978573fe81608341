"""Datasets: named files in numbered versions, each of which knows what it was made from.

A version without stages is its files. One with stages is built by a worker (`builds.py`) from
uploaded files alone: neither paths of the server nor addresses are open to stages asked for here. A
version that is READY never changes, and its files cannot be deleted before it. `name@3` names a
version, `name` the newest that is READY.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from modiste import __version__
from modiste.actions import curation, files
from modiste.actions.curation import AGAINST, MAIN, SOURCES
from modiste.actions.keys import require
from modiste.errors import Conflict, InvalidInput, NotFound
from modiste.prepare.formats.read import read
from modiste.prepare.records import row_id
from modiste.store.data_tables import DatasetRow, DatasetVersionRow
from modiste.store.database import Tx
from modiste.store.tables import FileRow, Phase
from modiste.types import Actor, Dataset, DatasetFile, DatasetVersion, Purpose, Scope, VersionStatus

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
MAX_FILES = 100
MAX_DESCRIPTION = 2000
BUILT = "repository"
"""Source of files that a pipeline made here."""


class PartFile(NamedTuple):
    file_id: str
    part: str = MAIN


class DatasetRowOut(NamedTuple):
    id: str
    line: int
    value: Any


def create(
    tx: Tx,
    actor: Actor,
    *,
    name: str,
    part_files: Sequence[PartFile],
    stages: Sequence[Any] = (),
    description: str | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> DatasetVersion:
    """A new dataset with its first version.

    Args:
        part_files: uploaded files, and which part of the dataset each is.
        stages: curation that makes the dataset out of them, as in a pipeline's YAML.
        manifest: `dataset.json` of a pipeline that ran elsewhere and made these files.

    Raises:
        InvalidInput: everything wrong with files and stages, in one message.
        Conflict: there is a dataset of this name.
    """
    require(actor, Scope.DATA)
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"name is {name!r:.120}; a dataset's name has 1 to 100 letters, digits and . _ -",
            param="name",
        )
    if description is not None and len(description) > MAX_DESCRIPTION:
        raise InvalidInput(
            f"description has {len(description)} characters; {MAX_DESCRIPTION} fit.",
            param="description",
        )
    tx.alone(f"dataset {actor.org} {name}")
    if _find(tx, actor, name) is not None:
        raise Conflict(
            f"There is a dataset {name!r}; add a version to it, or take another name.",
            param="name",
            code="dataset_exists",
        )
    row = DatasetRow(
        id=str(uuid.uuid4()),
        org=actor.org,
        name=name,
        description=description,
        created_at=tx.now(),
        created_by=actor.key_id,
    )
    tx.session.add(row)
    tx.session.flush()
    return _add(tx, actor, row, part_files, stages, manifest)


def add_version(
    tx: Tx,
    actor: Actor,
    name: str,
    *,
    part_files: Sequence[PartFile],
    stages: Sequence[Any] = (),
    manifest: Mapping[str, Any] | None = None,
) -> DatasetVersion:
    """The next version of a dataset; arguments and refusals as for `create`."""
    require(actor, Scope.DATA)
    tx.alone(f"dataset {actor.org} {name}")
    return _add(tx, actor, _row(tx, actor, name), part_files, stages, manifest)


def list_(tx: Tx, actor: Actor) -> tuple[Dataset, ...]:
    """Newest first, each with its versions."""
    require(actor, Scope.DATA)
    query = sa.select(DatasetRow).where(
        DatasetRow.org == actor.org, DatasetRow.deleted_at.is_(None)
    )
    found = tx.session.scalars(query.order_by(DatasetRow.seq.desc()))
    return tuple(_whole(tx, row) for row in found)


def get(tx: Tx, actor: Actor, name: str) -> Dataset:
    require(actor, Scope.DATA)
    return _whole(tx, _row(tx, actor, name))


def version(tx: Tx, actor: Actor, name: str, number: int) -> DatasetVersion:
    require(actor, Scope.DATA)
    return _version_row(tx, _row(tx, actor, name), number).noun()


def ready(tx: Tx, actor: Actor, label: str) -> DatasetVersion:
    """What `name@3` or `name` stands for, if it can be used.

    Raises:
        InvalidInput: there is no such version, or it is not READY.
    """
    name, at, number = label.partition("@")
    row = _find(tx, actor, name)
    if row is None:
        raise InvalidInput(
            f"There is no dataset {name!r}; `modiste data datasets list` shows them.",
            param="dataset",
            code="dataset_not_found",
        )
    versions = [v for v in _versions(tx, row) if v.status is VersionStatus.READY]
    if at and number.isdecimal():
        versions = [v for v in versions if v.version == int(number)]
    if not versions or (at and not number.isdecimal()):
        states = ", ".join(f"{v.label} is {v.status}" for v in _versions(tx, row))
        raise InvalidInput(
            f"dataset is {label!r}, which is not ready: {states}.",
            param="dataset",
            code="dataset_not_ready",
        )
    return versions[0]


def rows(
    tx: Tx,
    actor: Actor,
    name: str,
    number: int,
    *,
    part: str = MAIN,
    after: int = 0,
    limit: int = 100,
) -> list[DatasetRowOut]:
    """Rows of one part as they stand in its files, behind the first `after`."""
    found = version(tx, actor, name, number)
    wanted = [file for file in found.files if file.part == part]
    if not wanted:
        parts = ", ".join(dict.fromkeys(file.part for file in found.files)) or "none yet"
        raise NotFound(f"{found.label} has no part {part!r}; it has {parts}.", param="part")
    taken: list[DatasetRowOut] = []
    for file in wanted:
        if file.n_rows is not None and after >= file.n_rows:
            after -= file.n_rows
            continue
        path = tx.blobs.local(file.sha256, tx.settings.cache_dir / "blobs")
        for one in islice(read(path, filename=file.filename).rows, after, None):
            if len(taken) == limit:
                return taken
            taken.append(DatasetRowOut(row_id(one.value), one.line, one.value))
        after = 0
    return taken


def manifest(tx: Tx, actor: Actor, name: str, number: int) -> bytes:
    """`dataset.json`: inputs, stages with their settings, outputs, versions of code."""
    return _told(tx, version(tx, actor, name, number), "manifest")


def report(tx: Tx, actor: Actor, name: str, number: int) -> bytes:
    """What each stage said, as JSON."""
    return _told(tx, version(tx, actor, name, number), "report")


def delete(tx: Tx, actor: Actor, name: str) -> Dataset:
    """The dataset goes with all versions, and with the files that were built for it.

    Files that people uploaded stay; a version that is being built is cancelled.
    """
    require(actor, Scope.DATA)
    row = _row(tx, actor, name)
    gone = _whole(tx, row)
    row.deleted_at = tx.now()
    for each in _version_rows(tx, row):
        each.cancel_requested = each.finished_at is None
    tx.session.flush()
    for file_id in {file.file_id for v in gone.versions for file in v.files}:
        file = tx.session.scalar(sa.select(FileRow).where(FileRow.id == file_id))
        if file is not None and file.source == BUILT and not files.held_by(tx, file):
            file.deleted_at = tx.now()
    return gone


def _add(
    tx: Tx,
    actor: Actor,
    dataset: DatasetRow,
    part_files: Sequence[PartFile],
    stages: Sequence[Any],
    manifest: Mapping[str, Any] | None,
) -> DatasetVersion:
    inputs = _checked_files(tx, actor, part_files)
    if manifest is not None and stages:
        raise InvalidInput(
            "manifest says how the files were made; stages would make others of them. Give one.",
            param="stages",
        )
    wanted = curation.checked(tx, actor, stages)
    number = max((v.version for v in _versions(tx, dataset)), default=0) + 1
    row = DatasetVersionRow(
        id=str(uuid.uuid4()),
        dataset_id=dataset.id,
        org=actor.org,
        name=dataset.name,
        version=number,
        status=VersionStatus.QUEUED,
        inputs=(*inputs, *wanted.reads),
        stages=tuple(wanted.stages),
        files=(),
        code_version=__version__,
        created_at=tx.now(),
        created_by=actor.key_id,
        queued_at=tx.now(),
    )
    if manifest is not None:
        row.stages, row.code_version = curation.of_manifest(manifest, inputs)
        row.manifest_sha256 = tx.blobs.put_bytes(orjson.dumps(dict(manifest))).sha256
    if wanted.stages:
        row.queued_for = Phase.CURATE
    else:
        row.files, row.status, row.finished_at = inputs, VersionStatus.READY, tx.now()
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def _checked_files(tx: Tx, actor: Actor, part_files: Sequence[PartFile]) -> tuple[DatasetFile, ...]:
    """Raises InvalidInput with everything that is wrong."""
    wrong = [] if part_files else ["a dataset needs at least one file"]
    if len(part_files) > MAX_FILES:
        wrong.append(f"a version has at most {MAX_FILES} files, not {len(part_files)}")
        part_files = ()
    ids = [file.file_id for file in part_files]
    wrong += [f"{twice} is named twice" for twice in sorted({i for i in ids if ids.count(i) > 1})]
    found = []
    for file_id, part in part_files:
        file = files.named(tx, actor, file_id)
        if not PART.fullmatch(part) or part == AGAINST:
            wrong.append(f"part {part!r:.60} is not a name of letters, digits and . _ -")
        if file is None:
            wrong.append(f"there is no file {file_id!r:.60}")
        elif file.purpose is not Purpose.FINE_TUNE and part != SOURCES:
            wrong.append(f"{file.filename} is for {file.purpose}, not for fine-tune")
        elif file.expires_at is not None:
            wrong.append(f"{file.filename} expires, a dataset stays; upload it without an expiry")
        else:
            found.append(DatasetFile(part, file.id, file.filename, file.sha256, file.n_lines))
    if wrong:
        raise InvalidInput("; ".join(wrong), param="files")
    return tuple(found)


def _told(tx: Tx, found: DatasetVersion, what: str) -> bytes:
    sha256 = found.manifest_sha256 if what == "manifest" else found.report_sha256
    if sha256 is None:
        why = (
            "no stages made it" if found.status is VersionStatus.READY else f"it is {found.status}"
        )
        raise NotFound(f"{found.label} has no {what}: {why}.", code=f"no_{what}")
    return b"".join(tx.blobs.open(sha256))


def _find(tx: Tx, actor: Actor, name: str) -> DatasetRow | None:
    return tx.session.scalar(
        sa.select(DatasetRow).where(
            DatasetRow.org == actor.org,
            DatasetRow.name == name,
            DatasetRow.deleted_at.is_(None),
        )
    )


def _row(tx: Tx, actor: Actor, name: str) -> DatasetRow:
    row = _find(tx, actor, name)
    if row is None:
        raise NotFound(
            f"No dataset {name!r}; `modiste data datasets list` shows what is there.", param="name"
        )
    return row


def _version_rows(tx: Tx, dataset: DatasetRow) -> list[DatasetVersionRow]:
    """Newest first."""
    query = sa.select(DatasetVersionRow).where(DatasetVersionRow.dataset_id == dataset.id)
    return list(tx.session.scalars(query.order_by(DatasetVersionRow.version.desc())))


def _versions(tx: Tx, dataset: DatasetRow) -> list[DatasetVersion]:
    return [row.noun() for row in _version_rows(tx, dataset)]


def _version_row(tx: Tx, dataset: DatasetRow, number: int) -> DatasetVersionRow:
    for row in _version_rows(tx, dataset):
        if row.version == number:
            return row
    raise NotFound(f"{dataset.name} has no version {number}.", param="version")


def _whole(tx: Tx, row: DatasetRow) -> Dataset:
    return row.noun(_versions(tx, row))
