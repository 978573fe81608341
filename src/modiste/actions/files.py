"""Files: uploads kept as blobs, with one row each.

Bytes go to disk while they arrive, are checked there, and only then become a blob and a row; a
refused upload leaves nothing behind. The same content under the same name and purpose is the same
file. A file is seen by its organisation, or with visibility `user` only by the key that sent it
(and by admins). Expired files are gone for everybody; `sweep.py` then removes their bytes.
"""

from __future__ import annotations

import mimetypes
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from modiste.actions import file_checks, signed_urls
from modiste.actions.file_checks import Examined, Refused
from modiste.actions.keys import require
from modiste.actions.pages import page_of
from modiste.errors import Conflict, InvalidInput, NotFound
from modiste.store.blobs import Upload
from modiste.store.data_tables import DatasetRow, DatasetVersionRow
from modiste.store.database import Database, Tx
from modiste.store.tables import FileRow
from modiste.types import Actor, File, Page, Purpose, Scope

MAX_NAME = 500
MAX_URL_HOURS = 24 * 7


class Content(NamedTuple):
    file: File
    chunks: Iterator[bytes]
    """Raises Corrupt before the last chunk if the bytes are not those that were stored."""


Examine = Callable[[Path, str], Examined | Refused]
"""Looks into a training file; see `file_checks.examine`."""


def add(
    database: Database,
    actor: Actor,
    *,
    filename: str,
    chunks: Iterable[bytes],
    purpose: Purpose | str = Purpose.FINE_TUNE,
    expires_in_s: float | None = None,
    visibility: str = "workspace",
    source: str = "upload",
    examine: Examine = file_checks.examine,
) -> File:
    """Store an upload; the answer is durable. Reads `chunks` to the end or to the limit.

    Args:
        source: `upload`, or `repository` for what was made here from other files.
        examine: where the file is looked into; by default in this thread.

    Raises:
        InvalidInput: rows that cannot be read (all in `problems`), bad name, purpose or expiry.
        TooLarge: more than `settings.max_upload_bytes`.
        StorageFull: no room; nothing was stored.
    """
    require(actor, Scope.DATA)
    purpose = _checked(filename, purpose, expires_in_s, visibility)
    limit = database.settings.max_upload_bytes
    with database.blobs.receive(chunks, max_bytes=limit) as upload:
        return add_received(
            database,
            actor,
            upload,
            filename=filename,
            purpose=purpose,
            expires_in_s=expires_in_s,
            visibility=visibility,
            source=source,
            examine=examine,
        )


def add_received(
    database: Database,
    actor: Actor,
    upload: Upload,
    *,
    filename: str,
    purpose: Purpose | str = Purpose.FINE_TUNE,
    expires_in_s: float | None = None,
    visibility: str = "workspace",
    source: str = "upload",
    sample_type: str | None = None,
    examine: Examine = file_checks.examine,
) -> File:
    """`add` for a door that learns only after the bytes what they are.

    Call it inside the block of `database.blobs.receive`. `sample_type` is known of what was made
    here; of an upload it is found out.
    """
    require(actor, Scope.DATA)
    purpose = _checked(filename, purpose, expires_in_s, visibility)
    found = _inspect(upload, filename, purpose, examine)
    report = found.report and database.blobs.put_bytes(found.report).sha256
    rows = found.rows and database.blobs.put_bytes(found.rows).sha256
    stored = database.blobs.keep(upload)
    owner = actor.key_id if visibility == "user" else ""
    with database.transaction() as tx:
        expires_at = None if expires_in_s is None else tx.now() + timedelta(seconds=expires_in_s)
        new = FileRow(
            id=str(uuid.uuid4()),
            org=actor.org,
            owner=owner,
            filename=filename,
            purpose=purpose,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            created_at=tx.now(),
            created_by=actor.key_id,
            sample_type=sample_type or found.sample_type,
            source=source,
            n_lines=found.n_lines,
            mimetype=found.mimetype,
            expires_at=expires_at,
            problems=(),
            format=found.format,
            report_sha256=report,
            rows_sha256=rows,
        )
        return _kept_once(tx, new).noun()


def list_(
    tx: Tx,
    actor: Actor,
    *,
    page: int = 0,
    page_size: int = 100,
    after: str | None = None,
    limit: int | None = None,
    order: str = "desc",
    sample_type: Sequence[str] = (),
    source: Sequence[str] = (),
    search: str | None = None,
    purpose: Purpose | str | None = None,
    mimetypes: Sequence[str] = (),
) -> Page:
    """Newest first. `limit`/`after` page by cursor where given, `page`/`page_size` otherwise."""
    require(actor, Scope.DATA)
    query = _visible(tx, actor)
    if sample_type:
        query = query.where(FileRow.sample_type.in_(list(sample_type)))
    if source:
        query = query.where(FileRow.source.in_(list(source)))
    if search:
        query = query.where(FileRow.filename.icontains(search, autoescape=True))
    if purpose is not None:
        if purpose not in Purpose.__members__.values():
            return Page((), 0)
        query = query.where(FileRow.purpose == Purpose(purpose))
    if mimetypes:
        query = query.where(FileRow.mimetype.in_(list(mimetypes)))
    return page_of(
        tx,
        query,
        FileRow,
        page=page,
        page_size=page_size,
        after=after,
        limit=limit,
        order=order,
    )


def get(tx: Tx, actor: Actor, file_id: str) -> File:
    require(actor, Scope.DATA)
    return _row(tx, actor, file_id).noun()


def open_content(tx: Tx, actor: Actor, file_id: str) -> Content:
    require(actor, Scope.DATA)
    file = _row(tx, actor, file_id).noun()
    return Content(file, tx.blobs.open(file.sha256))


def report(tx: Tx, actor: Actor, file_id: str) -> bytes:
    """What the checks said of a training file when it came, as JSON.

    Raises:
        NotFound: nothing was checked; code `no_report`.
    """
    file = get(tx, actor, file_id)
    if file.report_sha256 is None:
        why = (
            "it was stored by a Modiste that kept no reports; upload it again"
            if file.purpose is Purpose.FINE_TUNE
            else f"its purpose is {file.purpose.value!r}, and only training files are checked"
        )
        raise NotFound(f"There is no report of {file.filename}: {why}.", code="no_report")
    return b"".join(tx.blobs.open(file.report_sha256))


def signed_path(tx: Tx, actor: Actor, file_id: str, *, expiry_hours: float = 24) -> str:
    """A token that opens this one file without a key until it expires."""
    require(actor, Scope.DATA)
    if not 0 < expiry_hours <= MAX_URL_HOURS:
        raise InvalidInput(
            f"expiry is {expiry_hours} hours; expected more than 0 and at most {MAX_URL_HOURS}.",
            param="expiry",
        )
    row = _row(tx, actor, file_id)
    until = tx.now() + timedelta(hours=expiry_hours)
    return signed_urls.sign(tx.settings, f"{row.org}/{row.id}", until=until)


def verify_signed(tx: Tx, token: str) -> Content:
    """What a signed token opens.

    Raises:
        Forbidden: forged or expired. NotFound: the file was deleted since.
    """
    org, _, file_id = signed_urls.verify(tx.settings, token, now=tx.now()).partition("/")
    row = tx.session.scalar(living(tx).where(FileRow.org == org, FileRow.id == file_id))
    if row is None:
        raise _no_file(file_id)
    return Content(row.noun(), tx.blobs.open(row.sha256))


def delete(tx: Tx, actor: Actor, file_id: str) -> File:
    """Gone from every list at once. Jobs that already use it keep its bytes until they end.

    Raises:
        Conflict: a version of a dataset consists of it.
    """
    require(actor, Scope.DATA)
    row = _row(tx, actor, file_id)
    if holders := held_by(tx, row):
        raise Conflict(
            f"{row.filename} is part of {', '.join(holders)}; delete the dataset first.",
            param="file_id",
            code="file_in_dataset",
        )
    row.deleted_at = tx.now()
    return row.noun()


def held_by(tx: Tx, file: FileRow) -> list[str]:
    """Versions of datasets that cannot be without this file, as `name@version`."""
    living = sa.select(DatasetRow.id).where(DatasetRow.deleted_at.is_(None))
    query = sa.select(DatasetVersionRow).where(
        DatasetVersionRow.org == file.org, DatasetVersionRow.dataset_id.in_(living)
    )
    return [
        version.noun().label
        for version in tx.session.scalars(query.order_by(DatasetVersionRow.seq))
        if any(f.file_id == file.id for f in version.files)
        or (version.finished_at is None and any(f.file_id == file.id for f in version.inputs))
    ]


def named(tx: Tx, actor: Actor, file_id: str) -> File | None:
    """The file if this actor may see it; for actions that collect problems before they speak."""
    row = tx.session.scalar(_visible(tx, actor).where(FileRow.id == file_id))
    return None if row is None else row.noun()


def visible_ids(tx: Tx, actor: Actor) -> sa.Select[str]:
    """A query for the ids of all living files that this actor may see."""
    return _visible(tx, actor).with_only_columns(FileRow.id)


class _Found(NamedTuple):
    n_lines: int | None
    sample_type: str
    mimetype: str | None
    format: str | None = None
    report: bytes | None = None
    rows: bytes | None = None


def _inspect(upload: Upload, filename: str, purpose: Purpose, examine: Examine) -> _Found:
    """Look into the bytes; a training file with rows that cannot be read is refused."""
    if purpose is not Purpose.FINE_TUNE:
        n_lines = _count_lines(upload.path) if purpose is Purpose.BATCH else None
        guessed = "application/jsonl" if n_lines is not None else _guess(filename)
        return _Found(n_lines, "batch_request" if purpose is Purpose.BATCH else "instruct", guessed)
    found = examine(upload.path, filename)
    if isinstance(found, Refused):
        raise InvalidInput(_refusal(filename, found), param="file", problems=found.problems)
    return _Found(
        found.n_rows, found.sample_type, found.mimetype, found.format, found.report, found.rows
    )


def _refusal(filename: str, found: Refused) -> str:
    problems = found.problems
    shown = "; ".join(str(problem) for problem in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    advice = " A training file has one JSON object per line." if found.what == "JSONL" else ""
    return (
        f"Invalid file format. {filename!r} is not {found.what} that can be read, nothing was "
        f"stored: {shown}{more}.{advice}"
    )


def _checked(
    filename: str, purpose: Purpose | str, expires_in_s: float | None, visibility: str
) -> Purpose:
    problems = []
    if not 1 <= len(filename) <= MAX_NAME or not filename.isprintable():
        problems.append(
            ("file", f"the filename has 1 to {MAX_NAME} printable characters, not {filename!r:.80}")
        )
    if purpose not in Purpose.__members__.values():
        problems.append(
            ("purpose", f"purpose is {purpose!r}, expected one of {', '.join(Purpose)}")
        )
    if expires_in_s is not None and not 0 < expires_in_s < 1e10:
        problems.append(("expiry", f"expiry is {expires_in_s} seconds, expected more than 0"))
    if visibility not in ("workspace", "user"):
        problems.append(("visibility", f"visibility is {visibility!r}, expected workspace or user"))
    if problems:
        raise InvalidInput("; ".join(text for _, text in problems), param=problems[0][0])
    return Purpose(purpose)


def _count_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def _guess(filename: str) -> str | None:
    return mimetypes.guess_type(filename)[0]


def living(tx: Tx) -> sa.Select[FileRow]:
    """A query for files that are neither deleted nor expired."""
    return sa.select(FileRow).where(
        FileRow.deleted_at.is_(None),
        sa.or_(FileRow.expires_at.is_(None), FileRow.expires_at > tx.now()),
    )


def _visible(tx: Tx, actor: Actor) -> sa.Select[FileRow]:
    query = living(tx).where(FileRow.org == actor.org)
    if actor.may(Scope.ADMIN):
        return query
    return query.where(FileRow.owner.in_(["", actor.key_id]))


def _row(tx: Tx, actor: Actor, file_id: str) -> FileRow:
    row = tx.session.scalar(_visible(tx, actor).where(FileRow.id == file_id))
    if row is None:
        raise _no_file(file_id)
    return row


def _no_file(file_id: str) -> NotFound:
    return NotFound(
        f"No file {file_id!r}: it never existed, was deleted, has expired or belongs to another "
        "key. `modiste files list` shows what is there.",
        param="file_id",
    )


def _kept_once(tx: Tx, new: FileRow) -> FileRow:
    """`new`, or the living file that already has its content, name, purpose and owner."""
    there = _same(tx, new)
    if there is None:
        try:
            with tx.session.begin_nested():
                tx.session.add(new)
            return new
        except sa.exc.IntegrityError:  # Sent twice at the same moment (PostgreSQL).
            there = _same(tx, new)
            if there is None:
                raise
    # The longer life wins: whoever uploads again counts on the file being there.
    there.expires_at = (
        max(there.expires_at, new.expires_at) if there.expires_at and new.expires_at else None
    )
    # What it was told to hold when it first came may be the word of an older Modiste.
    there.format, there.n_lines = new.format, new.n_lines
    there.report_sha256, there.rows_sha256 = new.report_sha256, new.rows_sha256
    return there


def _same(tx: Tx, new: FileRow) -> FileRow | None:
    """The file with this content and name, locked. One whose time is over makes room."""
    row = tx.session.scalar(
        sa.select(FileRow)
        .where(
            FileRow.deleted_at.is_(None),
            FileRow.org == new.org,
            FileRow.owner == new.owner,
            FileRow.sha256 == new.sha256,
            FileRow.filename == new.filename,
            FileRow.purpose == new.purpose,
        )
        .with_for_update()
    )
    if row is not None and row.expires_at is not None and row.expires_at <= tx.now():
        row.deleted_at = tx.now()
        tx.session.flush()
        return None
    return row
