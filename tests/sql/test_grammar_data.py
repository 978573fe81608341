"""Statements about data, jobs and what there is."""

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.grammar import statements
from modiste.sql.statements import (
    AlterDatabase,
    CreateDatabase,
    CreateJob,
    CreateView,
    Describe,
    DropDatabase,
    DropJob,
    DropTable,
    Raw,
    Show,
)

SAID = {
    "CREATE DATABASE d WITH ENGINE = 'postgres', PARAMETERS = {'a': 1}": CreateDatabase(
        "d", "postgres", {"a": 1}
    ),
    "CREATE DATABASE IF NOT EXISTS d ENGINE 'x' PARAMETERS {}": CreateDatabase("d", "x", {}, True),
    "CREATE PROJECT p": CreateDatabase("p", None, {}),
    "CREATE DATABASE p": CreateDatabase("p", None, {}),
    "ALTER DATABASE d PARAMETERS = {'a': 1}": AlterDatabase("d", {"a": 1}),
    "DROP PROJECT IF EXISTS p": DropDatabase("p", True),
    "CREATE VIEW v FROM d AS (SELECT 1)": CreateView(("v",), Raw("d", "SELECT 1")),
    "DROP TABLE IF EXISTS a.b": DropTable(("a", "b"), True),
    "CREATE JOB j AS (SELECT 'a;''b'; SELECT 2) START now END '2030-01-01' EVERY 2 hours "
    "IF (SELECT 1)": CreateJob(
        ("j",), ("SELECT 'a;''b'", "SELECT 2"), ("SELECT 1",), "now", "2030-01-01", (2, "hour")
    ),
    "CREATE JOB j (SELECT 1) EVERY min": CreateJob(("j",), ("SELECT 1",), every=(1, "minute")),
    "DROP JOB j": DropJob(("j",)),
    "DESCRIBE MODEL p.m.1.metadata": Describe("model", ("p", "m", "1", "metadata")),
    "DESCRIBE model": Describe("", ("model",)),
    "DESC `m`": Describe("", ("m",)),
    "SHOW FULL TABLES FROM d LIKE 'a%'": Show("tables", True, ("d",), "a%"),
    "SHOW MODELS IN p": Show("models", False, ("p",)),
    "SHOW SESSION VARIABLES": Show("session variables"),
}  # fmt: skip


@pytest.mark.parametrize("text", SAID)
def test_a_statement_is_read(text: str) -> None:
    assert statements(text, "mysql") == [SAID[text]]


def test_show_takes_a_condition() -> None:
    (said,) = statements("SHOW MODELS WHERE active = 1", "mysql")
    assert isinstance(said, Show)
    assert said.where is not None
    assert said.where.sql() == "active = 1"


@pytest.mark.parametrize(
    ("said", "every"), [("'60 minutes'", (60, "minute")), ("'hour'", (1, "hour")),
                        ("2 weeks", (2, "week"))],
)  # fmt: skip
def test_a_job_comes_every_so_often_also_in_quotes(said: str, every: tuple[int, str]) -> None:
    (job,) = statements(f"CREATE JOB j (SELECT 1) EVERY {said}", "mysql")
    assert isinstance(job, CreateJob)
    assert job.every == every


def test_a_quoted_time_that_is_none_is_refused() -> None:
    with pytest.raises(SqlError, match="expected minute"):
        statements("CREATE JOB j (SELECT 1) EVERY '2 fortnights'", "mysql")
