"""Migrations: they give the schema of the code, once, whoever starts first, and never go back."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from modiste.errors import Unavailable
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.store.tables import Base, FactRow


def facts(database: Database) -> dict[str, str]:
    with database.transaction(write=False) as tx:
        return {row.name: row.value for row in tx.session.scalars(sa.select(FactRow))}


def write(database: Database, name: str, value: str) -> None:
    with database.transaction() as tx:
        tx.session.add(FactRow(name=name, value=value))


def test_the_migrated_schema_is_the_one_the_code_describes(database: Database) -> None:
    with database.transaction(write=False) as tx:
        context = MigrationContext.configure(tx.session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    write(database, "a", "1")
    database.migrate()
    assert facts(database) == {"a": "1"}


def test_many_processes_may_migrate_an_empty_database_at_once(settings: Settings) -> None:
    code = (
        "from modiste import settings; from modiste.store.database import Database; import sys;"
        "Database(settings.load({'home': sys.argv[1], 'database_url': sys.argv[2] or None}, {}))"
        ".migrate()"
    )
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(settings.home), url]) for _ in range(4)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]
    database = Database(settings)
    database.migrate()
    assert facts(database) == {}
    database.close()


def test_a_database_of_a_newer_modiste_is_refused_untouched(database: Database) -> None:
    with database.transaction() as tx:
        tx.session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match=r"9999.*newer Modiste.*data is untouched"):
        database.migrate()
