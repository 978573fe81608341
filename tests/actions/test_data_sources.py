"""Data sources: what may be kept, and what is shown of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from modiste.actions import data_sources
from modiste.errors import Conflict, Forbidden, InvalidInput, NotFound
from modiste.store.database import Database
from modiste.store.sql_tables import SqlSourceRow
from modiste.types import Actor

GIVEN = {"host": "db.example", "user": "u", "password": "s3cret", "database": "d", "port": "5432"}


def test_credentials_are_sealed_and_shown_to_nobody(database: Database, admin: Actor) -> None:
    source = data_sources.checked(database.settings, admin, "d", "postgresql", GIVEN)
    with database.transaction() as tx:
        kept = data_sources.add(tx, admin, source)
        assert kept.parameters["password"] == data_sources.BLOT
        row = tx.session.scalar(sa.select(SqlSourceRow))
        assert row is not None
        assert "s3cret" not in f"{row.sealed} {row.parameters}"
        assert data_sources.opened(tx, admin, "d") == ("d", "postgres", GIVEN)
        with pytest.raises(Conflict, match="Database already exists: d"):
            data_sources.add(tx, admin, source)
        data_sources.drop(tx, admin, "d")
        with pytest.raises(NotFound, match="Database does not exist: d"):
            data_sources.get(tx, admin, "d")


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_everything_wrong_is_told_at_once(database: Database, admin: Actor) -> None:
    with pytest.raises(InvalidInput) as refused:
        data_sources.checked(database.settings, admin, "d", "postgres", {"hots": "x", "port": "a"})
    for part in ("hots is unknown, did you mean host?", "user is missing", "port is 'a'"):
        assert part in refused.value.message
    with pytest.raises(InvalidInput, match="engine is 'odd'"):
        data_sources.checked(database.settings, admin, "d", "odd", {})


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_only_admins_and_only_what_the_settings_permit(
    database: Database, admin: Actor, other: Actor
) -> None:
    settings = database.settings
    with pytest.raises(Forbidden):
        data_sources.checked(settings, other, "d", "postgres", GIVEN)
    for path in ("/etc/passwd", "../secrets.key", "a/../../x.db"):
        with pytest.raises(Forbidden, match="does not lie in"):
            data_sources.checked(settings, admin, "d", "sqlite", {"path": path})
    listed = settings.model_copy(update={"sql_hosts": ("other.example",)})
    with pytest.raises(Forbidden, match="not among the hosts"):
        data_sources.checked(listed, admin, "d", "postgres", GIVEN)
    found = data_sources.checked(settings, admin, "d", "sqlite", {"db_file": "x.db"})
    assert found.parameters == {"path": str(settings.sql_files / "x.db")}


def test_secrets_are_blotted_out_at_any_depth() -> None:
    given = {"api_key": "k", "a": [{"Token": "t", "b": 1}], "password": ""}
    assert data_sources.shown(given) == {
        "api_key": "******", "a": [{"Token": "******", "b": 1}], "password": "",
    }  # fmt: skip
