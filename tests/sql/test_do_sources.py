"""Databases, projects and views by statement."""

import pytest

from modiste.sql.errors import SqlError


def test_a_database_is_looked_at_before_it_is_kept(speaker) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SqlError, match="Can't connect to db") as refused:
        speaker("CREATE DATABASE gone ENGINE='sqlite' PARAMETERS={'path': 'gone.db'}")
    assert refused.value.code == 1149
    with pytest.raises(SqlError, match="Can't connect to db") as refused:
        speaker("CREATE DATABASE pg ENGINE='postgres' PARAMETERS={'host': '127.0.0.1', 'port': 1, "
                "'user': 'u', 'password': 'sk-hidden', 'database': 'd'}")  # fmt: skip
    assert "sk-hidden" not in refused.value.message
    assert [row["Database"] for row in speaker("SHOW DATABASES LIKE 'gone'")] == []


def test_a_name_that_is_taken_is_told_first(speaker) -> None:  # type: ignore[no-untyped-def]
    text = "ENGINE='sqlite' PARAMETERS={'path': 'gone.db'}"
    for name in ("shop", "mindsdb"):
        with pytest.raises(SqlError) as refused:
            speaker(f"CREATE DATABASE {name} {text}")
        assert (refused.value.code, refused.value.message) == (
            1007, f"Database already exists: {name}",
        )  # fmt: skip
    assert speaker(f"CREATE DATABASE IF NOT EXISTS shop {text}") == "CREATE DATABASE"


def test_projects_come_hold_models_and_go(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker("CREATE PROJECT lab") == "CREATE PROJECT"
    speaker("CREATE MODEL lab.m PREDICT b USING prompt='p', model_name='modiste-tiny'")
    with pytest.raises(SqlError, match="still holds m"):
        speaker("DROP PROJECT lab")
    speaker("USE lab")
    assert speaker("SELECT b FROM m WHERE question='x'") == [{"b": "Hello there."}]
    speaker("DROP MODEL m; USE mindsdb; DROP PROJECT lab")
    with pytest.raises(SqlError) as refused:
        speaker("USE lab")
    assert refused.value.code == 1049


def test_parameters_are_altered_one_by_one(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("CREATE DATABASE other ENGINE='csv' PARAMETERS={'path': 'cities.csv'}")
    with pytest.raises(SqlError, match="did you mean path"):
        speaker("ALTER DATABASE other PARAMETERS = {'pat': 'x'}")
    assert speaker("ALTER DATABASE other PARAMETERS = {'path': 'cities.csv'}") == "ALTER DATABASE"
    assert speaker("DROP DATABASE other") == "DROP DATABASE"
    assert speaker("DROP DATABASE IF EXISTS other") == "DROP DATABASE"
