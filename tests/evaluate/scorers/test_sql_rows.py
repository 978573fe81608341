"""Rows made up so that queries of other meanings return other rows."""

import sqlite3

from modiste.evaluate.scorers.sql_rows import fill, hints


def test_values_that_queries_compare_with_are_found_under_their_columns() -> None:
    found = hints(
        "SELECT a FROM t AS T1 WHERE T1.team = 'O''Neil' AND goals BETWEEN 2 AND 9",
        "SELECT a FROM t WHERE \"Team\" IN (\"x\", 'y') AND name LIKE '%an%' AND fee >= -1.5",
    )
    assert found == {
        "team": ["O'Neil", "x", "y"],
        "goals": ["2", "9"],
        "name": ["%an%"],
        "fee": ["-1.5"],
    }


def test_conditions_hold_together_on_some_rows_and_not_on_all() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (team VARCHAR, goals INTEGER, name VARCHAR)")
    where = "team = 'Bern' AND goals > 3 AND name LIKE '%an%'"
    fill(database, hints(f"SELECT 1 FROM t WHERE {where}"), "seed", 1)
    (some,) = database.execute(f"SELECT COUNT(*) FROM t WHERE {where}").fetchone()
    (every,) = database.execute("SELECT COUNT(*) FROM t").fetchone()
    assert 0 < some < every == 30


def test_the_seed_decides() -> None:
    def rows(seed: str) -> list[tuple[object, ...]]:
        database = sqlite3.connect(":memory:")
        database.execute('CREATE TABLE "odd name" (a INTEGER PRIMARY KEY, b)')
        fill(database, {}, seed, 0)
        return database.execute('SELECT * FROM "odd name"').fetchall()

    assert rows("1") == rows("1") != rows("2")
