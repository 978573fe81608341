"""Batches: what people do with many requests in one file. What workers write is in `batch_runs.py`.

A batch runs in the name of the key that asked for it, with what that key may do while it runs. Its
lines are read when a worker takes it; requests that come inline are read at once, and refused with
all that is wrong. A batch nobody has begun is cancelled at once; a begun one goes through
CANCELLATION_REQUESTED, and its results so far are kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, Unpack

import orjson
import sqlalchemy as sa

from modiste.actions import files, models
from modiste.actions.batch_lines import ENDPOINTS, Found, check
from modiste.actions.job_requests import wrong_metadata
from modiste.actions.keys import require
from modiste.actions.pages import page_of
from modiste.errors import BadRequest, Conflict, InvalidInput, ModisteError, NotFound
from modiste.prepare.sources.jsonl import RawLine
from modiste.store.batch_tables import BatchLabelRow, BatchRow
from modiste.store.database import Database, Tx
from modiste.store.tables import Phase
from modiste.types import Actor, Batch, BatchCounts, BatchStatus, File, Page, Purpose, Scope

MAX_INLINE = 10_000
MAX_TIMEOUT_H = 24 * 7
INLINE_NAME = "requests"
"""What inline requests are called where a file would be named."""
CHUNK_BYTES = 1 << 20


class Wanted(TypedDict):
    """What a caller asks for, before any of it is checked."""

    endpoint: str
    dialect: Literal["mistral", "openai"]
    input_files: NotRequired[Sequence[str]]
    requests: NotRequired[Sequence[Mapping[str, Any]] | None]
    """Lines themselves, instead of files."""
    model: NotRequired[str | None]
    metadata: NotRequired[Mapping[str, str] | None]
    timeout_h: NotRequired[int]
    results_expire_s: NotRequired[int | None]


class _Wrong(NamedTuple):
    param: str
    text: str


def create(database: Database, actor: Actor, **wanted: Unpack[Wanted]) -> Batch:
    """Queue a batch; the answer is durable.

    Raises:
        InvalidInput: everything wrong with the request, in one message; of inline requests every
            line in `problems`.
    """
    require(actor, Scope.INFER)
    with database.transaction(write=False) as tx:
        inputs = _checked(tx, actor, wanted)
        model = wanted.get("model")
        requests = wanted.get("requests") or ()
        if requests:
            _check_inline(tx, actor, requests, wanted["endpoint"], model)
    blobs = [(file.filename, file.sha256) for file in inputs]
    if requests:
        text = b"".join(orjson.dumps(line) + b"\n" for line in requests)
        blobs = [(INLINE_NAME, database.blobs.put_bytes(text).sha256)]
    with database.transaction() as tx:
        row = _new_row(tx, actor, wanted, inputs, blobs)
        row.counts = BatchCounts(total=len(requests) or sum(file.n_lines or 0 for file in inputs))
        tx.session.add(row)
        tx.session.flush()
        for name, value in row.batch_metadata.items():
            tx.session.add(BatchLabelRow(batch_id=row.id, name=name, value=value))
        return row.noun()


def list_(
    tx: Tx,
    actor: Actor,
    *,
    page: int = 0,
    page_size: int = 100,
    after: str | None = None,
    limit: int | None = None,
    order: str = "desc",
    model: str | None = None,
    created_after: datetime | None = None,
    created_by_me: bool = False,
    status: Sequence[BatchStatus] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page:
    """Newest first. Pages as `files.list_` does."""
    require(actor, Scope.INFER)
    query = sa.select(BatchRow).where(BatchRow.org == actor.org)
    if model is not None:
        query = query.where(BatchRow.model == model)
    if created_after is not None:
        at = created_after if created_after.tzinfo else created_after.replace(tzinfo=UTC)
        query = query.where(BatchRow.created_at >= at)
    if created_by_me:
        query = query.where(BatchRow.created_by == actor.key_id)
    if status is not None:
        query = query.where(BatchRow.status.in_(list(status)))
    for name, value in (metadata or {}).items():
        query = query.where(
            sa.exists().where(
                BatchLabelRow.batch_id == BatchRow.id,
                BatchLabelRow.name == name,
                BatchLabelRow.value == value,
            )
        )
    return page_of(
        tx, query, BatchRow, page=page, page_size=page_size, after=after, limit=limit, order=order
    )


def get(tx: Tx, actor: Actor, batch_id: str) -> Batch:
    require(actor, Scope.INFER)
    return _row(tx, actor, batch_id).noun()


def results(tx: Tx, actor: Actor, batch_id: str) -> list[dict[str, Any]]:
    """Every result line of an ended batch, those of failed requests last.

    For batches of at most MAX_INLINE requests; larger ones are read from their files. Where the
    results are another key's alone, this is refused as the files are.

    Raises:
        BadRequest: the batch is larger.
    """
    require(actor, Scope.INFER)
    row = _row(tx, actor, batch_id)
    if row.counts.total > MAX_INLINE:
        raise BadRequest(
            f"Batch {row.id} has {row.counts.total:,} requests, and at most {MAX_INLINE:,} results "
            "are sent inline: download its output_file and error_file.",
            code="too_many_results",
            param="inline",
        )
    lines: list[dict[str, Any]] = []
    for file_id in (row.output_file, row.error_file):
        file = files.named(tx, actor, file_id) if file_id else None
        if file is not None:
            lines += map(orjson.loads, b"".join(tx.blobs.open(file.sha256)).splitlines())
    return lines


def cancel(tx: Tx, actor: Actor, batch_id: str) -> Batch:
    """Stop a batch at any moment; asking again changes nothing. Results so far are kept.

    Raises:
        BadRequest: it ended in another way; code `batch_finished`.
    """
    require(actor, Scope.INFER)
    row = _row(tx, actor, batch_id)
    tx.lock(row)
    if row.status in (BatchStatus.CANCELLED, BatchStatus.CANCELLATION_REQUESTED):
        return row.noun()
    if row.status.final:
        raise BadRequest(
            f"Batch {row.id} is {row.status} and cannot be cancelled any more.",
            code="batch_finished",
        )
    row.cancel_requested_at, row.status = tx.now(), BatchStatus.CANCELLATION_REQUESTED
    if row.started_at is None and row.lease_worker is None:
        row.status, row.finished_at, row.queued_for = BatchStatus.CANCELLED, tx.now(), None
    return row.noun()


def delete(tx: Tx, actor: Actor, batch_id: str) -> Batch:
    """Forget an ended batch; the files of its results stay.

    Raises:
        Conflict: it has not ended.
    """
    require(actor, Scope.INFER)
    row = _row(tx, actor, batch_id)
    tx.lock(row)
    if not row.status.final:
        raise Conflict(
            f"Batch {row.id} is {row.status}; cancel it first.", code="batch_not_finished"
        )
    tx.session.execute(sa.delete(BatchLabelRow).where(BatchLabelRow.batch_id == row.id))
    tx.session.delete(row)
    return row.noun()


def why_not(tx: Tx, actor: Actor, model: str) -> str | None:
    """Why a model cannot be asked; None where it can."""
    try:
        models.resolve(tx, actor, model)
    except ModisteError as error:
        return error.message
    return None


def _checked(tx: Tx, actor: Actor, wanted: Wanted) -> list[File]:
    """The input files; raises with all that is wrong."""
    wrong: list[_Wrong] = []
    endpoint, asked = wanted["endpoint"], list(wanted.get("input_files") or ())
    requests = wanted.get("requests") or ()
    if endpoint not in ENDPOINTS:
        known = ", ".join(ENDPOINTS)
        wrong.append(
            _Wrong("endpoint", f"endpoint is {endpoint!r:.100}, batches here run {known}.")
        )
    if bool(asked) == bool(requests):
        said = "one of input_files and requests is needed" + (", not both." if asked else ".")
        wrong.append(_Wrong("input_files", said))
    if len(requests) > MAX_INLINE:
        said = f"requests has {len(requests):,} lines, at most {MAX_INLINE:,} fit: upload a file."
        wrong.append(_Wrong("requests", said))
    inputs = [_input(tx, actor, file_id, wrong) for file_id in asked]
    model = wanted.get("model")
    if model is not None and (reason := why_not(tx, actor, model)):
        wrong.append(_Wrong("model", reason))
    timeout_h = wanted.get("timeout_h", 24)
    if not 1 <= timeout_h <= MAX_TIMEOUT_H:
        said = f"the time limit is {timeout_h} hours, expected 1 to {MAX_TIMEOUT_H}."
        wrong.append(_Wrong("timeout_hours", said))
    wrong += [_Wrong("metadata", text) for text in wrong_metadata(wanted.get("metadata") or {})]
    if wrong:
        raise InvalidInput(" ".join(each.text for each in wrong), param=wrong[0].param)
    return [file for file in inputs if file is not None]


def _input(tx: Tx, actor: Actor, file_id: str, wrong: list[_Wrong]) -> File | None:
    require(actor, Scope.DATA)
    file = files.named(tx, actor, file_id)
    if file is None:
        wrong.append(_Wrong("input_files", f"no file {file_id!r:.60} is here."))
    elif file.purpose is not Purpose.BATCH:
        said = (
            f"{file.filename} has purpose {file.purpose.value!r}; upload it with purpose 'batch'."
        )
        wrong.append(_Wrong("input_files", said))
    return file


def _check_inline(
    tx: Tx, actor: Actor, requests: Sequence[Mapping[str, Any]], endpoint: str, model: str | None
) -> None:
    lines = (
        Found(n, INLINE_NAME, RawLine(n + 1, orjson.dumps(line))) for n, line in enumerate(requests)
    )
    found = check(
        lines,
        endpoint=endpoint,
        strict=False,
        model=model,
        why_not=lambda name: why_not(tx, actor, name),
    )
    if found.problems:
        shown = "; ".join(str(problem) for problem in found.problems[:5])
        more = f"; and {found.n_problems - 5:,} more" if found.n_problems > 5 else ""
        raise InvalidInput(shown + more, param="requests", problems=found.problems)


def _new_row(
    tx: Tx, actor: Actor, wanted: Wanted, inputs: list[File], blobs: list[tuple[str, str]]
) -> BatchRow:
    return BatchRow(
        id=str(uuid.uuid4()),
        org=actor.org,
        created_by=actor.key_id,
        status=BatchStatus.QUEUED,
        endpoint=wanted["endpoint"],
        dialect=wanted["dialect"],
        input_files=tuple(file.id for file in inputs),
        blobs=tuple(blobs),
        private=any(file.visibility == "user" for file in inputs),
        model=wanted.get("model"),
        batch_metadata=dict(wanted.get("metadata") or {}),
        results_expire_s=wanted.get("results_expire_s"),
        counts=BatchCounts(),
        created_at=tx.now(),
        expires_at=tx.now() + timedelta(hours=wanted.get("timeout_h", 24)),
        queued_for=Phase.BATCH,
        queued_at=tx.now(),
    )


def _row(tx: Tx, actor: Actor, batch_id: str) -> BatchRow:
    row = tx.session.scalar(
        sa.select(BatchRow).where(BatchRow.id == batch_id, BatchRow.org == actor.org)
    )
    if row is None:
        raise NotFound(
            f"No batch {batch_id!r:.60}; `modiste batch list` shows what is there.", param="batch"
        )
    return row
