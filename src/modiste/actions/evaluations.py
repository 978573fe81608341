"""Evaluations: what people do with suites and their runs. What workers write is in `eval_runs.py`.

Each subject of a suite becomes a run of its own, in the name of the key that asked. Everything that
can be told beforehand is told before anything is queued: the suite, the files, every row, every
model, the first prompt. A run that was cancelled or failed keeps the answers it has and is resumed;
one that ended is graded anew without asking its model again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from modiste.actions import files, keys, models, moderation
from modiste.actions.keys import require
from modiste.actions.pages import page_of
from modiste.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidInput,
    ModisteError,
    NotFound,
)
from modiste.evaluate.items import SAMPLES, Sample
from modiste.evaluate.metric import METRICS
from modiste.evaluate.planned import planned
from modiste.evaluate.record import RECORD, Run
from modiste.evaluate.suite import Suite
from modiste.prepare.checked import checked
from modiste.store.database import Database, Tx
from modiste.store.eval_tables import EvalRunRow
from modiste.store.tables import Phase
from modiste.types import Actor, EvalCounts, EvalRun, EvalStatus, File, Page, Scope

SAMPLES_NAME = "samples"
"""What the answers of an earlier run are called among a run's files."""


class Files(NamedTuple):
    """What a run reads."""

    blobs: dict[str, tuple[str, str]]
    """File id to name and sha256."""
    private: bool
    """One of them is for a key alone."""


def create(
    database: Database,
    actor: Actor,
    *,
    spec: Mapping[str, Any],
    subjects: Sequence[str] | None = None,
) -> tuple[EvalRun, ...]:
    """Queue one run per subject; the answer is durable.

    Args:
        spec: a suite whose files are ids of uploaded ones.
        subjects: those of the suite to run; None is all of them.

    Raises:
        InvalidInput: everything wrong with the suite, its models or its files in one message; of
            rows each line in `problems`.
        Forbidden: its scorers run code, which admins alone may bring.
    """
    require(actor, Scope.INFER)
    suite = checked(Suite, dict(spec), file="suite")
    _refuse_code(actor, suite)
    _refuse_other_policies(actor, suite)
    chosen = _chosen(suite, subjects)
    with database.transaction(write=False) as tx:
        found = _checked(tx, actor, suite, chosen)
    for subject in chosen:
        _planned(database, suite, subject, found.blobs)
    group = str(uuid.uuid4())
    with database.transaction() as tx:
        rows = [_new_row(tx, actor, suite, spec, subject, found, group=group) for subject in chosen]
        for row in rows:
            row.model_id = models.resolve(tx, actor, row.model).id
        tx.session.add_all(rows)
        tx.session.flush()
        return tuple(row.noun() for row in rows)


def rescore(
    database: Database, actor: Actor, run_id: str, *, spec: Mapping[str, Any] | None = None
) -> EvalRun:
    """Grade the answers of an ended run anew; a run of its own, with nothing generated.

    Args:
        spec: the suite whose scorers and primary metric to use; None uses those of the run, as they
            are now.

    Raises:
        InvalidInput: the suite is wrong, or its scorers cannot grade this dataset.
        BadRequest: the run lacks answers.
    """
    require(actor, Scope.INFER)
    with database.transaction(write=False) as tx:
        row = _row(tx, actor, run_id)
        _refuse_stranger(row, actor)
        old, blobs, private = row.noun(), row.blobs, row.private
        if "imported" in old.spec:
            raise BadRequest(
                f"Run {old.id} was imported with its scores; only what graded it grades it anew.",
                code="run_imported",
            )
        wanted = dict(old.spec)
        if spec is not None:
            wanted |= {"scorers": spec.get("scorers"), "primary": spec.get("primary")}
        suite = checked(Suite, wanted, file="suite")
        _refuse_code(actor, suite)
        if wrong := list(_unknown(tx, actor, _asked_by_scorers(suite))):
            raise InvalidInput(" ".join(each.text for each in wrong), param=wrong[0].param)
    if old.samples_sha256 is None or not old.status.final or old.counts.done < old.counts.total:
        raise BadRequest(
            f"Run {old.id} is {old.status} with {old.counts.done:,} of {old.counts.total:,} "
            "answers; all of them are graded anew, or none: `modiste eval resume` asks the rest.",
            code="run_unfinished",
        )
    _planned(database, suite, old.subject, blobs)
    found = Files({**blobs, SAMPLES_NAME: (f"{SAMPLES_NAME}.jsonl", old.samples_sha256)}, private)
    with database.transaction() as tx:
        new = _new_row(tx, actor, suite, wanted, old.subject, found, group=old.group)
        new.model_id, new.source = old.model_id, old.id
        tx.session.add(new)
        tx.session.flush()
        return new.noun()


def list_(
    tx: Tx,
    actor: Actor,
    *,
    page: int = 0,
    page_size: int = 100,
    suite: str | None = None,
    model: str | None = None,
    group: str | None = None,
    status: Sequence[EvalStatus] | None = None,
) -> Page:
    """Newest first."""
    require(actor, Scope.INFER)
    query = sa.select(EvalRunRow).where(EvalRunRow.org == actor.org)
    for column, wanted in (
        (EvalRunRow.suite, suite),
        (EvalRunRow.model, model),
        (EvalRunRow.run_group, group),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if status is not None:
        query = query.where(EvalRunRow.status.in_(list(status)))
    return page_of(
        tx,
        query,
        EvalRunRow,
        page=page,
        page_size=page_size,
        after=None,
        limit=None,
        order="desc",
    )


def get(tx: Tx, actor: Actor, run_id: str) -> EvalRun:
    """By id, or by enough of its beginning."""
    require(actor, Scope.INFER)
    return _row(tx, actor, run_id).noun()


def cancel(tx: Tx, actor: Actor, run_id: str) -> EvalRun:
    """Stop a run; its answers so far are kept, and `resume` goes on with them.

    Raises:
        BadRequest: it ended in another way; code `run_finished`.
    """
    require(actor, Scope.INFER)
    row = _row(tx, actor, run_id)
    tx.lock(row)
    if row.status in (EvalStatus.CANCELLED, EvalStatus.CANCELLATION_REQUESTED):
        return row.noun()
    if row.status.final:
        raise BadRequest(f"Run {row.id} is {row.status} already.", code="run_finished")
    row.cancel_requested_at, row.status = tx.now(), EvalStatus.CANCELLATION_REQUESTED
    if row.started_at is None and row.lease_worker is None:
        row.status, row.finished_at, row.queued_for = EvalStatus.CANCELLED, tx.now(), None
    tx.session.flush()
    return row.noun()


def resume(tx: Tx, actor: Actor, run_id: str) -> EvalRun:
    """Ask what a run has no answer to: after a cancellation, a failure, or answers that failed.

    A run whose key was revoked goes on in the name of the key that resumes it. One that grades
    stored answers grades those that it has not graded; it never asks for an answer.

    Raises:
        Conflict: it has not ended.
        BadRequest: every item has its answer.
        Forbidden: it reads a file that is for another key alone.
    """
    require(actor, Scope.INFER)
    row = _row(tx, actor, run_id)
    tx.lock(row)
    _refuse_stranger(row, actor)
    if not row.status.final:
        raise Conflict(f"Run {row.id} is {row.status}; there is nothing to resume.", param="run")
    asks = row.source is None
    if row.status is EvalStatus.SUCCESS and not (asks and row.counts.failed):
        raise BadRequest(f"Every item of run {row.id} has its answer.", code="run_finished")
    if "imported" in row.spec:
        raise BadRequest(
            f"Run {row.id} was imported with its answers; only what asked for them asks again.",
            code="run_imported",
        )
    if asks and row.samples_sha256 is not None:
        earlier = (f"{SAMPLES_NAME}.jsonl", row.samples_sha256)
        row.blobs = {**row.blobs, SAMPLES_NAME: earlier}
    if not keys.scopes_now(tx, row.created_by):
        row.created_by = actor.key_id
    row.status, row.error, row.attempts = EvalStatus.QUEUED, None, 0
    row.cancel_requested_at = row.finished_at = row.started_at = None
    row.record, row.metrics = None, ()
    row.queued_for, row.queued_at = Phase.EVALUATE, tx.now()
    tx.session.flush()
    return row.noun()


def delete(tx: Tx, actor: Actor, run_id: str) -> EvalRun:
    """Forget an ended run; its samples go with the next sweep.

    Raises:
        Conflict: it has not ended.
    """
    require(actor, Scope.INFER)
    row = _row(tx, actor, run_id)
    if not row.status.final:
        raise Conflict(f"Run {row.id} is {row.status}: cancel it first.", param="run")
    gone = row.noun()
    tx.session.delete(row)
    return gone


def samples(tx: Tx, actor: Actor, run_id: str) -> Iterator[bytes]:
    """All samples of an ended run as JSON lines, in pieces.

    Raises:
        NotFound: it kept none; code `no_samples`.
    """
    require(actor, Scope.INFER)
    row = _row(tx, actor, run_id)
    if row.samples_sha256 is None:
        raise NotFound(
            f"Run {row.id} is {row.status} and has no samples.", param="run", code="no_samples"
        )
    _refuse_stranger(row, actor)
    return tx.blobs.open(row.samples_sha256)


def load(tx: Tx, actor: Actor, run_id: str) -> Run:
    """A run that ended well, with everything that comparisons and gates read.

    Raises:
        NotFound: there is none.
        BadRequest: it did not end well.
    """
    row = _row(tx, actor, run_id)
    _refuse_stranger(row, actor)
    run = row.noun()
    if run.status is not EvalStatus.SUCCESS or run.record is None or run.samples_sha256 is None:
        raise BadRequest(
            f"Run {run.id} is {run.status}; only a run that ended with SUCCESS says anything.",
            param="run",
            code="run_unfinished",
        )
    return Run(
        RECORD.validate_python(run.record),
        samples_in(b"".join(tx.blobs.open(run.samples_sha256))),
        METRICS.validate_python(run.metrics),
    )


def samples_in(lines: bytes) -> list[Sample]:
    return [SAMPLES.validate_json(line) for line in lines.splitlines() if line.strip()]


class _Wrong(NamedTuple):
    param: str
    text: str


def _refuse_code(actor: Actor, suite: Suite) -> None:
    """A child without network and files is a fence, no prison."""
    coded = [spec.name for spec in suite.scorers if spec.runs_code]
    if coded and not actor.may(Scope.ADMIN):
        raise Forbidden(
            f"scorer {', '.join(coded)} runs Python code on the server, and this key has no scope "
            "`admin`; ask an admin to run the suite, or grade without code (docs/scorers.md)",
            param="scorers",
            code="code_forbidden",
        )


def _refuse_other_policies(actor: Actor, suite: Suite) -> None:
    """A run would be a way around what is attached."""
    named = [name for name, subject in suite.models.items() if subject.policies is not None]
    if named and not actor.may(Scope.ADMIN):
        raise Forbidden(
            f"models.{named[0]}.policies holds in place of the policies that are attached, and this"
            " key has no scope `admin`; leave it out, or ask an admin to run the suite",
            param=f"models.{named[0]}.policies",
        )


def _chosen(suite: Suite, subjects: Sequence[str] | None) -> tuple[str, ...]:
    if subjects is None:
        return tuple(suite.models)
    if strange := [name for name in subjects if name not in suite.models]:
        raise InvalidInput(
            f"the suite's models are {', '.join(suite.models)}, and {strange[0]!r} is none of them",
            param="models",
        )
    return tuple(dict.fromkeys(subjects))


def _checked(tx: Tx, actor: Actor, suite: Suite, subjects: Sequence[str]) -> Files:
    """The files; raises with all that is wrong with them and with the models."""
    wrong: list[_Wrong] = []
    looked = [_file(tx, actor, param, id_, wrong) for param, id_ in _files(suite, subjects)]
    found = [file for file in looked if file is not None]
    asked = [(f"models.{name}", suite.models[name].model) for name in subjects]
    if suite.attacker is not None:
        asked.append(("attacker.model", suite.attacker.model))
    wrong += _unknown(tx, actor, [*asked, *_asked_by_scorers(suite)])
    for name in subjects:
        wrong += _no_policies(tx, actor, f"models.{name}.policies", suite.models[name].policies)
    if wrong:
        raise InvalidInput(" ".join(each.text for each in wrong), param=wrong[0].param)
    return Files(
        {file.id: (file.filename, file.sha256) for file in found},
        private=any(file.visibility == "user" for file in found),
    )


def _asked_by_scorers(suite: Suite) -> list[tuple[str, str]]:
    return [(f"scorer {spec.name}", name) for spec in suite.scorers for name in spec.models]


def _unknown(tx: Tx, actor: Actor, asked: Iterable[tuple[str, str]]) -> Iterator[_Wrong]:
    """Of models by where they are named, those that do not answer."""
    for where, name in asked:
        try:
            models.resolve(tx, actor, name)
        except ModisteError as error:
            yield _Wrong(where, f"{where}: {error.message}")


def _no_policies(tx: Tx, actor: Actor, where: str, names: Sequence[str] | None) -> Iterator[_Wrong]:
    for name in names or ():
        try:
            moderation.named(tx, actor, name)
        except NotFound as error:
            yield _Wrong(where, f"{where}: {error.message}")


def _planned(
    database: Database, suite: Suite, subject: str, blobs: Mapping[str, tuple[str, str]]
) -> None:
    """
    Raises:
        InvalidInput: the suite cannot be asked of this subject, and why.
    """
    cache = database.settings.cache_dir / "blobs"
    local = {id_: database.blobs.local(sha256, cache) for id_, (_, sha256) in blobs.items()}
    planned(suite, subject, local, {id_: name for id_, (name, _) in blobs.items()})


def _files(suite: Suite, subjects: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    yield "dataset.file_id", suite.dataset.file_id
    for name in subjects:
        if (shots := suite.models[name].shots) is not None:
            yield f"models.{name}.shots.file_id", shots.file_id


def _file(
    tx: Tx, actor: Actor, param: str, file_id: str | None, wrong: list[_Wrong]
) -> File | None:
    if file_id is None:
        said = f"{param} is missing: the server reads uploaded files, no paths."
        wrong.append(_Wrong(param, said))
        return None
    file = files.named(tx, actor, file_id)
    if file is None:
        wrong.append(_Wrong(param, f"{param}: no file {file_id!r:.60} is here."))
    return file


def _new_row(
    tx: Tx,
    actor: Actor,
    suite: Suite,
    spec: Mapping[str, Any],
    subject: str,
    files_: Files,
    *,
    group: str | None,
) -> EvalRunRow:
    return EvalRunRow(
        id=str(uuid.uuid4()),
        org=actor.org,
        created_by=actor.key_id,
        status=EvalStatus.QUEUED,
        suite=suite.name,
        subject=subject,
        model=suite.models[subject].model,
        spec=dict(spec),
        blobs=files_.blobs,
        private=files_.private,
        run_group=group,
        counts=EvalCounts(),
        metrics=(),
        created_at=tx.now(),
        queued_for=Phase.EVALUATE,
        queued_at=tx.now(),
    )


def _refuse_stranger(row: EvalRunRow, actor: Actor) -> None:
    if row.private and row.created_by != actor.key_id and not actor.may(Scope.ADMIN):
        raise Forbidden(
            f"Run {row.id} read what is for another key alone, and so are its samples.",
            code="samples_private",
        )


def _row(tx: Tx, actor: Actor, run_id: str) -> EvalRunRow:
    query = sa.select(EvalRunRow).where(EvalRunRow.org == actor.org)
    row = tx.session.scalar(query.where(EvalRunRow.id == run_id))
    if row is None and len(run_id) >= 6:
        begun = query.where(EvalRunRow.id.startswith(run_id, autoescape=True)).limit(2)
        found = tx.session.scalars(begun).all()
        if len(found) > 1:
            raise NotFound(f"Several runs begin with {run_id}; give more of the id.", param="run")
        row = found[0] if found else None
    if row is None:
        raise NotFound(
            f"No run {run_id!r:.60}; `modiste eval list` shows what is there.", param="run"
        )
    return row
