"""How versions of predictors come to be by tuning: a row at once, a job once its rows are read.

`create` makes a model so, `begin` goes on from a version, `again` begins anew from the base.

Whoever reads the rows holds the version by saying so again and again (`alive`); one whose reader
fell silent is taken by another. Job and version are tied in the transaction that makes the job.
`settle` tells a version what became of its job; activation is part of that and never goes back
from a higher version to a lower one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from modiste.actions import jobs, predictors
from modiste.actions.keys import require
from modiste.actions.predictors import Named, cleaned
from modiste.errors import BadRequest, InvalidInput, NotFound
from modiste.store.database import Tx
from modiste.store.sql_tables import SqlModelRow, SqlVersionRow
from modiste.store.tables import JobRow, ModelRow
from modiste.types import (
    Actor,
    Hyperparameters,
    JobStatus,
    PredictorStatus,
    PredictorVersion,
    Scope,
    TrainingFile,
)

SILENT_S = 30.0
"""A reader that said nothing for so long is gone."""
LEARNING_RATE = Hyperparameters().learning_rate


class Tuning(NamedTuple):
    """A version whose rows are to be read, by whoever took it."""

    seq: int
    actor: Actor
    version: PredictorVersion


def begin(
    tx: Tx,
    actor: Actor,
    named: Named,
    *,
    query: str,
    source: str | None,
    options: Mapping[str, Any],
) -> Tuning:
    """The next version, in status `generating`, taken by the caller.

    Raises:
        NotFound: no such model. BadRequest: its version is not complete.
        InvalidInput: options that cannot be.
    """
    require(actor, Scope.TRAIN)
    require(actor, Scope.DATA)
    try:
        model, base = predictors.row_of(tx, actor, named)
    except NotFound as error:
        if named.version is not None:
            raise
        raise NotFound(f"Predictor not found: name='{named.name}' id='-'") from error
    tx.lock(model)
    if base.status is not PredictorStatus.COMPLETE or base.model is None:
        raise BadRequest(
            f"Can't find suitable base model: {named.name}.{base.version} is in status "
            f"{base.status}."
        )
    kept, _ = cleaned(options)
    merged = {**base.options, **kept}
    predictors.check(merged, whole=True)
    hyperparameters(merged)
    row = SqlVersionRow(
        model_seq=model.seq,
        version=model.next_version,
        status=PredictorStatus.GENERATING,
        predict=base.predict,
        options=merged,
        query=query,
        source=source,
        base_version=base.version,
        model=base.model,
        tag=None if options.get("tag") is None else str(options["tag"]),
        activate=_activates(options),
        training={"phase": "preparing data"},
        actor=actor,
        created_at=tx.now(),
        alive_at=tx.now(),
    )
    model.next_version += 1
    tx.session.add(row)
    tx.session.flush()
    return Tuning(row.seq, actor, row.noun(model))


def create(
    tx: Tx,
    actor: Actor,
    named: Named,
    *,
    predict: str,
    query: str,
    source: str | None,
    options: Mapping[str, Any],
) -> tuple[Tuning | None, predictors.Made]:
    """A new model whose first version is tuned on rows; None where its base is not here.

    Raises:
        InvalidInput: options that cannot be. Conflict: the model is there.
    """
    require(actor, Scope.DATA)
    hyperparameters(cleaned(options)[0])
    made = predictors.create(
        tx, actor, named, predict=predict, options=options, query=query, source=source
    )
    model, row = predictors.row_of(tx, actor, named)
    if row.status is not PredictorStatus.GENERATING:
        return None, made
    row.training, row.alive_at = {"phase": "preparing data"}, tx.now()
    return Tuning(row.seq, actor, row.noun(model)), made


def again(
    tx: Tx,
    actor: Actor,
    named: Named,
    *,
    predict: str | None,
    query: str | None,
    source: str | None,
    options: Mapping[str, Any],
) -> tuple[Tuning | None, predictors.Made]:
    """The next version, made from the base that the options name, not from what was tuned since.

    Rows are those of `query`, or of the version named; a model that never had any is made anew
    without, and is complete at once. What USING does not say stays as it was.

    Raises:
        NotFound: no such model or version. InvalidInput: options that cannot be.
        BadRequest: the version is being made.
    """
    require(actor, Scope.TRAIN)
    model, before = predictors.row_of(tx, actor, named)
    tx.lock(model)
    if before.status is PredictorStatus.GENERATING:
        raise BadRequest(f"{named.name}.{before.version} is being made; wait or cancel it first.")
    if query is None:
        query, source = before.query, before.source
    if query is not None:
        require(actor, Scope.DATA)
    kept, notes = cleaned(options)
    merged = {**before.options, **kept}
    came = before.training.get("system") is not None and "prompt" not in kept
    asks = merged.get("prompt_template") or merged.get("question_column")
    if query is not None and came and asks and merged.get("prompt") == before.training["system"]:
        del merged["prompt"]  # It came of the rows, and will come of these again.
    predictors.check(merged, whole=True)
    hyperparameters(merged)
    row = SqlVersionRow(
        model_seq=model.seq,
        version=model.next_version,
        status=PredictorStatus.COMPLETE if query is None else PredictorStatus.GENERATING,
        predict=predict or before.predict,
        options=merged,
        query=query,
        source=source,
        tag=None if options.get("tag") is None else str(options["tag"]),
        activate=_activates(options),
        training={} if query is None else {"phase": "preparing data"},
        actor=actor,
        created_at=tx.now(),
        finished_at=tx.now() if query is None else None,
        alive_at=None if query is None else tx.now(),
    )
    notes += predictors.answered_by(tx, actor, row)
    model.next_version += 1
    tx.session.add(row)
    tx.session.flush()
    if row.status is PredictorStatus.COMPLETE and row.activate:
        model.active_version = row.version
    made = predictors.Made(row.noun(model), tuple(notes))
    if row.status is not PredictorStatus.GENERATING:
        row.alive_at = None
        return None, made
    return Tuning(row.seq, actor, row.noun(model)), made


def abandoned(tx: Tx) -> tuple[Tuning, ...]:
    """Versions whose reader fell silent, taken by the caller."""
    limit = tx.now() - timedelta(seconds=SILENT_S)
    tx.alone("sql tunings")
    found = tx.session.execute(
        sa.select(SqlModelRow, SqlVersionRow)
        .join(SqlVersionRow, SqlVersionRow.model_seq == SqlModelRow.seq)
        .where(
            SqlVersionRow.status == PredictorStatus.GENERATING,
            SqlVersionRow.job_id.is_(None),
            SqlVersionRow.alive_at < limit,
        )
    ).all()
    for _, version in found:
        version.alive_at = tx.now()
    return tuple(Tuning(v.seq, v.actor, v.noun(model)) for model, v in found)


def release(tx: Tx, seq: int) -> None:
    """Whoever holds it ends: another may take it at once."""
    row = tx.session.get(SqlVersionRow, seq)
    if row is not None and row.job_id is None and row.status is PredictorStatus.GENERATING:
        row.alive_at = tx.now() - timedelta(seconds=2 * SILENT_S)


def alive(tx: Tx, seq: int) -> bool:
    """Say that the reader lives; False where nobody waits for it any more."""
    row = tx.session.get(SqlVersionRow, seq)
    if row is None or row.status is not PredictorStatus.GENERATING:
        return False
    row.alive_at = tx.now()
    return True


def submit(
    tx: Tx,
    tuning: Tuning,
    *,
    training_file: str,
    validation_file: str | None,
    told: Mapping[str, Any],
) -> None:
    """Make the job that tunes the version; nothing where it was cancelled meanwhile.

    Raises:
        InvalidInput: the job cannot be.
    """
    row = tx.session.get(SqlVersionRow, tuning.seq)
    if row is None or row.status is not PredictorStatus.GENERATING or row.job_id is not None:
        return
    tx.lock(row)
    version = tuning.version
    job = jobs.create(
        tx,
        tuning.actor,
        model=str(row.model),
        training_files=[TrainingFile(training_file)],
        validation_files=[] if validation_file is None else [validation_file],
        hyperparameters=hyperparameters(row.options),
        suffix=f"{version.name[:50]}-v{version.version}",
        auto_start=True,
        metadata={"sql_model": version.label},
    )
    row.job_id, row.alive_at = job.id, None
    row.training = {**row.training, **told, "phase": "queued"}
    if "system" in told and not row.options.get("prompt"):
        # What all training chats began with belongs before every question, too.
        row.options = {**row.options, "prompt": told["system"]}


def fail(tx: Tx, seq: int, message: str) -> None:
    """The rows cannot be trained on; the active version stays what it is."""
    row = tx.session.get(SqlVersionRow, seq)
    if row is not None and row.status is PredictorStatus.GENERATING:
        row.status, row.error = PredictorStatus.ERROR, message
        row.finished_at, row.alive_at = tx.now(), None


def unsettled(tx: Tx) -> bool:
    """Whether a version's job has ended and the version does not know it."""
    return tx.session.execute(_ended()).first() is not None


def settle(tx: Tx) -> None:
    """Tell versions what became of their jobs."""
    for model, version, job in tx.session.execute(_ended()).all():
        tx.lock(model)
        tx.lock(version)
        if version.status is not PredictorStatus.GENERATING:
            continue
        made = tx.session.scalar(sa.select(ModelRow).where(ModelRow.job_id == job.id))
        version.finished_at = job.finished_at or tx.now()
        if job.status is JobStatus.SUCCESS and made is not None:
            version.status, version.model = PredictorStatus.COMPLETE, made.id
            if version.activate and (model.active_version or 0) < version.version:
                model.active_version = version.version
        else:
            version.status = PredictorStatus.ERROR
            said = None if job.error is None else job.error.message
            version.error = said or f"Job {job.id} is {job.status}."


def cancel(tx: Tx, actor: Actor, named: Named) -> PredictorVersion:
    """Stop a tuning, whether its rows are still read or its job runs.

    Raises:
        NotFound: no such version. BadRequest: it is not being made.
    """
    require(actor, Scope.TRAIN)
    if named.version is None:
        raise BadRequest(f"Say which version: CANCEL FINETUNE {named.name}.N")
    model, row = predictors.row_of(tx, actor, named)
    tx.lock(row)
    if row.status is not PredictorStatus.GENERATING:
        raise BadRequest(f"{named} is in status {row.status}; there is nothing to cancel.")
    if row.job_id is not None:
        jobs.cancel(tx, actor, row.job_id)
    row.status, row.error = PredictorStatus.ERROR, "Cancelled."
    row.finished_at, row.alive_at = tx.now(), None
    return row.noun(model)


def hyperparameters(options: Mapping[str, Any]) -> Hyperparameters:
    """Those among the options, under the names of jobs.

    Raises:
        InvalidInput: one that is no number.
    """
    wrong = [
        f"{key} is {options[key]!r}, expected a number"
        for key in sorted(predictors.TUNING)
        if options.get(key) is not None and not _is_number(options[key])
    ]
    if wrong:
        raise InvalidInput(f"USING: {'; '.join(wrong)}.", param="using")
    wished: dict[str, Any] = {
        "epochs": _first(options, "n_epochs", "epochs"),
        "training_steps": _whole(options.get("training_steps")),
        "batch_size": _whole(options.get("batch_size")),
        "lora_rank": _whole(options.get("lora_rank")),
        "seed": _whole(options.get("seed")),
        "seq_len": _whole(options.get("context_length")),
        "learning_rate": options.get("learning_rate"),
    }
    multiplier = options.get("learning_rate_multiplier")
    if multiplier is not None:
        wished["learning_rate"] = LEARNING_RATE * float(multiplier)
    return Hyperparameters(**{key: value for key, value in wished.items() if value is not None})


def _ended() -> sa.Select[SqlModelRow, SqlVersionRow, JobRow]:
    return (
        sa.select(SqlModelRow, SqlVersionRow, JobRow)
        .join(SqlVersionRow, SqlVersionRow.model_seq == SqlModelRow.seq)
        .join(JobRow, JobRow.id == SqlVersionRow.job_id)
        .where(SqlVersionRow.status == PredictorStatus.GENERATING, JobRow.finished_at.is_not(None))
    )


def _activates(options: Mapping[str, Any]) -> bool:
    return options.get("active") not in (0, False, "0", "false")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _first(options: Mapping[str, Any], *names: str) -> Any:
    return next((options[name] for name in names if options.get(name) is not None), None)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
