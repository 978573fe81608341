from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modiste.actions import keys
from modiste.errors import Unauthorized
from modiste.sql import entrance
from modiste.sql.errors import SqlError
from modiste.sql.session import Place
from modiste.store.database import Database


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_key_becomes_a_session_until_it_is_revoked(database: Database) -> None:
    with database.transaction() as tx:
        admin = keys.bootstrap(tx)
    assert admin is not None
    serving: Any = None

    async def work() -> None:
        door = entrance.of(Place(database, serving))
        boss = await door.admit(admin, "mysql")
        with pytest.raises(Unauthorized):
            await door.admit("mod_wrong", "mysql")
        with database.transaction() as tx:
            made = keys.create(tx, boss.caller, name="sql", scopes=["infer"])
        session = await door.admit(made.secret, "postgres")
        assert session.dialect == "postgres"
        assert session.caller.key_id == made.key.id
        await door.recheck(session)
        with database.transaction() as tx:
            keys.revoke(tx, boss.caller, made.key.id)
        with pytest.raises(Unauthorized):
            await door.recheck(session)

    asyncio.run(work())


def test_several_statements_are_told_from_one() -> None:
    serving: Any = None
    door = entrance.of(Place(serving, serving))
    door.refuse_several("SELECT ';';", "mysql")
    with pytest.raises(SqlError, match="one after the other"):
        door.refuse_several("SELECT 1; SELECT 2", "mysql")
