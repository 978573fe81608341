"""Keys: who may do what. A secret is shown once, in the answer that created it.

At rest there is only the sha256 of a 256-bit random secret: no salt or slow hash is needed, because
nobody can guess 256 random bits. The last key with scope `admin` cannot be revoked.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from modiste.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from modiste.store.database import Tx
from modiste.store.tables import FactRow, KeyRow
from modiste.types import Actor, Key, Scope

SECRET_PREFIX = "mod_"  # noqa: S105 - what every secret begins with, not one
HOLDER = sa.select(KeyRow.id, KeyRow.org, KeyRow.scopes, KeyRow.revoked_at).where(
    KeyRow.sha256 == sa.bindparam("sha256")
)
"""Asked with every request, so it is built once."""


class Created(NamedTuple):
    key: Key
    secret: str
    """Goes to the person who asked, and nowhere else."""


def create(tx: Tx, actor: Actor, *, name: str, scopes: Iterable[Scope | str]) -> Created:
    require(actor, Scope.ADMIN)
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    row = _row(tx, secret, name=_checked_name(name), scopes=_checked_scopes(scopes))
    row.created_by = actor.key_id
    tx.session.add(row)
    tx.session.flush()
    return Created(row.noun(), secret)


def list_(tx: Tx, actor: Actor) -> tuple[Key, ...]:
    """Every key of the organisation, revoked ones too, oldest first."""
    require(actor, Scope.ADMIN)
    rows = tx.session.scalars(
        sa.select(KeyRow).where(KeyRow.org == actor.org).order_by(KeyRow.created_at, KeyRow.id)
    )
    return tuple(row.noun() for row in rows)


def revoke(tx: Tx, actor: Actor, key_id: str) -> Key:
    """The key stops working at once; revoking it again changes nothing."""
    require(actor, Scope.ADMIN)
    keys = tx.session.scalars(
        sa.select(KeyRow).where(KeyRow.org == actor.org).with_for_update()
    ).all()
    row = next((key for key in keys if key.id == key_id), None)
    if row is None:
        raise NotFound(f"No key {key_id!r}; `modiste keys list` shows the ids.", param="key_id")
    if row.revoked_at is None:
        others = [k for k in keys if k is not row and not k.revoked_at and Scope.ADMIN in k.scopes]
        if Scope.ADMIN in row.scopes and not others:
            raise Conflict(
                f"{row.name!r} is the last admin key: revoking it would lock everybody out. "
                "Create another with `modiste keys create NAME --scope admin` first.",
                code="last_admin_key",
            )
        row.revoked_at = tx.now()
    return row.noun()


def authenticate(tx: Tx, secret: str) -> Actor:
    """Who holds this secret.

    Raises:
        Unauthorized: no such key, or it was revoked. The message does not tell which.
    """
    row = tx.session.execute(HOLDER, {"sha256": _hash(secret)}).one_or_none()
    if row is None or row.revoked_at is not None:
        raise Unauthorized("Unauthorized")
    return Actor(key_id=row.id, org=row.org, scopes=row.scopes)


def refuse_revoked(tx: Tx, actor: Actor) -> None:
    """For doors that keep a caller longer than one request. Raises Unauthorized."""
    row = tx.session.get(KeyRow, actor.key_id)
    if row is None or row.revoked_at is not None:
        raise Unauthorized("Unauthorized")


def bootstrap(tx: Tx) -> str | None:
    """Create the first admin key if there is no key at all, in `<home>/admin.key` (mode 0600).

    Returns the secret when one was made now. The file is written before the row commits: a crash
    in between leaves a file that opens nothing and is replaced next time, never a lost key.
    """
    tx.alone("first key")
    if tx.session.scalar(sa.select(sa.func.count()).select_from(KeyRow)):
        return None
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    _write_private(tx.settings.admin_key_file, secret + "\n")
    tx.session.add(_row(tx, secret, name="admin", scopes=frozenset({Scope.ADMIN})))
    tx.session.flush()
    return secret


def require(actor: Actor, scope: Scope) -> None:
    """Raises Forbidden unless the actor's key has the scope."""
    if not actor.may(scope):
        has = ", ".join(sorted(actor.scopes)) or "none"
        raise Forbidden(
            f"This needs a key with scope {scope.value!r}; yours has {has}. An admin can make one "
            f"with `modiste keys create NAME --scope {scope.value}`.",
            code="missing_scope",
        )


def scopes_now(tx: Tx, key_id: str) -> frozenset[Scope]:
    """What a key may do at this moment; nothing once it is revoked."""
    row = tx.session.get(KeyRow, key_id)
    return row.scopes if row is not None and row.revoked_at is None else frozenset()


def organisation(tx: Tx) -> str:
    """Eight hex digits, drawn once per database."""
    fact = tx.session.get(FactRow, "org")
    if fact is None:
        tx.alone("organisation")
        fact = tx.session.get(FactRow, "org")
    if fact is None:
        fact = FactRow(name="org", value=secrets.token_hex(4))
        tx.session.add(fact)
        tx.session.flush()
    return fact.value


def _row(tx: Tx, secret: str, *, name: str, scopes: frozenset[Scope]) -> KeyRow:
    return KeyRow(
        id=f"key_{uuid.uuid4().hex[:16]}",
        name=name,
        prefix=secret[: len(SECRET_PREFIX) + 4],
        sha256=_hash(secret),
        scopes=scopes,
        org=organisation(tx),
        created_at=tx.now(),
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise InvalidInput(
            f"A key's name has 1 to 100 printable characters; {name!r} does not.", param="name"
        )
    return name


def _checked_scopes(scopes: Iterable[Scope | str]) -> frozenset[Scope]:
    asked = sorted(set(scopes))
    unknown = [scope for scope in asked if scope not in Scope.__members__.values()]
    if unknown or not asked:
        known = ", ".join(Scope)
        raise InvalidInput(
            f"Unknown scope {', '.join(map(repr, unknown))}; a key has one or more of {known}."
            if unknown
            else f"A key needs at least one scope of {known}.",
            param="scopes",
        )
    return frozenset(Scope(scope) for scope in asked)


def _write_private(path: Path, text: str) -> None:
    """Mode 0600 from the first byte on, and replaced in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(beside, path)
