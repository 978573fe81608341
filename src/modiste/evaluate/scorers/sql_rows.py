"""Rows made up for tables that come without any, so that queries are compared by what they return.

As in test-suite evaluation (Zhong, Yu and Klein 2020) there are several databases, made so that two
queries that mean different things return different rows on one of them at least: values that either
query compares a column with stand in that column often enough for conditions to hold together, near
misses beside them, and values are shared between tables so that joins find partners. There is no
NULL: COUNT(x) and COUNT(*) are the same here. Everything is a function of the seed. Standard
library only: `sql_child` runs outside the package.
"""

from __future__ import annotations

import random
import re
import sqlite3
from typing import Any

ROWS = (12, 30, 20, 40, 25)
"""Of each table, by the number of the fill."""
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "7", "12", "3")
LITERAL = r"'(?:[^']|'')*'|\"[^\"]*\"|-?\d+(?:\.\d+)?"
COMPARED = re.compile(
    rf"([\w.\"`\[\]]+)\s*(?:=|==|<>|!=|<=|>=|<|>|\bNOT\s+LIKE\b|\bLIKE\b|\bIS\b)\s*({LITERAL})",
    re.I,
)
LISTED = re.compile(
    rf"([\w.\"`\[\]]+)\s+(?:NOT\s+)?IN\s*\(\s*((?:{LITERAL})(?:\s*,\s*(?:{LITERAL}))*)\s*\)", re.I
)
BETWEEN = re.compile(rf"([\w.\"`\[\]]+)\s+BETWEEN\s+({LITERAL})\s+AND\s+({LITERAL})", re.I)
NUMERIC = re.compile(r"INT|REAL|FLOA|DOUB|NUM|DEC", re.I)


def hints(*queries: str) -> dict[str, list[str]]:
    """Column (lower case, without its table) to the values it is compared with, as text."""
    found: dict[str, list[str]] = {}
    for query in queries:
        for column, literal in COMPARED.findall(query):
            found.setdefault(_column(column), []).append(_value(literal))
        for column, listed in LISTED.findall(query):
            for literal in re.findall(LITERAL, listed):
                found.setdefault(_column(column), []).append(_value(literal))
        for column, low, high in BETWEEN.findall(query):
            found.setdefault(_column(column), []).extend((_value(low), _value(high)))
    return {column: sorted(set(values)) for column, values in found.items()}


def fill(
    database: sqlite3.Connection, compared: dict[str, list[str]], seed: str, number: int
) -> None:
    rng = random.Random(seed)  # noqa: S311
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    for (table,) in tables.fetchall():
        columns = database.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
        kinds = [
            (compared.get(str(name).lower(), []), NUMERIC.search(str(kind or "")) is not None)
            for _, name, kind, *_ in columns
        ]
        rows = [
            [_made(rng, values, numeric, number) for values, numeric in kinds]
            for _ in range(ROWS[number % len(ROWS)])
        ]
        holes = ", ".join("?" * len(columns))
        database.executemany(f"INSERT OR IGNORE INTO {_quoted(table)} VALUES ({holes})", rows)  # noqa: S608


def _made(rng: random.Random, values: list[str], numeric: bool, number: int) -> Any:
    if values and rng.random() < 0.6:
        value = rng.choice(values)
        return _near(rng, value) if rng.random() < 0.2 else _fitting(value, numeric)
    if numeric:
        return rng.randint(0, 9) if number % 2 else rng.randint(0, 200)
    return rng.choice(WORDS)


def _fitting(value: str, numeric: bool) -> Any:
    """A LIKE pattern becomes a text that matches it."""
    if numeric:
        try:
            return float(value) if "." in value else int(value)
        except ValueError:
            return value
    return value.replace("%", "zz").replace("_", "q") if "%" in value else value


def _near(rng: random.Random, value: str) -> Any:
    """Almost it: one more or less, or another case."""
    try:
        return (
            float(value) + rng.choice((-1, 1)) if "." in value else int(value) + rng.choice((-1, 1))
        )
    except ValueError:
        return rng.choice((value.swapcase(), value + " x", "x " + value))


def _column(name: str) -> str:
    return name.split(".")[-1].strip('"`[]').lower()


def _value(literal: str) -> str:
    if literal[0] == "'":
        return literal[1:-1].replace("''", "'")
    return literal[1:-1] if literal[0] == '"' else literal


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
