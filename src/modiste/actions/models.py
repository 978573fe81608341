"""Models: bases that are installed here, and what jobs made of them.

`resolve` is how every door turns a name into weights: an id, or an alias, set here or in the
settings (`open-mistral-7b` → what stands for it here). A name that is not installed is refused
with what to type. A fine-tuned model exists from the transaction that ends its job.

What a base's prompt format can do is read from its folder when it is installed and kept in its row
and in those of the models made of it, so that a list opens no tokenizer.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from modiste.actions import aliases, shipped_classifier
from modiste.actions.keys import organisation, require
from modiste.errors import BadRequest, Conflict, Forbidden, InvalidInput, ModisteError, NotFound
from modiste.nn import encoder_files
from modiste.nn.base import describe_base
from modiste.prepare import render, sentence_tokens
from modiste.store.database import Database, Tx
from modiste.store.tables import JobRow, ModelRow
from modiste.types import (
    Abilities,
    Actor,
    Adapter,
    CheckedForm,
    JobStatus,
    JobType,
    Model,
    ModelKind,
    Parity,
    Scope,
    Upstream,
)

log = logging.getLogger(__name__)
SHIPPED = "modiste-tiny"
CLASSIFIER = "classifier"
"""Part of a classifier's name."""
BASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
HUB_HOMES = {
    "open-mistral-7b": "mistralai/Mistral-7B-Instruct-v0.3",
    "mistral-tiny": "mistralai/Mistral-7B-Instruct-v0.3",
    "open-mistral-nemo": "mistralai/Mistral-Nemo-Instruct-2407",
    "mistral-small-latest": "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    "mistral-large-latest": "mistralai/Mistral-Large-Instruct-2411",
    "ministral-3b-latest": "mistralai/Ministral-3-3B-Instruct-2512",
    "ministral-8b-latest": "mistralai/Ministral-8B-Instruct-2410",
    "codestral-latest": "mistralai/Codestral-22B-v0.1",
    "pixtral-12b-latest": "mistralai/Pixtral-12B-2409",
}
"""Open weights behind the vendor's names, for the advice in a refusal; nothing is fetched."""


def list_(tx: Tx, actor: Actor, *, include_archived: bool = True) -> tuple[Model, ...]:
    """Bases first, then fine-tuned models, then hosted ones, newest first in each."""
    rows = tx.session.scalars(
        sa.select(ModelRow)
        .where(ModelRow.org == actor.org)
        .order_by(ModelRow.kind, ModelRow.created_at.desc(), ModelRow.id)
    )
    named = aliases.targets(tx, actor.org)
    return tuple(_named(row, named) for row in rows if include_archived or not row.archived)


def bases(tx: Tx, actor: Actor) -> tuple[Model, ...]:
    """Installed bases with their folders, which only an admin may know."""
    require(actor, Scope.ADMIN)
    return tuple(model for model in list_(tx, actor) if model.kind is ModelKind.BASE)


def get(tx: Tx, actor: Actor, model_id: str) -> Model:
    """One model by id or alias, archived ones too, and the classifier that ships."""
    if model_id == shipped_classifier.NAME:
        return shipped_classifier.model()
    return _with_aliases(tx, _find(tx, actor, model_id))


def resolve(tx: Tx, actor: Actor, name: str) -> Model:
    """The model that answers to `name`; without its aliases, which nobody needs who is answered.

    Raises:
        NotFound: nothing of that name; the message says what to type.
        BadRequest: the model is archived.
    """
    row = _find(tx, actor, name)
    if row.archived:
        raise BadRequest(
            f"Model {row.id} is archived; `modiste models unarchive {row.id}` brings it back.",
            param="model",
            code="model_archived",
        )
    return _named(row, {})


def update(
    tx: Tx, actor: Actor, model_id: str, *, name: str | None = None, description: str | None = None
) -> Model:
    """Set what is given, keep what is None. The id never changes."""
    row = _own(tx, actor, model_id)
    if name is not None and len(name) > 300:
        raise InvalidInput(f"name has {len(name)} characters; at most 300 fit.", param="name")
    if name is not None:
        row.name = name
    if description is not None:
        row.description = description
    return _with_aliases(tx, row)


def archive(tx: Tx, actor: Actor, model_id: str) -> Model:
    """The model stays in lists and stops answering, until `unarchive`."""
    row = _own(tx, actor, model_id)
    row.archived = True
    return _with_aliases(tx, row)


def unarchive(tx: Tx, actor: Actor, model_id: str) -> Model:
    row = _own(tx, actor, model_id)
    row.archived = False
    return _with_aliases(tx, row)


def delete(tx: Tx, actor: Actor, model_id: str) -> Model:
    """The row goes at once, the adapter's bytes with the next sweep. Bases are not deleted here.

    Raises:
        Conflict: an alias stands for it.
    """
    row = _own(tx, actor, model_id)
    if named := aliases.set_for(tx, row.org, row.id):
        how = f"`modiste models alias {named[0]} OTHER`, or take it away with `--remove`"
        if aliases.promoted(tx, row.org, named[0]):
            how = f"`modiste models rollback {named[0]}`, or promote another model"
        raise Conflict(
            f"{', '.join(named)} stands for {row.id}: switch it first with {how}.",
            param="model",
            code="model_in_use",
        )
    gone = _with_aliases(tx, row)
    tx.session.delete(row)
    return gone


def add_base(
    database: Database,
    actor: Actor,
    *,
    name: str,
    path: str,
    served_by: Upstream | None = None,
    context_there: int | None = None,
) -> Model:
    """Install a base under `name`: a local folder, or `hub:org/name` (downloaded now).

    Slow for a hub path, so it opens its own transaction at the end. Adding the same name again
    points it at the new folder, unless unfinished jobs or models build on the old one.

    Args:
        served_by: the vLLM server that computes it and the adapters made of it; None is the engine
            of this machine.
        context_there: the most tokens that server reads.

    Raises:
        InvalidInput: not a base we can load; everything that is missing is named.
        Conflict: the name is in use for other weights.
    """
    require(actor, Scope.ADMIN)
    if not BASE_NAME.fullmatch(name):
        raise InvalidInput(
            f"name is {name!r}; a base's name has letters, digits and . _ / - (no colon).",
            param="name",
        )
    if path.startswith("hub:"):
        from modiste.actions import hub

        folder = hub.download(path.removeprefix("hub:"), into=database.settings.home / "bases")
    else:
        folder = Path(path).expanduser().resolve()
    found = _checked_base(folder)
    if context_there is not None:
        found = found.reading_at_most(context_there)
    with database.transaction() as tx:
        row = tx.session.get(ModelRow, name, with_for_update=True)
        if row is not None and row.path != str(folder):
            _refuse_if_built_upon(tx, row)
        return _save_base(tx, name, folder, found, served_by)


def ensure_shipped(tx: Tx) -> None:
    """Register the base that comes with the package, wherever the package lies today."""
    folder = Path(__file__).resolve().parent.parent / "bases" / "tiny"
    if (folder / "model.safetensors").is_file():
        known, found = tx.session.get(ModelRow, SHIPPED), _checked_base(folder)
        if known is None or known.upstream is None:
            _save_base(tx, SHIPPED, folder, found)
        else:
            found = found.reading_at_most(known.max_context_length)
            _save_base(tx, SHIPPED, folder, found, known.upstream)


def tell_abilities(database: Database) -> None:
    """Fill in what older versions did not keep. One query where nothing is missing.

    A folder that cannot be read now is logged and tried again at the next start.
    """
    # Folders are read outside the transaction that writes: a large tokenizer takes a second.
    missing = sa.and_(ModelRow.abilities.is_(None), ModelRow.kind != ModelKind.HOSTED)
    with database.transaction(write=False) as tx:
        paths = tx.session.scalars(sa.select(ModelRow.path).where(missing).distinct()).all()
    for path in paths:
        try:
            abilities = _abilities(Path(path))
        except (ModisteError, OSError) as error:
            log.warning("cards of models on %s name no more than chats: %s", path, error)
            continue
        with database.transaction() as tx:
            tx.session.execute(
                sa.update(ModelRow)
                .where(missing, ModelRow.path == path)
                .values(abilities=abilities)
            )


def base_for_tuning(tx: Tx, actor: Actor, name: str) -> Model:
    """The base a job may build on.

    Raises:
        InvalidInput: not there, or not a base; code `model_not_available`.
    """
    try:
        row = _find(tx, actor, name)
    except NotFound as error:
        raise InvalidInput(
            f"Model not available for this type of fine-tuning (completion). {error.message}",
            param="model",
            code="model_not_available",
        ) from None
    if row.kind is not ModelKind.BASE:
        what = f"a fine-tuned model; its base is {row.base}"
        if row.kind is ModelKind.HOSTED:
            what = "answered by another server; its weights are not here"
        raise InvalidInput(
            f"Model not available for this type of fine-tuning (completion). {name} is {what}.",
            param="model",
            code="model_not_available",
        )
    if _makes_embeddings(row):
        raise InvalidInput(
            f"Model not available for this type of fine-tuning (completion). {name} makes "
            "embeddings and no text.",
            param="model",
            code="model_not_available",
        )
    return row.noun()


def register(tx: Tx, job: JobRow, *, adapter: Adapter, parity: Parity | None) -> Model:
    """The model a job made. Called in the transaction that ends the job; again is harmless."""
    row = tx.session.scalar(sa.select(ModelRow).where(ModelRow.job_id == job.id))
    if row is None:
        base = tx.session.get(ModelRow, job.base)
        if base is None:
            raise NotFound(f"The base {job.base!r} was removed while job {job.id} ran.")
        row = ModelRow(
            # One that goes on from another is named after their base, too: names do not grow.
            id=fine_tuned_name(
                f"{CLASSIFIER}:{job.model}"
                if job.job_type is JobType.CLASSIFIER
                else job.base
                if job.model.startswith("ft:")
                else job.model,
                job.org,
                tx.now(),
                job.suffix,
                job.id,
            ),
            org=job.org,
            kind=ModelKind.FINE_TUNED,
            created_at=tx.now(),
            max_context_length=base.max_context_length,
            path=base.path,
            abilities=base.abilities,
            owned_by=job.org,
            root=job.model,
            base=base.id,
            job_id=job.id,
            classifier_targets=job.classifier_targets,
        )
        tx.session.add(row)
    row.adapter, row.parity = adapter, parity
    of_base = tx.session.get(ModelRow, job.base)
    row.upstream = _upstream_of(adapter, None if of_base is None else of_base.upstream)
    tx.session.flush()
    return row.noun()


def keep_form(tx: Tx, actor: Actor, model_id: str, form: CheckedForm) -> Model:
    """Put `form` into the model's certificate, in place of the one of its name.

    Raises:
        NotFound: no such model, or it has no certificate.
    """
    row = _own(tx, actor, model_id)
    if row.parity is None:
        raise NotFound(f"{row.id} has no parity certificate to add to.", code="no_certificate")
    others = tuple(each for each in row.parity.forms if each.name != form.name)
    row.parity = replace(row.parity, forms=(*others, form))
    tx.session.flush()
    return row.noun()


def fine_tuned_name(
    requested: str, org: str, day: datetime, suffix: str | None, job_id: str
) -> str:
    """`ft:[classifier:]<base as requested>:<org8>:<YYYYMMDD>:[<suffix>:]<job8>`"""
    parts = ["ft", requested, org, day.strftime("%Y%m%d"), suffix, job_id[:8]]
    return ":".join(part for part in parts if part)


def _find(tx: Tx, actor: Actor, name: str) -> ModelRow:
    """By id, then by alias."""
    row = tx.session.get(ModelRow, name)
    if row is None:
        target = aliases.targets(tx, actor.org).get(name)
        row = tx.session.get(ModelRow, target) if target else None
    if row is not None and row.org == actor.org:
        return row
    raise NotFound(_what_to_type(tx, name), param="model", code="model_not_found")


def _what_to_type(tx: Tx, name: str) -> str:
    if name.startswith("ft:"):
        return f"No model {name!r}; `modiste models list` shows what is there."
    stands_for = tx.settings.base_aliases.get(name)
    if stands_for:
        return (
            f"{name!r} stands for {stands_for!r} (base_aliases of the settings), which is not "
            f"installed: `modiste models add {stands_for} --path DIR|hub:ORG/NAME`."
        )
    hub = HUB_HOMES.get(name, "ORG/NAME")
    return (
        f"Model {name!r} is not installed. Type `modiste models add {name} --path hub:{hub}` "
        f"(or --path DIR), or let an installed base stand for it with "
        f"MODISTE_BASE_ALIASES={name}={SHIPPED}."
    )


def _own(tx: Tx, actor: Actor, model_id: str) -> ModelRow:
    """A fine-tuned model to change, locked."""
    require(actor, Scope.TRAIN)
    row = _find(tx, actor, model_id)
    if row.kind is ModelKind.HOSTED:
        require(actor, Scope.ADMIN)
    if row.kind is ModelKind.BASE:
        raise Forbidden(
            f"{row.id} is a base model: it cannot be renamed, archived or deleted through the API.",
            code="base_model",
        )
    tx.lock(row)
    return row


def _with_aliases(tx: Tx, row: ModelRow) -> Model:
    return _named(row, aliases.targets(tx, row.org))


def _named(row: ModelRow, targets: Mapping[str, str]) -> Model:
    """With the names that stand for it."""
    return replace(
        row.noun(),
        aliases=tuple(sorted(n for n, to in targets.items() if to == row.id)),
        makes_embeddings=_makes_embeddings(row),
    )


def _makes_embeddings(row: ModelRow) -> bool:
    return row.kind is ModelKind.BASE and encoder_files.is_encoder(Path(row.path))


class _Found(NamedTuple):
    """What a base's folder says of it."""

    max_context_length: int
    abilities: Abilities

    def reading_at_most(self, n_tokens: int) -> _Found:
        return self._replace(max_context_length=min(self.max_context_length, n_tokens))


def _checked_base(folder: Path) -> _Found:
    """Told after both the base's weights and its tokenizer were found usable."""
    if encoder_files.is_encoder(folder):
        sentence_tokens.load(folder)
        return _Found(encoder_files.read(folder).max_tokens, Abilities())
    info = describe_base(folder)
    return _Found(info.max_context_length, _abilities(folder))


def _abilities(folder: Path) -> Abilities:
    """What the doors of inference will find in the base's renderer.

    Raises:
        InvalidInput: the folder's tokenizer is missing or unreadable.
    """
    if encoder_files.is_encoder(folder):
        return Abilities()
    renderer = render.load(folder)
    return Abilities(
        chats=renderer.chats,
        fim=renderer.fim is not None,
        tools=renderer.manner.calls is not None,
        thoughts=renderer.manner.thinking is not None,
    )


def _save_base(
    tx: Tx, name: str, folder: Path, found: _Found, served_by: Upstream | None = None
) -> Model:
    org = organisation(tx)
    tx.alone("bases")
    row = tx.session.get(ModelRow, name)
    if row is None:
        refuse_if_alias(tx, org, name)
        row = ModelRow(
            id=name,
            org=org,
            kind=ModelKind.BASE,
            created_at=tx.now(),
            owned_by="modiste" if name == SHIPPED else "local",
        )
        tx.session.add(row)
    row.path, row.upstream = str(folder), served_by
    row.max_context_length, row.abilities = found
    # Fine-tuned models name the folder too, so that serving needs one row: they move along.
    tx.session.execute(
        sa.update(ModelRow).where(ModelRow.base == name).values(path=str(folder), **found._asdict())
    )
    for made in tx.session.scalars(sa.select(ModelRow).where(ModelRow.base == name)):
        made.upstream = _upstream_of(made.adapter, served_by)
    tx.session.flush()
    return _with_aliases(tx, row)


def _upstream_of(adapter: Adapter | None, of_base: Upstream | None) -> Upstream | None:
    """A whole model stands on files of its own, which the server of its base does not have."""
    return None if adapter is None or adapter.is_whole else of_base


def refuse_if_alias(tx: Tx, org: str, name: str) -> None:
    if aliases.is_set(tx, org, name):
        raise Conflict(
            f"{name!r} is an alias for another model: take it away first with `modiste models "
            f"alias {name} --remove`, or choose another name.",
            param="name",
        )


def _refuse_if_built_upon(tx: Tx, row: ModelRow) -> None:
    final = [status for status in JobStatus if status.final]
    models = tx.session.scalars(sa.select(ModelRow.id).where(ModelRow.base == row.id)).all()
    jobs = tx.session.scalars(
        sa.select(JobRow.id).where(JobRow.base == row.id, JobRow.status.not_in(final))
    ).all()
    if models or jobs or row.kind is not ModelKind.BASE:
        raise Conflict(
            f"{row.id!r} already names the weights in {row.path}, and {len(models)} models and "
            f"{len(jobs)} unfinished jobs build on them. Add the new weights under another name.",
            param="name",
        )
