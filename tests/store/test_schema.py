"""The schema: one head, applied once, and a newer one is refused."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from modiste.errors import Unavailable
from modiste.store.schema import config, upgrade
from modiste.store.tables import Base


def connect(tmp_path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{tmp_path / 'modiste.db'}")


def test_an_empty_database_gets_every_table(tmp_path: Path) -> None:
    with connect(tmp_path).begin() as connection:
        upgrade(connection)
        names = set(sa.inspect(connection).get_table_names())
    assert set(Base.metadata.tables) <= names


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    with connect(tmp_path).begin() as connection:
        upgrade(connection)
        before = connection.execute(sa.text("select sql from sqlite_master order by name")).all()
        upgrade(connection)
        after = connection.execute(sa.text("select sql from sqlite_master order by name")).all()
    assert before == after


def test_the_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with connect(tmp_path).begin() as connection:
        upgrade(connection)
        connection.execute(sa.text("update alembic_version set version_num = '9999_future'"))
        with pytest.raises(Unavailable, match=r"revision 9999_future.*newer Modiste"):
            upgrade(connection)


def test_the_revisions_form_one_line() -> None:
    from alembic.script import ScriptDirectory

    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1
