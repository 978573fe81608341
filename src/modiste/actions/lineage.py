"""Lineage: which rows a model learned from, and which models learned from a row.

Answers rest on what jobs recorded when they were validated, so they stay true after files, and even
models, are deleted. A row counts as seen when the job was to train on it, though a job of less than
one epoch may never have reached it: nobody who has to forget is helped by a maybe. A model that
went on from another also saw what that one saw; every answer names the job it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from modiste.actions import files, models, seen
from modiste.actions.keys import require
from modiste.errors import BadRequest, InvalidInput, NotFound
from modiste.store.data_tables import ForgottenRow
from modiste.store.database import Tx
from modiste.store.tables import FileRow, JobRow, ModelRow
from modiste.types import Actor, Forgotten, Model, ModelKind, Scope


class SeenFile(NamedTuple):
    """One file as one job used it."""

    job_id: str
    """The model's own job, or one further up its line."""
    file_id: str
    filename: str
    sha256: str
    use: seen.Use
    weight: float
    n_rows: int | None
    """None for jobs of a time when rows were not indexed."""
    n_left_out: int
    """Bad rows that validation let the job leave out."""
    deleted: bool


class Parent(NamedTuple):
    """What a model, or the one before it in its line, went on from."""

    model: str
    """Or a folder of the server."""
    job_id: str | None
    """None where no job here made it: what it saw is not known."""
    deleted: bool


@dataclass(frozen=True)
class Trace:
    """Where a model comes from."""

    model: Model
    job_id: str
    dataset: str | None
    code_version: str | None
    trained_at: datetime | None
    epochs: float | None
    """How often training went through the rows; below 1 some of them were never reached."""
    parents: tuple[Parent, ...]
    """Back to the base, the last one first; empty for a model that began anew."""
    files: tuple[SeenFile, ...]
    """Of its own job, then of those of its parents."""
    n_forgotten: int
    """Rows it learned from that were forgotten since."""


class SeenRow(NamedTuple):
    id: str
    file_id: str
    line: int
    use: seen.Use
    job_id: str


class SeenBy(NamedTuple):
    """One model that met a row."""

    model: str
    job_id: str
    """The job that met it: the model's own, or one further up its line."""
    use: seen.Use
    file_id: str
    lines: tuple[int, ...]
    stale: bool
    deleted: bool
    through: str | None = None
    """The model it went on from, which is the one that met the row; None where it met it itself."""


@dataclass(frozen=True)
class RowTrace:
    row_id: str
    models: tuple[SeenBy, ...]
    files: tuple[seen.Holding, ...]
    """Files that are still there."""
    forgotten: Forgotten | None


def trace(tx: Tx, actor: Actor, model_id: str) -> Trace:
    """Where a fine-tuned model comes from.

    Raises:
        NotFound: no such model. BadRequest: a base; nobody here knows what it saw.
    """
    require(actor, Scope.TRAIN)
    model, job = _tuned(tx, actor, model_id)
    read = seen.Indexes(tx)
    line = seen.Lines(tx)(job)
    gone = seen.forgotten(tx, job.org)
    return Trace(
        model=model,
        job_id=job.id,
        dataset=job.dataset,
        code_version=job.code_version,
        trained_at=job.finished_at,
        epochs=job.estimate.epochs or job.hyperparameters.epochs,
        parents=tuple(_parents(tx, line)),
        files=tuple(file for each in line for file in _seen_files(tx, actor, each, read)),
        n_forgotten=len(seen.trained_on(line, gone, read)),
    )


def rows(
    tx: Tx,
    actor: Actor,
    model_id: str,
    *,
    file_id: str,
    job_id: str | None = None,
    after_line: int = 0,
    limit: int = 1000,
) -> list[SeenRow]:
    """The rows of one of the model's files in the order of lines, those left out not among them.

    Where several jobs of the model's line used the file, the last one is meant unless `job_id` says
    which.
    """
    require(actor, Scope.TRAIN)
    line = seen.Lines(tx)(_tuned(tx, actor, model_id)[1])
    using = [job for job in line if file_id in {file for file, _, _ in seen.files_of(job)}]
    job = next((job for job in using if job_id in (None, job.id)), None)
    if job is None:
        known = ", ".join(
            f"{f} (job {each.id})" for each in line for f, _, _ in seen.files_of(each)
        )
        param = "job_id" if using else "file_id"
        raise NotFound(f"{model_id} never saw a file {file_id!r}; it saw {known}", param=param)
    use = {file: use for file, use, _ in seen.files_of(job)}[file_id]
    index = seen.Indexes(tx).of_job(job).get(file_id)
    if index is None:
        raise NotFound(
            f"The rows of {file_id} were not recorded when job {job.id} ran.", param="file_id"
        )
    left_out = set(job.skip_lines.get(file_id, ()))
    found = index.rows(after_line=after_line, limit=limit + len(left_out))
    kept = (SeenRow(r.id, file_id, r.line, use, job.id) for r in found if r.line not in left_out)
    return list(kept)[:limit]


def row(tx: Tx, actor: Actor, row_id: str) -> RowTrace:
    """Which models met a row, and which files hold it. A row nobody knows has an empty trace."""
    require(actor, Scope.DATA)
    seen.check_ids([row_id])
    read = seen.Indexes(tx)
    gone = tx.session.get(ForgottenRow, (actor.org, row_id))
    return RowTrace(
        row_id=row_id,
        models=tuple(_seen_by(tx, actor.org, row_id, read)),
        files=tuple(seen.holding(tx, actor, [row_id], read)),
        forgotten=None if gone is None else gone.noun(),
    )


def row_ids(tx: Tx, actor: Actor, file_id: str, lines: Sequence[int]) -> list[str]:
    """The rows that stand in these lines of a file.

    Raises:
        InvalidInput: a line holds no row; all such lines are named.
    """
    require(actor, Scope.DATA)
    file = files.get(tx, actor, file_id)
    if file.rows_sha256 is None:
        raise BadRequest(
            f"The rows of {file.filename} ({file_id}) are not indexed: an older Modiste stored it, "
            "or its purpose is not fine-tune. Upload it again.",
            code="rows_not_indexed",
        )
    found = seen.Indexes(tx)(file.rows_sha256).ids_at(lines)
    missing = [str(line) for line in lines if line not in found]
    if missing:
        raise InvalidInput(
            f"{file.filename} has no row that begins in line {', '.join(missing)}.", param="lines"
        )
    return [found[line] for line in lines]


def _tuned(tx: Tx, actor: Actor, model_id: str) -> tuple[Model, JobRow]:
    model = models.get(tx, actor, model_id)
    job = tx.session.scalar(sa.select(JobRow).where(JobRow.id == model.job_id))
    if model.kind is ModelKind.BASE or job is None:
        raise BadRequest(
            f"{model.id} is a base model: what it learned from is not known here.",
            param="model_id",
            code="base_model",
        )
    return model, job


def _parents(tx: Tx, line: Sequence[JobRow]) -> Iterator[Parent]:
    for job in line[1:]:
        name = job.fine_tuned_model or ""
        yield Parent(name, job.id, deleted=tx.session.get(ModelRow, name) is None)
    if (first := line[-1].asked.continue_from) is not None:
        yield Parent(first, None, deleted=False)


def _seen_files(tx: Tx, actor: Actor, job: JobRow, read: seen.Indexes) -> Iterator[SeenFile]:
    found = {
        file.id: file
        for file in tx.session.scalars(sa.select(FileRow).where(FileRow.id.in_(list(job.blobs))))
    }
    indexes = read.of_job(job)
    for file_id, use, weight in seen.files_of(job):
        file, index = found.get(file_id), indexes.get(file_id)
        left_out = job.skip_lines.get(file_id, ())
        yield SeenFile(
            job_id=job.id,
            file_id=file_id,
            filename=seen.name_for(actor, file),
            sha256=job.blobs[file_id],
            use=use,
            weight=weight,
            n_rows=None if index is None else len(index) - len(left_out),
            n_left_out=len(left_out),
            deleted=file is None or file.deleted_at is not None,
        )


def _seen_by(tx: Tx, org: str, row_id: str, read: seen.Indexes) -> Iterator[SeenBy]:
    line = seen.Lines(tx)
    for made in seen.jobs(tx, org):
        if made.fine_tuned_model is None:
            continue
        model = tx.session.get(ModelRow, made.fine_tuned_model)
        for job in line(made):
            for file_id, use, lines in _met(job, row_id, read):
                yield SeenBy(
                    model=made.fine_tuned_model,
                    job_id=job.id,
                    use=use,
                    file_id=file_id,
                    lines=lines,
                    stale=model is not None and model.stale is not None,
                    deleted=model is None,
                    through=None if job is made else job.fine_tuned_model,
                )


def _met(
    job: JobRow, row_id: str, read: seen.Indexes
) -> Iterator[tuple[str, seen.Use, tuple[int, ...]]]:
    """In which files and lines a job met a row."""
    indexes = read.of_job(job)
    for file_id, use, _ in seen.files_of(job):
        index = indexes.get(file_id)
        found = seen.kept(job, file_id, index.lines([row_id])) if index else {}
        if row_id in found:
            yield file_id, use, found[row_id]
