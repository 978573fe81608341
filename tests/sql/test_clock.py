"""Jobs as they run: their statements, their conditions, and what became of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from speaking import Speaker, Table

from modiste.actions.sql_jobs import Body, Run
from modiste.sql import clock
from modiste.sql.errors import SqlError


def run(speaker: Speaker) -> None:
    """Look at the clock, and wait for what is due."""

    async def go() -> None:
        await clock.tick(speaker.session.place)
        await asyncio.gather(*speaker.session.place.tasks)

    asyncio.run(go())


def again(speaker: Speaker) -> None:
    """As `run`, an hour later."""
    database = speaker.session.place.database
    path = database.settings.home / "modiste.db"
    with sqlite3.connect(path) as store:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        store.execute("UPDATE sql_jobs SET next_run_at = ?", (now,))
    run(speaker)


def history(speaker: Speaker, name: str) -> Table:
    told: Table = speaker(f"SELECT * FROM log.jobs_history WHERE NAME = '{name}'")
    return told


@pytest.fixture
def shop(speaker: Speaker) -> Iterator[Speaker]:
    speaker("CREATE OR REPLACE TABLE shop.news (id int, text text)")
    speaker("CREATE OR REPLACE TABLE shop.told (id int, answer text)")
    yield speaker
    speaker("DROP TABLE shop.news; DROP TABLE shop.told")


def test_new_rows_are_answered_each_once_by_what_is_after_last(shop: Speaker) -> None:
    shop("INSERT INTO shop.news VALUES (1, 'old')")
    shop("CREATE JOB news (INSERT INTO shop.told SELECT n.id, m.answer FROM shop.news AS n JOIN m "
         "ON m.content = n.text WHERE n.id > LAST) EVERY 1 hour")  # fmt: skip
    (job,) = shop("SHOW JOBS")
    assert (job["NAME"], job["PROJECT"], job["SCHEDULE_STR"]) == ("news", "mindsdb", "every 1 hour")
    run(shop)
    assert shop("SELECT * FROM shop.told") == []
    shop("INSERT INTO shop.news VALUES (2, 'new'), (3, 'newer')")
    again(shop)
    run(shop)  # Not due: nothing runs twice.
    assert [row["id"] for row in shop("SELECT id FROM shop.told ORDER BY id")] == [2, 3]
    assert [run["ERROR"] for run in history(shop, "news")] == [None, None]
    with pytest.raises(SqlError, match="Job already exists: news"):
        shop("CREATE JOB news (SELECT 1)")
    assert shop("CREATE JOB IF NOT EXISTS news (SELECT 1); DROP JOB news") == "DROP JOB"
    with pytest.raises(SqlError, match="Job does not exist: news"):
        shop("DROP JOB news")


def test_last_begins_where_it_is_told_and_stays_when_a_run_fails(shop: Speaker) -> None:
    shop("INSERT INTO shop.news VALUES (1, 'a'), (2, 'b')")
    shop("CREATE JOB seeded (INSERT INTO shop.told SELECT id, text FROM shop.news "
         "WHERE id > COALESCE(LAST, 1); SELECT * FROM shop.later) EVERY 1 day")  # fmt: skip
    run(shop)
    (told,) = history(shop, "seeded")
    assert "no such table: later" in str(told["ERROR"])
    shop("CREATE TABLE shop.later (SELECT 1 AS a)")
    again(shop)
    again(shop)
    # The failed run wrote row 2, and as LAST stayed, so did the next; the third had none.
    assert [row["id"] for row in shop("SELECT id FROM shop.told")] == [2, 2]
    shop("DROP JOB seeded; DROP TABLE shop.later")


def test_a_condition_without_rows_runs_nothing_and_is_not_in_the_history(shop: Speaker) -> None:
    shop("CREATE JOB cond (INSERT INTO shop.told VALUES (1, '{{START_DATE}} {{content}}')) "
         "EVERY 2 hours IF (SELECT 1; SELECT * FROM shop.news)")  # fmt: skip
    run(shop)
    assert (history(shop, "cond"), shop("SELECT * FROM shop.told")) == ([], [])
    shop("INSERT INTO shop.news VALUES (1, 'a')")
    again(shop)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert shop("SELECT answer FROM shop.told") == [{"answer": f"{today} {{{{content}}}}"}]
    (job,) = shop("SELECT * FROM information_schema.jobs")
    assert job["IF_QUERY"] == "SELECT 1; SELECT * FROM shop.news"
    assert shop("DESCRIBE JOB cond") == [job]
    shop("DROP JOB cond")


def test_a_run_that_is_cut_off_says_so(shop: Speaker) -> None:
    shop.engine.pause_s = 30.0
    shop("CREATE JOB cut (SELECT answer FROM m WHERE content = 'x')")

    async def go() -> None:
        await clock.tick(shop.session.place)
        await asyncio.sleep(0.3)
        await shop.session.place.close()

    asyncio.run(go())
    assert [run["ERROR"] for run in history(shop, "cut")] == ["The server ended while it ran."]
    assert shop("SHOW JOBS") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CREATE JOB x (SELEC 1)", "Unable to parse: no statement begins so"),
        ("CREATE JOB x (SELECT 1) IF (DROP TABLE shop.t)", "IF ends in a query"),
        ("CREATE JOB x (SELECT 1) START 'soon'", "expected 'YYYY-MM-DD HH:MM:SS' \\(UTC\\) or now"),
        ("CREATE JOB x (SELECT 1) START '2030-01-02' END '2030-01-01'", "is before START"),
        ("CREATE JOB x (SELECT 1) EVERY 0 hours", "EVERY 0: expected 1 to 10,000 hours"),
        ("CREATE JOB nope.x (SELECT 1)", "Database does not exist: nope"),
        ("SELECT * FROM log.x", "Table 'x' not found in database: log"),
    ],
)
def test_what_cannot_be_is_told(speaker: Speaker, text: str, told: str) -> None:
    with pytest.raises(SqlError, match=told):
        speaker(text)


def test_times_stand_in_the_text_under_their_names() -> None:
    at, before = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC)
    told = Run(1, 1, "", None, "p", "j", "mysql", Body((), ()), at, before, {})  # type: ignore[arg-type]
    text = "{{START_DATETIME}} {{START_DATE}} {{PREVIOUS_START_DATETIME}} {{x}}"
    assert clock.filled(text, told) == ("2026-01-02 03:04:05 2026-01-02 2025-12-31 00:00:00 {{x}}")
    assert clock.filled("{{PREVIOUS_START_DATETIME}}", told._replace(before=None)) == (
        "2026-01-02 03:04:05"
    )
