"""Policies: kept in versions, compared, attached to what they guard. Writing takes an admin.

A change is a new version; none is ever changed, and every decision names the one it rests on. What
a policy is attached to follows its newest version. A policy that something is attached to is not
taken away. Policies that are attached add up: a key's cannot weaken a model's. The one attached to
everything counts where no other is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from modiste.actions import models
from modiste.actions.keys import require
from modiste.errors import Conflict, InvalidInput, NotFound
from modiste.moderate.changes import Change, as_json, changes
from modiste.moderate.detectors import Endpoint
from modiste.moderate.policy import Policy, from_json
from modiste.serve import outbound
from modiste.settings import ENVIRONMENT_PREFIX
from modiste.store.database import Tx
from modiste.store.policy_tables import AttachmentRow, PolicyRow
from modiste.store.tables import KeyRow
from modiste.types import Actor, Attachment, Guarded, PolicyVersion, Problem, Scope

EVERYTHING = ""


class Kept(NamedTuple):
    """A policy with the version it has."""

    policy: Policy
    version: int


class Diff(NamedTuple):
    name: str
    before: int
    after: int
    changes: tuple[Change, ...]


def put(tx: Tx, actor: Actor, policy: Policy, *, comment: str | None = None) -> PolicyVersion:
    """A new version of the policy, or the newest again where it says the same.

    Raises:
        Forbidden: not an admin, or an endpoint that the settings do not permit.
        InvalidInput: an endpoint's URL or key variable that cannot be.
    """
    check(tx, actor, policy)
    tx.alone("policies")
    newest = _newest(tx, actor, policy.name)
    said = as_json(policy)
    if newest is not None and newest.policy == said:
        return newest.noun()
    row = PolicyRow(
        org=actor.org,
        name=policy.name,
        version=1 if newest is None else newest.version + 1,
        policy=said,
        comment=comment,
        created_at=tx.now(),
        created_by=actor.key_id,
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def check(tx: Tx, actor: Actor, policy: Policy) -> None:
    """
    Raises: as `put`.
    """
    require(actor, Scope.ADMIN)
    _check_endpoints(tx, policy)


def list_(tx: Tx, actor: Actor) -> tuple[PolicyVersion, ...]:
    """The newest version of every policy, by name."""
    newest = (
        sa.select(sa.func.max(PolicyRow.seq))
        .where(PolicyRow.org == actor.org)
        .group_by(PolicyRow.name)
    )
    rows = tx.session.scalars(
        sa.select(PolicyRow).where(PolicyRow.seq.in_(newest)).order_by(PolicyRow.name)
    )
    return tuple(row.noun() for row in rows if row.policy is not None)


def versions(tx: Tx, actor: Actor, name: str) -> tuple[PolicyVersion, ...]:
    """Every version, newest first, with the moments at which the name was taken away.

    Raises:
        NotFound: there never was one.
    """
    rows = tx.session.scalars(
        sa.select(PolicyRow)
        .where(PolicyRow.org == actor.org, PolicyRow.name == name)
        .order_by(PolicyRow.version.desc())
    ).all()
    if not rows:
        raise _unknown(name)
    return tuple(row.noun() for row in rows)


def get(tx: Tx, actor: Actor, name: str, *, version: int | None = None) -> PolicyVersion:
    """The newest version, or another.

    Raises:
        NotFound: there is none.
    """
    row = _newest(tx, actor, name) if version is None else _version(tx, actor, name, version)
    if row is None or row.policy is None:
        raise _unknown(name, version)
    return row.noun()


def diff(tx: Tx, actor: Actor, name: str, *, before: int | None, after: int | None) -> Diff:
    """What changed; without versions, from the last but one to the newest.

    Raises:
        NotFound: no such version, or there is only one.
    """
    there = [each for each in versions(tx, actor, name) if each.policy is not None]
    new = there[0].version if after is None and there else after
    older = [each.version for each in there if new is not None and each.version < new]
    old = before if before is not None else next(iter(older), None)
    if new is None or old is None:
        raise NotFound(f"policy {name} has one version, so nothing changed.", param="from")
    pair = [_policy(get(tx, actor, name, version=each)) for each in (old, new)]
    return Diff(name, old, new, changes(*pair))


def delete(tx: Tx, actor: Actor, name: str) -> PolicyVersion:
    """The name stands for nothing; its versions stay on record.

    Raises:
        NotFound: there is none.
        Conflict: something is attached to it.
    """
    require(actor, Scope.ADMIN)
    tx.alone("policies")
    newest = get(tx, actor, name)
    if bound := attachments(tx, actor, name):
        told = ", ".join(f"{each.guarded} {each.target}".strip() for each in bound)
        raise Conflict(
            f"policy {name} guards {told}; `modiste policies detach {name} …` lets go first.",
            param="name",
            code="policy_attached",
        )
    row = PolicyRow(
        org=actor.org,
        name=name,
        version=newest.version + 1,
        policy=None,
        comment=None,
        created_at=tx.now(),
        created_by=actor.key_id,
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def attach(
    tx: Tx, actor: Actor, name: str, guarded: Guarded, target: str = EVERYTHING
) -> Attachment:
    """From the next request on the policy holds for a model, a key, or everything else.

    Raises:
        Forbidden: not an admin.
        NotFound: no such policy, model or key.
        Conflict: another policy is attached to everything.
    """
    require(actor, Scope.ADMIN)
    tx.alone("policies")
    get(tx, actor, name)
    target = _target(tx, actor, guarded, target)
    held = _attached_to(tx, actor.org, guarded, target)
    if guarded is Guarded.EVERYTHING and held and held[0].policy != name:
        raise Conflict(
            f"{held[0].policy} is attached to everything; detach it first.", param="everything"
        )
    return _write(tx, actor, name, guarded, target, attached=True)


def detach(
    tx: Tx, actor: Actor, name: str, guarded: Guarded, target: str = EVERYTHING
) -> Attachment:
    """The policy holds there no longer.

    Raises:
        Forbidden: not an admin.
        NotFound: it is not attached there.
    """
    require(actor, Scope.ADMIN)
    tx.alone("policies")
    held = {each.target for each in attachments(tx, actor, name) if each.guarded is guarded}
    if target not in held and guarded is Guarded.MODEL:
        target = _target(tx, actor, guarded, target)
    if target not in held:
        where = f"{guarded} {target}".strip()
        raise NotFound(f"policy {name} is not attached to {where}.", param=guarded.value)
    return _write(tx, actor, name, guarded, target, attached=False)


def attachments(tx: Tx, actor: Actor, name: str) -> tuple[Attachment, ...]:
    """What a policy is attached to."""
    return tuple(row.noun() for row in _current(tx, actor.org) if row.policy == name)


def default(tx: Tx, actor: Actor) -> Kept | None:
    """The policy that is attached to everything."""
    held = _attached_to(tx, actor.org, Guarded.EVERYTHING, EVERYTHING)
    return kept(get(tx, actor, held[0].policy)) if held else None


def guarding(tx: Tx, actor: Actor, model_id: str) -> tuple[Kept, ...]:
    """Every policy that holds when this actor asks this model, each once.

    Batches and evaluations ask in the name of a key, as `batch/key_…`: they have its policies.
    """
    current = _current(tx, actor.org)
    key_id = actor.key_id.rpartition("/")[2]
    names = [
        row.policy
        for row in current
        if (row.guarded, row.target) in ((Guarded.MODEL, model_id), (Guarded.KEY, key_id))
    ] or [row.policy for row in current if row.guarded is Guarded.EVERYTHING]
    return tuple(kept(get(tx, actor, name)) for name in dict.fromkeys(names))


def kept(version: PolicyVersion) -> Kept:
    return Kept(_policy(version), version.version)


def _policy(version: PolicyVersion) -> Policy:
    return _parsed(orjson.dumps(version.policy))


@lru_cache(maxsize=128)
def _parsed(said: bytes) -> Policy:
    """A version never changes, so what it says is read once."""
    return from_json(orjson.loads(said), file="policy")


def _check_endpoints(tx: Tx, policy: Policy) -> None:
    problems: list[Problem] = []
    for at, detector in enumerate(policy.detectors):
        if not isinstance(detector, Endpoint):
            continue
        try:
            outbound.refuse_unlisted(outbound.checked_url(detector.url), tx.settings.upstream_hosts)
        except InvalidInput as error:
            path = f"detectors.{at}.url"
            problems.append(Problem("policy", None, path, error.error_code, error.message))
        if detector.key_env and detector.key_env.upper().startswith(ENVIRONMENT_PREFIX):
            said = (
                f"key_env is {detector.key_env}; what begins with {ENVIRONMENT_PREFIX} is this "
                "server's own and sent to nobody"
            )
            path = f"detectors.{at}.key_env"
            problems.append(Problem("policy", None, path, "key_env", said, detector.key_env))
    if problems:
        said = "; ".join(f"{each.path}: {each.message}" for each in problems)
        raise InvalidInput(f"policy: {said}", param=problems[0].path, problems=problems)


def _target(tx: Tx, actor: Actor, guarded: Guarded, target: str) -> str:
    """The id of what is meant.

    Raises:
        NotFound: there is none.
    """
    if guarded is Guarded.EVERYTHING:
        return EVERYTHING
    if guarded is Guarded.MODEL:
        return models.resolve(tx, actor, target).id
    row = tx.session.get(KeyRow, target)
    if row is None or row.org != actor.org:
        raise NotFound(f"No key {target!r}; `modiste keys list` shows the ids.", param="key")
    return row.id


def _write(
    tx: Tx, actor: Actor, name: str, guarded: Guarded, target: str, *, attached: bool
) -> Attachment:
    row = AttachmentRow(
        org=actor.org,
        guarded=guarded,
        target=target,
        policy=name,
        attached=attached,
        set_at=tx.now(),
        set_by=actor.key_id,
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def _attached_to(tx: Tx, org: str, guarded: Guarded, target: str) -> list[AttachmentRow]:
    return [row for row in _current(tx, org) if (row.guarded, row.target) == (guarded, target)]


def _current(tx: Tx, org: str) -> list[AttachmentRow]:
    """What is attached now, in the order it was."""
    newest = (
        sa.select(sa.func.max(AttachmentRow.seq))
        .where(AttachmentRow.org == org)
        .group_by(AttachmentRow.guarded, AttachmentRow.target, AttachmentRow.policy)
    )
    rows = tx.session.scalars(
        sa.select(AttachmentRow)
        .where(AttachmentRow.seq.in_(newest), AttachmentRow.attached)
        .order_by(AttachmentRow.seq)
    )
    return list(rows)


def _newest(tx: Tx, actor: Actor, name: str) -> PolicyRow | None:
    return tx.session.scalars(
        sa.select(PolicyRow)
        .where(PolicyRow.org == actor.org, PolicyRow.name == name)
        .order_by(PolicyRow.seq.desc())
        .limit(1)
    ).one_or_none()


def _version(tx: Tx, actor: Actor, name: str, version: int) -> PolicyRow | None:
    return tx.session.scalars(
        sa.select(PolicyRow).where(
            PolicyRow.org == actor.org, PolicyRow.name == name, PolicyRow.version == version
        )
    ).one_or_none()


def _unknown(name: str, version: int | None = None) -> NotFound:
    which = repr(name) if version is None else f"{name!r} in version {version}"
    return NotFound(
        f"No policy {which}; `modiste policies list` shows what is there.",
        param="name",
        code="policy_not_found",
    )
