"""Aliases: names that clients ask for, switched from one model to another without telling them.

An alias names a model by its id, never another alias, so a switch is seen whole or not at all. Who
switched what when stays on record. The settings' `base_aliases` are defaults: a name that was set
here wins.

A name that was promoted (`support-bot@production`) is switched by promotions alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import sqlalchemy as sa

from modiste.actions.keys import require
from modiste.errors import BadRequest, Conflict, InvalidInput, NotFound
from modiste.store.database import Tx
from modiste.store.model_tables import AliasRow, PromotionRow
from modiste.store.tables import ModelRow
from modiste.types import Actor, Alias, PromotionKind, Scope

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]{0,199}")


def list_(tx: Tx, actor: Actor) -> tuple[Alias, ...]:
    """What every name that was set stands for now, by name."""
    return tuple(row.noun() for row in _current(tx, actor.org) if row.model is not None)


def history(tx: Tx, actor: Actor, name: str) -> tuple[Alias, ...]:
    """Every switch of a name, newest first.

    Raises:
        NotFound: the name was never set.
    """
    rows = tx.session.scalars(
        sa.select(AliasRow)
        .where(AliasRow.org == actor.org, AliasRow.name == name)
        .order_by(AliasRow.seq.desc())
    ).all()
    if not rows:
        raise _unknown(name)
    return tuple(row.noun() for row in rows)


def set_(tx: Tx, actor: Actor, name: str, model: str) -> Alias:
    """From the next request on, `name` is answered by `model` (an id, or an alias for it).

    Raises:
        InvalidInput: not a name.
        Conflict: a model has this name itself, or it was promoted.
        NotFound, BadRequest: no such model, or it is archived.
    """
    require(actor, Scope.TRAIN)
    _refuse_promoted(tx, actor.org, name)
    return switch(tx, actor, name, model)


def switch(tx: Tx, actor: Actor, name: str, model: str) -> Alias:
    """As `set_`, also of a name that was promoted: for those who decide about it."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"alias is {name!r}; it has letters, digits and . _ / @ - (no colon), at most 200.",
            param="alias",
        )
    tx.alone("bases")  # A base of this name could be installed at the same moment.
    if tx.session.get(ModelRow, name) is not None:
        raise Conflict(f"{name!r} is the name of a model; choose another alias.", param="alias")
    row = tx.session.get(ModelRow, targets(tx, actor.org).get(model, model))
    if row is None or row.org != actor.org:
        raise NotFound(
            f"No model {model!r}; `modiste models list` shows what is there.",
            param="model",
            code="model_not_found",
        )
    tx.lock(row)  # So that it is not deleted meanwhile.
    if row.archived:
        raise BadRequest(
            f"Model {row.id} is archived; `modiste models unarchive {row.id}` brings it back.",
            param="model",
            code="model_archived",
        )
    return _write(tx, actor, name, row.id)


def remove(tx: Tx, actor: Actor, name: str) -> Alias:
    """The name stands for nothing any more, or for what the settings say.

    Raises:
        NotFound: it stands for nothing.
        Conflict: it was promoted.
    """
    require(actor, Scope.TRAIN)
    _refuse_promoted(tx, actor.org, name)
    if not is_set(tx, actor.org, name):
        raise _unknown(name)
    return _write(tx, actor, name, None)


def targets(tx: Tx, org: str) -> Mapping[str, str]:
    """Every alias to the id of its model; those of the settings where nothing else was set."""
    switched = {row.name: row.model for row in _current(tx, org) if row.model is not None}
    return {**tx.settings.base_aliases, **switched}


def is_set(tx: Tx, org: str, name: str) -> bool:
    return any(row.name == name and row.model is not None for row in _current(tx, org))


def promoted(tx: Tx, org: str, name: str) -> bool:
    """Whether a promotion ever switched this name: from then on only promotions do."""
    switched = (PromotionKind.PROMOTED, PromotionKind.OVERRIDDEN)
    found = tx.session.scalar(
        sa.select(PromotionRow.seq)
        .where(PromotionRow.org == org, PromotionRow.name == name, PromotionRow.kind.in_(switched))
        .limit(1)
    )
    return found is not None


def set_for(tx: Tx, org: str, model_id: str) -> tuple[str, ...]:
    """Aliases that were set to this model."""
    return tuple(row.name for row in _current(tx, org) if row.model == model_id)


def _current(tx: Tx, org: str) -> list[AliasRow]:
    newest = sa.select(sa.func.max(AliasRow.seq)).where(AliasRow.org == org).group_by(AliasRow.name)
    rows = tx.session.scalars(
        sa.select(AliasRow).where(AliasRow.seq.in_(newest)).order_by(AliasRow.name)
    )
    return list(rows)


def _refuse_promoted(tx: Tx, org: str, name: str) -> None:
    if promoted(tx, org, name):
        raise Conflict(
            f"{name} is under a gate: `modiste models promote MODEL --as {name} --gate gate.yaml` "
            f"switches it, `modiste models rollback {name}` switches it back, and `--override "
            "REASON` does what the gate would not.",
            param="alias",
            code="alias_promoted",
        )


def _write(tx: Tx, actor: Actor, name: str, model: str | None) -> Alias:
    row = AliasRow(org=actor.org, name=name, model=model, set_at=tx.now(), set_by=actor.key_id)
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"No alias {name!r} was set; `modiste models aliases` shows those there are, "
        f"`modiste models alias {name} MODEL` sets it.",
        param="alias",
        code="alias_not_found",
    )
