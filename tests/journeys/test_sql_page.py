"""docs/sql-statements.md says what its statements answer: this runs the page and compares.

`make docs-sql` runs it to write the answers anew. Figures that differ from run to run (times, ids,
numbers a machine decides) are not compared, and of `sql answers` blocks only columns and the
number of rows are: what a model says depends on its processor's last bits.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from modiste.sql import statements
from modiste.sql.grammar import statements as parsed

pymysql = pytest.importorskip("pymysql", reason="pip install 'modiste[sql]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "sql-statements.md"
WRITE = os.environ.get("MODISTE_WRITE_PAGES") == "1"
BLOCK = re.compile(
    r"^```(?P<kind>sql|sql answers)\n(?P<sql>.*?)^```\n(?:\n```text\n(?P<told>.*?)^```\n)?"
    r"|^<!-- until: (?P<until>.*?) -->\n",
    re.MULTILINE | re.DOTALL,
)
PLACE = '{"host": "127.0.0.1", "user": "reader", "password": "…", "database": "shop"}'
WIDEST = 60
"""Signs of a cell that are shown."""
WIDE = 120
"""A table that is wider is shown row by row, a line for each column."""
CHATS = 110


class Told(NamedTuple):
    text: str
    shape: tuple[tuple[str, ...], int]
    """Columns, and how many rows; an error has its text for a column."""


class Talk:
    """One connection, whose `USE` holds for what follows."""

    def __init__(self, connection: Any, folder: str) -> None:
        """
        Args:
            folder: where PostgreSQL is in this run, which the page calls 127.0.0.1.
        """
        self._connection, self._folder = connection, folder

    def __call__(self, text: str) -> Told:
        with self._connection.cursor() as cursor:
            try:
                n = cursor.execute(text.strip().rstrip(";"))
            except pymysql.err.MySQLError as error:
                code, said = error.args
                return Told(f"ERROR {code}: {said}", ((f"{code} {said}",), 0))
            if cursor.description is None:
                return Told(f"ok, {n} row{'s' * (n > 1)}" if n else "ok", ((), n))
            columns = tuple(column[0] for column in cursor.description)
            rows = [[self._shown(cell) for cell in row] for row in cursor.fetchall()]
            return Told(table(columns, rows), (columns, len(rows)))

    def _shown(self, cell: object) -> str:
        text = "NULL" if cell is None else str(cell).replace("\n", " ")
        text = text.replace(self._folder, "127.0.0.1")
        return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


@pytest.fixture(scope="module")
def shop(postgresql_server: str) -> Iterator[str]:
    """The folder of the socket of a PostgreSQL with a database `shop`."""
    import psycopg

    folder = postgresql_server.partition("host=")[2]
    url = f"postgresql://modiste@/%s?host={folder}"
    with psycopg.connect(url % "postgres", autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS shop")
        admin.execute("CREATE DATABASE shop")
        with (
            psycopg.connect(url % "shop", autocommit=True) as connection,
            connection.cursor() as to,
        ):
            to.execute("CREATE TABLE questions (id int, topic text, question text)")
            to.execute("CREATE TABLE chats (id int, role text, content text)")
            to.execute("CREATE TABLE pairs (question text, reply text)")
            asked = [
                (n, ("parcel", "refund")[n % 2], f"Where is {('parcel', 'refund')[n % 2]} {n}?")
                for n in range(1, 6)
            ]
            to.executemany("INSERT INTO questions VALUES (%s, %s, %s)", asked)
            to.executemany("INSERT INTO chats VALUES (%s, %s, %s)", chats())
            pairs = [(f"Where is parcel {n}?", f"Parcel {n} is in van {n}.") for n in range(CHATS)]
            to.executemany("INSERT INTO pairs VALUES (%s, %s)", pairs)
        yield folder
        admin.execute("DROP DATABASE shop WITH (FORCE)")


def chats() -> list[tuple[int, str, str]]:
    turns = [
        turn
        for n in range(CHATS)
        for turn in (
            ("system", "You answer for a parcel service."),
            ("user", f"Where is parcel {n}?"),
            ("assistant", f"Parcel {n} is in van {n}."),
        )
    ]
    return [(at, *turn) for at, turn in enumerate(turns)]


@pytest.fixture(scope="module")
def talk(served: Any, shop: str) -> Iterator[Talk]:
    ports = json.loads((served.process_dir / "server.json").read_text())["sql"]
    connection = pymysql.connect(
        host="127.0.0.1", port=ports["mysql"], user="modiste", password=served.key, autocommit=True
    )
    yield Talk(connection, shop)
    connection.close()
    # A name that a version was promoted to outlives the version.
    httpx.delete(
        f"{served.url}/v1/models/aliases/parcels@production",
        headers={"authorization": f"Bearer {served.key}"},
    )


def test_every_statement_answers_what_the_page_says(talk: Talk, shop: str) -> None:
    page, at, made = PAGE.read_text(encoding="utf-8"), 0, ""
    differs: list[str] = []
    here = json.dumps({"host": shop, "user": "modiste", "database": "shop"})
    for block in BLOCK.finditer(page):
        made += page[at : block.start()]
        at = block.end()
        if block["until"]:
            wait(talk, block["until"])
            made += block[0]
            continue
        told = talk(block["sql"].replace(PLACE, here))
        made += f"```{block['kind']}\n{block['sql']}```\n\n```text\n{told.text}\n```\n"
        if difference := compared(block, told):
            differs.append(f"{block['sql']}{difference}")
    made += page[at:]
    if WRITE:
        PAGE.write_text(made, encoding="utf-8")
        return
    assert not differs, "make docs-sql writes the page anew:\n\n" + "\n\n".join(differs)


def test_the_page_has_every_statement_there_is() -> None:
    blocks = [
        found["sql"]
        for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
        if found["sql"] and not (found["told"] or "").startswith("ERROR 1064")
    ]
    there = {type(each) for text in blocks for each in parsed(text, "mysql")}
    every = {
        each
        for each in vars(statements).values()
        if isinstance(each, type)
        and issubclass(each, statements.Statement)
        and each is not statements.Statement
    }
    assert there == every


def wait(talk: Talk, query: str) -> None:
    deadline = time.monotonic() + 400
    while "generating" in (told := talk(query)).text or "training" in told.text:
        assert time.monotonic() < deadline, told.text
        time.sleep(0.5)


def compared(block: re.Match[str], told: Told) -> str:
    """Nothing where it says the same."""
    before = (block["told"] or "").rstrip("\n")
    if block["kind"] == "sql answers":
        if shape_of(before) == told.shape:
            return ""
    elif masked(before) == masked(told.text):
        return ""
    return f"said:\n{before}\nsays:\n{told.text}"


def shape_of(text: str) -> tuple[tuple[str, ...], int]:
    """Columns and number of rows of a table as the page has it, lying or standing."""
    lines = text.splitlines()
    if len(lines) > 1 and re.fullmatch(r"[-+]+", lines[1]):
        return tuple(cell.strip() for cell in lines[0].split(" | ")), len(lines) - 2
    rows = text.split("\n\n")
    return tuple(line.partition(" | ")[0].strip() for line in rows[0].splitlines()), len(rows)


def masked(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{12,64}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\d+(\.\d+)?", "N", text)
    return re.sub(r"[ \-]+", " ", text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widest = max(map(len, columns))
    if (
        sum(max(len(line[at]) for line in (columns, *rows)) + 3 for at in range(len(columns)))
        > WIDE
    ):
        return "\n\n".join(
            "\n".join(f"{c.ljust(widest)} | {v}" for c, v in zip(columns, row, strict=True))
            for row in rows
        )
    widths = [max(len(line[at]) for line in (columns, *rows)) for at in range(len(columns))]
    lines = [" | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
             for line in (columns, *rows)]  # fmt: skip
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines)
