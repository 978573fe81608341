"""Promotions: a name such as `support-bot@production` is switched to a model that passed its gate.

Every decision is a row with all the numbers it rested on, refusals and overrides among them, and no
row is ever changed. Rolling back is one call and asks no gate: what is undone was decided before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from modiste.actions import aliases, evaluations, models
from modiste.actions.keys import require
from modiste.errors import BadRequest, Conflict, InvalidInput, NotFound
from modiste.evaluate.gate import check
from modiste.evaluate.gate_result import Condition, GateResult, Outcome
from modiste.evaluate.gate_spec import Gate
from modiste.evaluate.record import Run
from modiste.store.database import Database, Tx
from modiste.store.model_tables import PromotionRow
from modiste.types import Actor, Model, Promotion, PromotionKind, Scope

Load = Callable[[Tx, Actor, str], Run]
SWITCHED = (PromotionKind.PROMOTED, PromotionKind.OVERRIDDEN)


def promote(
    database: Database,
    actor: Actor,
    *,
    name: str,
    model: str,
    gate: Gate | None = None,
    runs: Sequence[str] = (),
    baselines: Sequence[str] = (),
    approved_by: Sequence[str] = (),
    override: str | None = None,
    load: Load = evaluations.load,
) -> Promotion:
    """Let `model` answer to `name` from the next request on, if the gate is passed.

    Runs are read and compared outside the transaction that switches, for that takes a moment.

    Args:
        gate: what has to be shown; it may be left out where `override` says why.
        runs: ids of runs of the model, one a suite.
        baselines: ids of runs of the model it is held against: the one that answers now.
        override: why to switch whatever the gate says.

    Returns:
        What was decided and recorded; where the gate refuses, nothing is switched.

    Raises:
        InvalidInput: neither gate nor override, no such name, or runs that are not of this model.
        Conflict: the model answers to it already, or the name was switched meanwhile.
        NotFound, BadRequest: no such model or run, archived, not ended.
    """
    require(actor, Scope.TRAIN)
    _asked_well(name, gate, override)
    with database.transaction(write=False) as tx:
        chosen = models.resolve(tx, actor, model)
        now = aliases.targets(tx, actor.org).get(name)
        new = [load(tx, actor, run) for run in runs]
        old = [load(tx, actor, run) for run in baselines]
    if now == chosen.id:
        raise Conflict(f"{name} is answered by {chosen.id} already.", param="model")
    result = None if gate is None else _weighed(gate, chosen, now, new, old, approved_by)
    passed = result is not None and result.outcome is Outcome.PASS
    kind = PromotionKind.PROMOTED if passed else PromotionKind.REFUSED
    if not passed and override is not None:
        kind = PromotionKind.OVERRIDDEN
    with database.transaction() as tx:
        if aliases.targets(tx, actor.org).get(name) != now:
            raise Conflict(f"{name} was switched meanwhile; look again and repeat.", param="name")
        if kind is not PromotionKind.REFUSED:
            aliases.switch(tx, actor, name, chosen.id)
        return _write(
            tx, actor, name, kind, chosen.id, now, reason=override, approved_by=approved_by,
            result=result,
        )  # fmt: skip


def rollback(tx: Tx, actor: Actor, name: str, *, reason: str | None = None) -> Promotion:
    """Back to the model that answered before the promotion that stands; again goes further back.

    Raises:
        NotFound: the name was never promoted.
        BadRequest: nothing answered before, or it is archived now.
    """
    require(actor, Scope.TRAIN)
    tx.alone("bases")  # As every switch: two rollbacks at once are one after the other.
    standing: list[PromotionRow] = []
    for row in _rows(tx, actor, name):
        if row.kind in SWITCHED:
            standing.append(row)
        elif row.kind is PromotionKind.ROLLED_BACK and standing:
            standing.pop()
    if not standing or standing[-1].previous is None:
        raise BadRequest(
            f"No model answered to {name} before the one that does now; "
            f"`modiste models history {name}` shows every switch.",
            param="name",
        )
    now = aliases.targets(tx, actor.org).get(name)
    target = standing[-1].previous
    aliases.switch(tx, actor, name, target)
    return _write(tx, actor, name, PromotionKind.ROLLED_BACK, target, now, reason=reason)


def history(tx: Tx, actor: Actor, name: str) -> tuple[Promotion, ...]:
    """Every decision about a name, newest first.

    Raises:
        NotFound: there was none.
    """
    return tuple(row.noun() for row in reversed(_rows(tx, actor, name)))


def list_(tx: Tx, actor: Actor) -> tuple[Promotion, ...]:
    """The newest decision about each name, refusals left out."""
    newest = (
        sa.select(sa.func.max(PromotionRow.seq))
        .where(PromotionRow.org == actor.org, PromotionRow.kind != PromotionKind.REFUSED)
        .group_by(PromotionRow.name)
    )
    rows = tx.session.scalars(
        sa.select(PromotionRow).where(PromotionRow.seq.in_(newest)).order_by(PromotionRow.name)
    )
    return tuple(row.noun() for row in rows)


def _asked_well(name: str, gate: Gate | None, override: str | None) -> None:
    if not aliases.NAME.fullmatch(name):
        raise InvalidInput(
            f"name is {name!r}; it has letters, digits and . _ / @ - (no colon), as in "
            "support-bot@production.",
            param="name",
        )
    if override is not None and not override.strip():
        raise InvalidInput(
            "override is empty; it says why the gate does not count", param="override"
        )
    if gate is None and override is None:
        raise InvalidInput(
            "no gate is given: `--gate gate.yaml` says what the model has to show, `--override "
            "REASON` does without",
            param="gate",
        )


def _weighed(
    gate: Gate,
    model: Model,
    now: str | None,
    new: Sequence[Run],
    old: Sequence[Run],
    approved_by: Sequence[str],
) -> GateResult:
    """What the gate finds, and that the runs are of the models this is about.

    Raises:
        InvalidInput: a run is of another model than the one to be promoted, or one is missing.
    """
    version = model.adapter.version if model.adapter else model.id
    for run in new:
        if (run.record.model_id, run.record.model_version) != (model.id, version):
            raise InvalidInput(
                f"run {run.record.run_id} is of {run.record.model_id}, not of {model.id} as it is "
                "now; run its suite on this model",
                param="runs",
            )
    result = check(gate, new, old, approved_by=approved_by)
    if helped := sorted({said for run in new for said in run.record.said_before}):
        said = f"its runs put {' and '.join(helped)} before the question, which a name does not"
        condition = Condition("measured as it will answer", Outcome.FAIL, said, {"said": helped})
        result = result.with_condition(condition)
    if now is None or not gate.compares:
        return result
    held_against = {run.record.model_id for run in old}
    outcome = Outcome.PASS if held_against == {now} else Outcome.FAIL
    said = f"held against {', '.join(sorted(held_against))}; {now} answers now"
    condition = Condition("baseline is what answers now", outcome, said, {"answers_now": now})
    return result.with_condition(condition)


def _rows(tx: Tx, actor: Actor, name: str) -> list[PromotionRow]:
    """Oldest first.

    Raises:
        NotFound: there is none.
    """
    rows = tx.session.scalars(
        sa.select(PromotionRow)
        .where(PromotionRow.org == actor.org, PromotionRow.name == name)
        .order_by(PromotionRow.seq)
    ).all()
    if not rows:
        raise NotFound(
            f"{name!r} was never promoted; `modiste models promote MODEL --as {name} --gate "
            "gate.yaml` does.",
            param="name",
            code="promotion_not_found",
        )
    return list(rows)


def _write(
    tx: Tx,
    actor: Actor,
    name: str,
    kind: PromotionKind,
    model: str,
    previous: str | None,
    *,
    reason: str | None,
    approved_by: Sequence[str] = (),
    result: GateResult | None = None,
) -> Promotion:
    row = PromotionRow(
        org=actor.org,
        name=name,
        kind=kind,
        model=model,
        previous=previous,
        decided_at=tx.now(),
        decided_by=actor.key_id,
        approved_by=tuple(approved_by),
        reason=reason,
        gate=None if result is None else result.to_json(),
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()
