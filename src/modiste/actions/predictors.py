"""Predictors: models as SQL knows them, in versions; each names a model of ours and its manner.

The version that answers to the bare name is one column of the model's row, so a switch is seen
whole or not at all. Numbers count up and are never used again. What `USING` said is kept without
secrets. How versions come to be by tuning is in `predictor_tunings`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from modiste.actions import models, projects
from modiste.actions.data_sources import SECRET
from modiste.actions.keys import require
from modiste.errors import BadRequest, Conflict, InvalidInput, ModisteError, NotFound
from modiste.store.database import Tx
from modiste.store.sql_tables import SqlModelRow, SqlVersionRow
from modiste.types import Actor, ModelKind, PredictorStatus, PredictorVersion, Scope

CONTROL = frozenset({"engine", "tag", "join_learn_process", "active"})
"""Of USING; they never reach the model."""
ASKING = frozenset(
    {
        "prompt_template",
        "question_column",
        "context_column",
        "prompt",
        "user_column",
        "assistant_column",
        "answer_column",
        "mode",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
    }
)
TUNING = frozenset(
    {
        "n_epochs",
        "epochs",
        "training_steps",
        "learning_rate",
        "learning_rate_multiplier",
        "batch_size",
        "lora_rank",
        "seed",
        "context_length",
    }
)
KNOWN = CONTROL | ASKING | TUNING | {"model_name", "api_base", "max_concurrency"}
MODES = ("default", "conversational", "conversational-full")
FORMS = ("prompt_template", "question_column", "prompt")


class Named(NamedTuple):
    """A model as a statement names it."""

    project: str
    name: str
    version: int | None = None

    def __str__(self) -> str:
        return ".".join(str(part) for part in self if part is not None)


class Made(NamedTuple):
    version: PredictorVersion
    notes: tuple[str, ...]
    """What was done in another way than the statement says it."""


def create(
    tx: Tx,
    actor: Actor,
    named: Named,
    *,
    predict: str,
    options: Mapping[str, Any],
    query: str | None = None,
    source: str | None = None,
) -> Made:
    """Version 1 of a new model; a base that is not here makes it one in status `error`.

    Raises:
        InvalidInput: options that cannot be. Conflict: the model is there.
    """
    require(actor, Scope.TRAIN)
    projects.known(tx, actor, named.project)
    kept, notes = cleaned(options)
    check(kept, whole=True)
    engine = projects.engine_of(tx, actor, str(options.get("engine") or "modiste"))
    tx.alone("sql names")
    if _model(tx, actor, named) is not None:
        raise Conflict(f"Model already exists: {named}")
    row = SqlModelRow(
        org=actor.org,
        project=named.project,
        name=named.name,
        engine=engine.name,
        next_version=2,
        active_version=1,
    )
    tx.session.add(row)
    tx.session.flush()
    version = SqlVersionRow(
        model_seq=row.seq,
        version=1,
        status=PredictorStatus.COMPLETE if query is None else PredictorStatus.GENERATING,
        predict=predict,
        options=kept,
        query=query,
        source=source,
        tag=_text(options.get("tag")),
        activate=True,
        training={},
        actor=actor,
        created_at=tx.now(),
        finished_at=tx.now() if query is None else None,
    )
    notes += answered_by(tx, actor, version)
    tx.session.add(version)
    tx.session.flush()
    return Made(version.noun(row), tuple(notes))


def cleaned(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What is kept of USING, and what is said about the rest.

    Raises:
        InvalidInput: keys that mean nothing here.
    """
    kept: dict[str, Any] = {}
    notes = []
    wrong = []
    for key, value in options.items():
        if key not in KNOWN and SECRET.search(key):
            notes.append(f"{key} is not needed here and was not kept.")
        elif key not in KNOWN:
            near = difflib.get_close_matches(key, sorted(KNOWN), n=1)
            wrong.append(f"{key} is unknown" + (f", did you mean {near[0]}?" if near else ""))
        elif key in ("api_base", "max_concurrency"):
            notes.append(f"{key} is ignored: this server answers itself.")
        elif key not in CONTROL:
            kept[key] = value
    if wrong:
        raise InvalidInput(f"USING: {'; '.join(wrong)}.", param="using")
    return kept, notes


def check(options: Mapping[str, Any], *, whole: bool) -> None:
    """
    Args:
        whole: these are all options there will be.

    Raises:
        InvalidInput: a mode that is none, or nothing that says what is asked.
    """
    mode = options.get("mode", "default")
    if mode not in MODES:
        raise InvalidInput(
            f"Invalid operation mode. Please use one of {list(MODES)}; found {mode!r}.",
            param="mode",
        )
    if whole and not any(options.get(form) for form in FORMS):
        raise InvalidInput(
            "USING says nothing of what is asked; one of prompt_template, question_column or "
            "prompt is needed.",
            param="prompt_template",
        )


def get(tx: Tx, actor: Actor, named: Named) -> PredictorVersion:
    """The version named, or the active one.

    Raises:
        NotFound: no such model or version.
    """
    model, version = row_of(tx, actor, named)
    return version.noun(model)


def find(tx: Tx, actor: Actor, named: Named) -> PredictorVersion | None:
    """As `get`, None where the model is not there at all."""
    return None if _model(tx, actor, named) is None else get(tx, actor, named)


def list_(tx: Tx, actor: Actor, project: str | None = None) -> tuple[PredictorVersion, ...]:
    """Every version of every model, by project, name and number."""
    query = (
        sa.select(SqlModelRow, SqlVersionRow)
        .join(SqlVersionRow, SqlVersionRow.model_seq == SqlModelRow.seq)
        .where(SqlModelRow.org == actor.org)
        .order_by(SqlModelRow.project, SqlModelRow.name, SqlVersionRow.version)
    )
    if project is not None:
        query = query.where(SqlModelRow.project == project)
    return tuple(version.noun(model) for model, version in tx.session.execute(query))


def activate(tx: Tx, actor: Actor, named: Named) -> PredictorVersion:
    """From now on this version answers to the bare name.

    Raises:
        NotFound: no such version. BadRequest: it is not complete.
    """
    require(actor, Scope.TRAIN)
    model, version = row_of(tx, actor, named)
    tx.lock(model)
    if version.status is not PredictorStatus.COMPLETE:
        raise BadRequest(
            f"{named} is in status {version.status}, and only a complete version can be active."
        )
    model.active_version = version.version
    return version.noun(model)


def drop(tx: Tx, actor: Actor, named: Named) -> None:
    """One version, or the model with all of them. Models of ours that they name stay.

    Raises:
        NotFound: not there. Conflict: the active version, or one whose tuning runs.
    """
    require(actor, Scope.TRAIN)
    model, version = row_of(tx, actor, named)
    tx.lock(model)
    if named.version is not None and model.active_version == version.version:
        raise Conflict(f"Can't remove active version: {named}")
    going = [version] if named.version is not None else _versions(tx, model)
    running = [v.version for v in going if v.status is PredictorStatus.GENERATING]
    if running:
        raise Conflict(
            f"{named.project}.{named.name}.{running[0]} is being made; "
            f"CANCEL FINETUNE {named.name}.{running[0]} first."
        )
    for each in going:
        tx.session.delete(each)
    if named.version is None:
        tx.session.flush()
        tx.session.delete(model)


def row_of(tx: Tx, actor: Actor, named: Named) -> tuple[SqlModelRow, SqlVersionRow]:
    """Rows of the version that `named` means. Raises NotFound."""
    model = _model(tx, actor, named)
    if model is None:
        raise NotFound(f"Model does not exist: {named.project}.{named.name}")
    number = model.active_version if named.version is None else named.version
    found = tx.session.scalar(
        sa.select(SqlVersionRow).where(
            SqlVersionRow.model_seq == model.seq, SqlVersionRow.version == number
        )
    )
    if found is None:
        raise NotFound(f"Model {named.name} with version {number} is not found in {named.project}")
    return model, found


def _model(tx: Tx, actor: Actor, named: Named) -> SqlModelRow | None:
    return tx.session.scalar(
        sa.select(SqlModelRow).where(
            SqlModelRow.org == actor.org,
            SqlModelRow.project == named.project,
            SqlModelRow.name == named.name,
        )
    )


def _versions(tx: Tx, model: SqlModelRow) -> list[SqlVersionRow]:
    return list(
        tx.session.scalars(sa.select(SqlVersionRow).where(SqlVersionRow.model_seq == model.seq))
    )


def answered_by(tx: Tx, actor: Actor, row: SqlVersionRow) -> list[str]:
    """Name the model that its options ask for; a note where it is another than they say."""
    name = str(row.options.get("model_name") or models.SHIPPED)
    try:
        found = models.resolve(tx, actor, name)
    except ModisteError as error:
        there = [model.id for model in models.list_(tx, actor, include_archived=False)]
        row.status, row.finished_at = PredictorStatus.ERROR, tx.now()
        row.error = f"Invalid model name. Please use one of {there}. {error.message}"
        return [row.error]
    row.model = found.id
    if found.kind is not ModelKind.FINE_TUNED and found.id != name:
        return [f"model_name {name!r} is answered by {found.id} (base_aliases of the settings)."]
    return []


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
