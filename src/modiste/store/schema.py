"""The schema brought up to date: Alembic run over a connection we already hold.

Migrations only go forward. Revision files are immutable once released; the newest one must give
exactly the schema of `store/tables.py` on both databases.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from modiste.errors import Unavailable


def config(connection: sa.Connection | None = None) -> Config:
    settings, folder = Config(), Path(__file__).parent / "migrations"
    settings.set_main_option("script_location", str(folder).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def upgrade(connection: sa.Connection) -> None:
    """Bring the schema behind `connection` to the newest revision; the caller commits.

    Raises:
        Unavailable: the database was written by a newer Modiste.
    """
    alembic = config(connection)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(alembic).walk_revisions()}
    if current is not None and current not in known:
        raise Unavailable(
            f"The database has schema revision {current}, which this version of Modiste does not "
            "know: a newer Modiste wrote it. Install that version again; data is untouched."
        )
    command.upgrade(alembic, "head")
