"""Secrets are shown once, scopes are kept, the last admin stays."""

from __future__ import annotations

import pytest

from modiste.actions import keys
from modiste.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.types import Actor, Scope


def test_the_first_admin_key_is_written_for_its_owner_only(
    settings: Settings, database: Database
) -> None:
    with database.transaction() as tx:
        secret = keys.bootstrap(tx)
    assert secret is not None
    assert settings.admin_key_file.read_text().strip() == secret
    assert settings.admin_key_file.stat().st_mode & 0o777 == 0o600
    with database.transaction() as tx:
        assert keys.bootstrap(tx) is None
        actor = keys.authenticate(tx, secret)
    assert actor.scopes == {Scope.ADMIN}
    assert len(bytes.fromhex(actor.org)) == 4


def test_a_crash_between_file_and_row_leaves_no_lost_key(
    settings: Settings, database: Database
) -> None:
    def crash() -> None:
        with database.transaction() as tx:
            keys.bootstrap(tx)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    with database.transaction() as tx:
        secret = keys.bootstrap(tx)
    assert secret is not None
    assert settings.admin_key_file.read_text().strip() == secret


def test_a_new_key_does_what_its_scopes_say(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="ci", scopes=["train", "train"])
        actor = keys.authenticate(tx, made.secret)
    assert actor.org == admin.org
    assert (actor.may(Scope.TRAIN), actor.may(Scope.INFER)) == (True, False)
    keys.require(actor, Scope.TRAIN)
    with pytest.raises(Forbidden, match="needs a key with scope 'data'; yours has train"):
        keys.require(actor, Scope.DATA)


def test_the_secret_is_nowhere_in_the_database(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="ci", scopes=["infer"])
    with database.transaction(write=False) as tx:
        listed = keys.list_(tx, admin)
        rows = tx.session.connection().exec_driver_sql("SELECT * FROM keys").fetchall()
    assert made.secret not in repr(rows)
    assert made.secret not in repr(listed)
    assert [key.name for key in listed] == ["admin", "ci"]
    assert made.secret.startswith(made.key.prefix)
    assert len(made.key.prefix) < 12


@pytest.mark.parametrize("secret", ["", "mod_", "mod_" + "x" * 43, "Bearer", "\udcff"])
def test_a_secret_that_is_not_ours_opens_nothing(
    database: Database, admin: Actor, secret: str
) -> None:
    with pytest.raises(Unauthorized, match="Unauthorized"), database.transaction(write=False) as tx:
        keys.authenticate(tx, secret)


def test_a_revoked_key_is_refused_and_stays_listed(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="ci", scopes=["infer"])
        revoked = keys.revoke(tx, admin, made.key.id)
        assert keys.revoke(tx, admin, made.key.id) == revoked
    assert revoked.revoked_at is not None
    with pytest.raises(Unauthorized), database.transaction() as tx:
        keys.authenticate(tx, made.secret)
    with database.transaction() as tx:
        assert revoked in keys.list_(tx, admin)


def test_the_last_admin_key_cannot_be_revoked(database: Database, admin: Actor) -> None:
    with pytest.raises(Conflict, match="last admin key"), database.transaction() as tx:
        keys.revoke(tx, admin, admin.key_id)
    with database.transaction() as tx:
        keys.create(tx, admin, name="second", scopes=["admin"])
        keys.revoke(tx, admin, admin.key_id)


def test_an_unknown_key_cannot_be_revoked(database: Database, admin: Actor) -> None:
    with pytest.raises(NotFound, match="modiste keys list"), database.transaction() as tx:
        keys.revoke(tx, admin, "key_none")


def test_only_admins_manage_keys(database: Database, other: Actor) -> None:
    with database.transaction() as tx:
        for verb in (
            lambda: keys.list_(tx, other),
            lambda: keys.create(tx, other, name="x", scopes=["infer"]),
            lambda: keys.revoke(tx, other, other.key_id),
        ):
            with pytest.raises(Forbidden, match="scope 'admin'"):
                verb()


@pytest.mark.parametrize(
    ("name", "scopes", "said"),
    [
        ("ok", [], "at least one scope"),
        ("ok", ["root", "infer"], "Unknown scope 'root'"),
        ("  ", ["infer"], "1 to 100 printable"),
        ("a\nb", ["infer"], "printable"),
    ],
)
def test_a_wrong_request_says_what_a_key_has(
    database: Database, admin: Actor, name: str, scopes: list[str], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said), database.transaction() as tx:
        keys.create(tx, admin, name=name, scopes=scopes)
