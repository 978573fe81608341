"""Projects, engines and views share names sensibly."""

from __future__ import annotations

import pytest

from modiste.actions import projects
from modiste.errors import Conflict, Forbidden, InvalidInput, NotFound
from modiste.store.database import Database
from modiste.types import Actor, SqlView


def test_a_project_comes_is_taken_and_goes(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        projects.create(tx, admin, "lab")
        assert projects.list_(tx, admin) == ("mindsdb", "lab")
        for name in ("lab", "mindsdb", "information_schema"):
            with pytest.raises(Conflict, match=f"Database already exists: {name}"):
                projects.create(tx, admin, name)
        projects.create_view(tx, admin, SqlView("lab", "v", "SELECT 1", None))
        with pytest.raises(Conflict, match="still holds v"):
            projects.drop(tx, admin, "lab")
        projects.drop_view(tx, admin, "lab", "v")
        projects.drop(tx, admin, "lab")
        with pytest.raises(NotFound):
            projects.drop(tx, admin, "lab")
        with pytest.raises(Conflict, match="always there"):
            projects.drop(tx, admin, "mindsdb")


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_engines_are_made_of_handlers(database: Database, admin: Actor, other: Actor) -> None:
    with database.transaction() as tx:
        assert projects.engine_of(tx, admin, "anyscale_endpoints").handler == "anyscale_endpoints"
        assert [each.name for each in projects.engines(tx, other)] == ["anyscale_endpoints"]
        with pytest.raises(Conflict, match="Integration already exists"):
            projects.create_engine(tx, admin, "anyscale_endpoints", "modiste", {})
        with pytest.raises(InvalidInput, match="There is no engine 'odd'"):
            projects.engine_of(tx, admin, "odd")
        projects.drop_engine(tx, admin, "anyscale_endpoints")


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_view_needs_its_project_and_a_name_of_its_own(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        view = SqlView("mindsdb", "v", "SELECT 1", "src")
        assert projects.create_view(tx, admin, view) == view
        assert projects.views(tx, admin) == (view,)
        with pytest.raises(Conflict):
            projects.create_view(tx, admin, view)
        with pytest.raises(NotFound):
            projects.create_view(tx, admin, SqlView("nope", "v", "SELECT 1", None))
        nobody = Actor("k", admin.org, frozenset())
        with pytest.raises(Forbidden):
            projects.create_view(tx, nobody, view)
