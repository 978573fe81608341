"""Rows with their answers, as they are there: early, in order, in little memory, and to an end."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modiste.sql import predict, window
from modiste.sql.errors import SqlError
from modiste.sql.execute import execute
from modiste.sql.result import Row, Rows

MANY = 100_000
SOME = 12_000
ALL = f"USING max_rows = {MANY}"


class Model:
    """In the place of completions: answers a text for the last message, and counts who is out."""

    def __init__(self) -> None:
        self.n_asked, self.n_out, self.most = 0, 0, 0
        self.pause_s = 0.0

    async def __call__(self, serving: object, actor: object, ask: Any) -> Any:
        self.n_asked += 1
        self.n_out += 1
        self.most = max(self.most, self.n_out)
        try:
            await asyncio.sleep(self.pause_s)
        finally:
            self.n_out -= 1
        number = ask.messages[-1].content.partition(" ")[0]
        return SimpleNamespace(choices=[SimpleNamespace(text=f"{number}: {'y' * 200}")])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    made = Model()
    monkeypatch.setattr(predict.completions, "create", made)
    return made


def filled(speaker: Any, name: str, n_rows: int, width: int) -> Path:
    """A source with a table `t` of numbers and texts."""
    path: Path = speaker.session.place.database.settings.sql_files / f"{name}.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE t (id integer, text varchar)")
        rows = ((n, f"{n} {'x' * width}") for n in range(n_rows))
        made.executemany("INSERT INTO t VALUES (?, ?)", rows)
    speaker(f"CREATE DATABASE {name} ENGINE = 'sqlite' PARAMETERS = {{'path': '{path.name}'}}")
    return path


@pytest.fixture(scope="module")
def many(speaker: Any) -> Iterator[Any]:
    path = filled(speaker, "many", SOME, 10)
    yield speaker
    speaker("DROP DATABASE many")
    path.unlink()


async def batches(speaker: Any, text: str) -> Any:
    async with aclosing(execute(text, speaker.session)) as results:
        async for result in results:
            assert isinstance(result, Rows)
            async with aclosing(result.batches) as found:
                async for batch in found:
                    yield batch


FROM = "FROM many.t AS t JOIN m ON m.content = t.text"


def in_use() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
def test_a_hundred_thousand_rows_pass_in_little_memory(speaker: Any, model: Model) -> None:
    """They are 100 MB of text, and answers of 20 MB. What equal prompts were answered is kept up to
    16 MB, so what is in use is compared with what was at row 20,000, when that is full."""
    path = filled(speaker, "more", MANY, 1000)
    text = f"SELECT t.id, m.answer FROM more.t AS t JOIN m ON m.content = t.text {ALL}"
    first = 0
    used: list[tuple[int, int]] = []

    async def read() -> None:
        nonlocal first
        at = 0
        async for batch in batches(speaker, text):
            if batch and not first:
                first = model.n_asked
            for id_, answer in batch:
                assert (id_, answer.partition(":")[0]) == (at, str(at))
                at += 1
            if at >= 20_000:
                used.append((in_use(), sys.getallocatedblocks()))
        assert at == MANY

    try:
        asyncio.run(read())
    finally:
        speaker("DROP DATABASE more")
        path.unlink()
    assert model.n_asked == MANY
    assert 0 < first < 1000, "the first row is there long before the last is asked"
    assert 1 < model.most <= window.AT_A_TIME
    grown = max(process for process, _ in used) - used[0][0]
    assert grown < 40e6, "the process does not grow with the rows"
    blocks = max(python for _, python in used) - used[0][1]
    assert blocks < 50_000, "nor does Python: it holds less than a thing for every second row"


def test_the_first_row_is_there_while_others_are_asked(many: Any, model: Model) -> None:
    model.pause_s = 0.01

    async def read() -> tuple[list[Row], int]:
        found = batches(many, f"SELECT t.id {FROM} {ALL}")
        async with aclosing(found):
            while not (batch := await anext(found)):
                pass
            return batch, model.n_asked

    batch, n_asked = asyncio.run(read())
    assert batch[0] == (0,)
    assert n_asked < 600, "a window of rows"
    assert model.n_out == 0, "nobody reads on, so nobody is asked"


def test_a_limit_stops_the_asking_in_the_order_of_the_data(many: Any, model: Model) -> None:
    model.pause_s = 0.001
    told = many(f"SELECT t.id {FROM} WHERE m.answer LIKE '%9: %' ORDER BY t.id DESC LIMIT 3 "
                f"OFFSET 1 {ALL}")  # fmt: skip
    assert [row["id"] for row in told] == [11989, 11979, 11969]
    assert model.n_asked < 2000
    assert many(f"SELECT t.id {FROM} WHERE m.answer <> '' LIMIT 0 {ALL}") == []


def test_groups_and_orders_of_answers_wait_for_all_rows(many: Any, model: Model) -> None:
    few = f"{FROM} WHERE t.id < 1000"
    told = many(f"SELECT substr(m.answer, 1, 1) AS a, count(*) AS n {few} GROUP BY a ORDER BY a")
    assert [(row["a"], row["n"]) for row in told][:3] == [("0", 1), ("1", 111), ("2", 111)]
    assert model.n_asked == 1000
    told = many(f"SELECT t.id {few} ORDER BY m.answer DESC LIMIT 2")
    assert [row["id"] for row in told] == [9, 99], "a colon is greater than a digit"
    told = many(f"SELECT DISTINCT length(m.answer) AS n {few} ORDER BY n")
    assert [row["n"] for row in told] == [203, 204, 205]
    told = many(f"SELECT row_number() OVER (ORDER BY t.id DESC) AS r {few} LIMIT 1")
    assert told == [{"r": 1000}]


def test_more_rows_than_allowed_are_counted_and_nobody_is_asked(many: Any, model: Model) -> None:
    with pytest.raises(SqlError, match="12,000 rows would be asked, and 10,000 are allowed"):
        many(f"SELECT answer {FROM}")
    assert model.n_asked == 0
    model.pause_s = 0.2
    with pytest.raises(SqlError, match="USING max_rows = 12000"):
        many(f"SELECT answer {FROM} USING max_rows = 11000")
    assert model.n_asked < 5000, "it is told as soon as it is known"


def test_cancelling_ends_all_questions_at_once(many: Any, model: Model) -> None:
    model.pause_s = 60

    async def read() -> None:
        async for _ in batches(many, f"SELECT answer {FROM} {ALL}"):
            """Nothing is answered."""

    async def work() -> None:
        reading = asyncio.create_task(read())
        while model.n_out < window.AT_A_TIME:
            await asyncio.sleep(0.001)
        began = time.monotonic()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert model.n_out == 0
        assert time.monotonic() - began < 5

    asyncio.run(work())


def test_a_query_that_is_never_read_lets_its_source_go(speaker: Any, model: Model) -> None:
    assert speaker.labels("SELECT t.id AS a, m.answer FROM shop.asked AS t JOIN m "
                          "ON m.content = t.text") == ["a", "answer"]  # fmt: skip
    assert model.n_asked == 0


def test_a_chat_is_asked_when_all_its_rows_are_there(speaker: Any, model: Model) -> None:
    talk = (
        "FROM shop.asked AS t JOIN m AS a ON a.content = t.text JOIN m AS b ON b.content = t.text"
    )
    told = speaker(f"SELECT t.id, a.answer AS x, b.answer AS y {talk} WHERE t.id <> 3 "
                   "ORDER BY t.id USING a.mode = 'conversational'")  # fmt: skip
    assert [row["id"] for row in told] == [1, 2, 4]
    assert [row["x"] for row in told] == ["", "", f"Hi: {'y' * 200}"]
    assert [row["y"][:3] for row in told] == ["Hi:", "Bye", "Hi:"]
    assert model.n_asked == 3


def test_data_that_is_joined_here_and_queries_in_a_source_s_words(
    speaker: Any, model: Model
) -> None:
    told = speaker(
        "SELECT t.id, c.city, m.answer FROM shop.asked AS t LEFT JOIN places.cities AS c "
        "ON c.id = t.id JOIN m ON m.content = c.city ORDER BY t.id DESC"
    )
    assert [(row["id"], (row["answer"] or "")[:5]) for row in told] == [
        (4, ""), (3, ""), (2, "Rome:"), (1, "Paris"),
    ]  # fmt: skip
    own = "shop (SELECT id, id, text AS content FROM asked)"
    told = speaker(f"SELECT t.*, answer FROM {own} AS t JOIN m WHERE t.id < 3 AND t.id_1 > 1")
    assert [(row["id"], row["id_1"], row["answer"][:4]) for row in told] == [(2, 2, "Bye:")]
    assert len(speaker(f"SELECT answer FROM {own} AS t JOIN m")) == 4


@pytest.mark.slow
def test_a_source_that_goes_away_is_told_after_the_rows_that_came(
    speaker: Any, model: Model, postgresql_server: str
) -> None:
    psycopg = pytest.importorskip("psycopg", reason="run `make install`")
    host = postgresql_server.partition("host=")[2]
    speaker("CREATE DATABASE away ENGINE='postgres' PARAMETERS="
            f"{{'host': '{host}', 'user': 'modiste', 'database': 'postgres'}}")  # fmt: skip
    slow = ("SELECT g AS id, g || ' ' || repeat('z', 5000) AS content, pg_sleep(0.001) IS NULL s "
            "FROM generate_series(0, 99999) AS g")  # fmt: skip
    seen: list[Any] = []

    async def read() -> None:
        text = f"SELECT t.id FROM away ({slow}) AS t JOIN m {ALL}"
        async for batch in batches(speaker, text):
            if batch and not seen:
                await asyncio.to_thread(kill)
            seen.extend(batch)

    def kill() -> None:
        with psycopg.connect(f"host={host} user=modiste dbname=postgres", autocommit=True) as other:
            found = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s"
            other.execute(f"{found} AND pid <> pg_backend_pid()", ("%repeat('z', 5000)%",))

    with pytest.raises(SqlError, match=r"away: .*terminat"):
        asyncio.run(read())
    speaker("DROP DATABASE away")
    assert 0 < len(seen) < MANY
    assert seen == [(n,) for n in range(len(seen))], "all that came, in order"
    assert model.n_asked == len(seen)
