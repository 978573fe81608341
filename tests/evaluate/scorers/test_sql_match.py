"""SQL judged by what it returns."""

import asyncio
import time

import pytest

from modiste.evaluate.items import Answer, Item, Status
from modiste.evaluate.scorers.sql_match import as_written, has_order, statement

PLAYERS = "CREATE TABLE players (name VARCHAR, team VARCHAR, goals INTEGER, fee REAL)"
TEAMS = f"{PLAYERS}; CREATE TABLE teams (team VARCHAR, city VARCHAR)"


@pytest.fixture
def sql(bench):
    made = []

    def graded(said: str, right: str, schema: str = PLAYERS, **options):
        if not made or options:
            made.append(bench("sql_match", **options))
        row = {"context": schema, "rows": options.get("inserts", "")}
        return made[-1].grade(Item("k", row, right), Answer(said))

    yield graded
    for each in made:
        each.scorer.close()


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("SELECT name FROM players WHERE team = 'Bern'",
         'select P.name from players P where P.team = "Bern";'),
        ("SELECT COUNT(*) FROM players", "SELECT COUNT(name) FROM players"),
        ("SELECT AVG(fee) FROM players", "SELECT SUM(fee) / COUNT(fee) FROM players"),
        ("SELECT DISTINCT team FROM players", "SELECT team FROM players GROUP BY team"),
        ("SELECT name FROM players WHERE goals >= 3 AND team = 'X'",
         "SELECT name FROM players WHERE team = 'X' AND NOT goals < 3"),
        ("```sql\nSELECT name FROM players;\n```\nand so on", "SELECT name FROM players"),
    ],
)  # fmt: skip
def test_other_words_for_the_same_rows_are_right(sql, said: str, right: str) -> None:
    score = sql(said, right)
    assert (score.value, score.label, score.reason) == (1, "execution", "")


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("SELECT name FROM players WHERE goals > 3", "SELECT name FROM players WHERE goals >= 3"),
        ("SELECT name FROM players", "SELECT name FROM players WHERE team = 'Bern'"),
        ("SELECT name FROM players WHERE team = 'bern'",
         "SELECT name FROM players WHERE team = 'Bern'"),
        ("SELECT MAX(goals) FROM players", "SELECT MIN(goals) FROM players"),
        ("SELECT name, team FROM players", "SELECT team, name FROM players"),
        ("SELECT team FROM players", "SELECT DISTINCT team FROM players"),
        ("SELECT goals FROM players ORDER BY goals DESC",
         "SELECT goals FROM players ORDER BY goals"),
        ("SELECT name FROM players WHERE team = 'A' OR goals = 1",
         "SELECT name FROM players WHERE team = 'A' AND goals = 1"),
    ],
)  # fmt: skip
def test_another_meaning_is_wrong(sql, said: str, right: str) -> None:
    score = sql(said, right)
    assert (score.value, score.reason) == (0, "returns other rows")


def test_order_counts_only_where_the_reference_has_one(sql) -> None:
    ordered = "SELECT goals FROM players ORDER BY goals"
    assert sql(ordered, "SELECT goals FROM players").value == 1
    assert sql("SELECT goals FROM players", ordered).value == 0
    assert not has_order("SELECT a FROM (SELECT a FROM t ORDER BY a) WHERE b = 'order by'")
    assert has_order("SELECT a FROM t ORDER\n BY a")


def test_joins_find_partners_in_made_up_rows(sql) -> None:
    joined = "SELECT p.name FROM players p JOIN teams t ON p.team = t.team WHERE t.city = 'Bern'"
    inner = "SELECT name FROM players p, teams t WHERE t.city = 'Bern' AND t.team = p.team"
    assert sql(inner, joined, TEAMS).label == "execution"
    assert sql(inner, joined, TEAMS).value == 1
    assert sql(inner.replace("Bern", "Basel"), joined, TEAMS).value == 0


def test_nothing_and_nothing_is_compared_as_text(sql) -> None:
    never = "SELECT name FROM players WHERE 1 = 0"
    same, other = (
        sql("select NAME from players\nwhere 1=0", never),
        sql(f"{never} AND 2 = 2", never),
    )
    assert (same.value, same.label) == (1, "text")
    assert (other.value, other.label) == (0, "text")
    assert other.reason.startswith("the reference returns nothing on any database")
    assert as_written('SELECT "A b"') == as_written("select  'A b'") != as_written("select 'a b'")


@pytest.mark.parametrize(
    "attack",
    [
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "PRAGMA writable_schema = 1",
        "DELETE FROM players",
        "DROP TABLE players",
        "INSERT INTO players VALUES (1, 2, 3, 4)",
        "CREATE TABLE x (a)",
        "SELECT load_extension('x')",
        "VACUUM INTO '/tmp/x.db'",
        "SELECT readfile('/etc/passwd')",
        "SELECT zeroblob(2000000000)",
        "SELECT hex(zeroblob(900000)) || hex(zeroblob(900000))",
    ],
)
def test_a_query_may_only_read(sql, attack: str) -> None:
    score = sql(attack, "SELECT name FROM players")
    assert score.value == 0
    assert score.reason.startswith("does not run: ")
    assert sql("SELECT name FROM players", "SELECT name FROM players").value == 1


@pytest.mark.parametrize(
    "endless",
    [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
    ],
)
def test_a_query_without_end_is_stopped(sql, endless: str) -> None:
    started = time.monotonic()
    score = sql(endless, "SELECT name FROM players", limit_s=0.3)
    assert score.value == 0
    assert "stopped after 0.3 s" in score.reason or "more than 10000 rows" in score.reason
    assert time.monotonic() - started < 30
    assert sql("SELECT name FROM players", "SELECT name FROM players").value == 1


def test_rows_of_the_suite_are_used_where_it_gives_them(bench) -> None:
    match = bench("sql_match", inserts="{{rows}}")
    row = {"context": PLAYERS, "rows": "INSERT INTO players VALUES ('a', 'b', 1, 0.1 + 0.2)"}
    item = Item("k", row, "SELECT fee FROM players")
    assert match.grade(item, Answer("SELECT 0.3 FROM players")).value == 1
    assert match.grade(item, Answer("SELECT 0.31 FROM players")).value == 0
    match.scorer.close()


def test_what_the_dataset_gets_wrong_is_not_the_models_fault(sql) -> None:
    assert sql("SELECT 1", "SELECT nope FROM players").status is Status.ERROR
    assert sql("SELECT 1", "SELECT 1", "CREATE TABLE (").status is Status.ERROR
    assert sql("", "SELECT name FROM players").value == 0
    assert sql("SELECT nope FROM players", "SELECT name FROM players").reason == (
        "does not run: no such column: nope"
    )


def test_a_template_that_names_what_the_row_lacks_says_so(bench) -> None:
    score = bench("sql_match", schema="{{tables}}").score("SELECT 1", "SELECT 1", context="x")
    assert score.status is Status.ERROR
    assert "'tables' is undefined" in score.reason


def test_figures_tell_what_runs_and_what_was_compared_as_text(bench) -> None:
    match = bench("sql_match")
    pairs = [
        ("SELECT name FROM players", "SELECT name FROM players"),
        ("SELECT nope", "SELECT name FROM players"),
        ("SELECT name FROM players WHERE 1=0", "SELECT name FROM players WHERE 1=0"),
    ]
    samples = [
        match.sample(Item(f"i{at}", {"context": PLAYERS}, right), said)
        for at, (said, right) in enumerate(pairs)
    ]
    metrics = match.metrics(samples)
    assert metrics["mean"].estimate.value == pytest.approx(2 / 3)
    assert metrics["runs"].estimate.value == pytest.approx(2 / 3)
    assert metrics["mean"].notes[0].startswith("1 references return nothing")
    match.scorer.close()


def test_many_answers_are_judged_at_once(bench) -> None:
    """Each in its turn, by one child."""
    match = bench("sql_match")
    item = Item("k", {"context": PLAYERS}, "SELECT name FROM players WHERE goals > 2")

    async def all_of_them() -> list[float | None]:
        scorer = match.scorer
        graded = (scorer.score(item, Answer(str(item.reference)), None) for _ in range(50))
        return [score.value for score in await asyncio.gather(*graded)]

    assert asyncio.run(all_of_them()) == [1.0] * 50
    match.scorer.close()


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("SELECT 1; SELECT 2", "SELECT 1"),
        ("SELECT ';' ; x", "SELECT ';'"),
        ("Sure:\n```sql\nSELECT 1\n```", "SELECT 1"),
        ("The query is\nSELECT a\nFROM t", "SELECT a\nFROM t"),
        ("", ""),
    ],
)
def test_the_first_statement_is_taken_out_of_an_answer(text: str, sql: str) -> None:
    assert statement(text) == sql
