"""How statements about data are read: databases, projects, views, tables, jobs, and looking."""

from __future__ import annotations

import re

from sqlglot.tokens import TokenType

from modiste.sql import grammar_query, lexer
from modiste.sql.lexer import Cursor, word
from modiste.sql.statements import (
    AlterDatabase,
    CreateDatabase,
    CreateJob,
    CreateView,
    Describe,
    DropDatabase,
    DropJob,
    DropTable,
    DropView,
    Raw,
    Show,
    Statement,
)
from modiste.sql.values import parameters

UNITS = ("MIN", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH")
DESCRIBED = ("MODEL", "PREDICTOR", "JOB", "DATABASE", "PROJECT", "ML_ENGINE", "VIEW", "TABLE")


def if_not_exists(at: Cursor) -> bool:
    return at.accept("IF", "NOT", "EXISTS")


def if_exists(at: Cursor) -> bool:
    return at.accept("IF", "EXISTS")


def raw(at: Cursor) -> Raw:
    """`db (sql)` or `(sql)`"""
    database = None if at.sees("(") else at.name()
    return Raw(database, at.inside())


def create_database(at: Cursor) -> Statement:
    there = if_not_exists(at)
    name = at.name(made=True)
    at.accept("WITH")
    if not at.accept("ENGINE"):
        return CreateDatabase(name, None, {}, there)
    at.accept("=")
    token = at.next()
    engine: str | None = token.text.lower()
    at.accept(",")
    given = parameters(at) if at.sees("PARAMETERS") else {}
    if engine == "mindsdb":  # So its SDK makes projects.
        engine = None
    return CreateDatabase(name, engine, given, there)


def create_project(at: Cursor) -> Statement:
    there = if_not_exists(at)
    return CreateDatabase(at.name(made=True), None, {}, there)


def alter(at: Cursor) -> Statement:
    at.expect("ALTER")
    if not at.one_of("DATABASE", "SCHEMA"):
        at.fail("expected DATABASE")
    return AlterDatabase(at.name(), parameters(at))


def drop(at: Cursor) -> Statement:
    """Of what no model is; DROP is read."""
    what = at.one_of("DATABASE", "SCHEMA", "PROJECT", "VIEW", "TABLE", "JOB")
    there = if_exists(at)
    if what in ("DATABASE", "SCHEMA", "PROJECT"):
        return DropDatabase(at.name(), there)
    if what == "VIEW":
        return DropView(at.path(), there)
    if what == "TABLE":
        return DropTable(at.path(), there)
    if what == "JOB":
        return DropJob(at.path(), there)
    at.fail("expected MODEL, ML_ENGINE, DATABASE, PROJECT, VIEW, TABLE or JOB")


def create_view(at: Cursor) -> Statement:
    if_not_exists(at)
    name = at.path(made=True)
    database = at.name() if at.accept("FROM") else None
    at.accept("AS")
    return CreateView(name, Raw(database, at.inside()))


def create_job(at: Cursor) -> Statement:
    there = if_not_exists(at)
    name = at.path(made=True)
    at.accept("AS")
    body = _body(at)
    start = end = None
    every: tuple[int, str] | None = None
    condition: tuple[str, ...] = ()
    while at.peek() is not None:
        if at.accept("START"):
            start = _date(at)
        elif at.accept("END"):
            end = _date(at)
        elif at.accept("EVERY"):
            every = _every(at)
        elif at.accept("IF"):
            condition = _body(at)
        else:
            at.fail("expected START, END, EVERY or IF")
    return CreateJob(name, body, condition, start, end, every, there)


def _body(at: Cursor) -> tuple[str, ...]:
    inner = at.inside()
    found = tuple(piece.source for piece in lexer.pieces(inner, at.piece.dialect))
    if not found:
        at.fail("expected statements between the parentheses")
    return found


def _date(at: Cursor) -> str:
    token = at.next()
    if token.token_type is not TokenType.STRING and word(token) != "NOW":
        at.at -= 1
        at.fail("expected 'YYYY-MM-DD HH:MM:SS' or now")
    return token.text


def _every(at: Cursor) -> tuple[int, str]:
    """`EVERY 2 hours`; MindsDB's SDK writes it as a string."""
    token = at.peek()
    n = 1
    if token is not None and token.token_type is TokenType.STRING:
        said = re.fullmatch(r"(?:(\d{1,6})\s+)?([a-z]+?)s?", token.text.strip().lower())
        if said is None or said[2].upper() not in UNITS:
            at.fail("expected minute, hour, day, week or month")
        at.next()
        return int(said[1] or 1), "minute" if said[2] == "min" else said[2]
    if token is not None and token.token_type is TokenType.NUMBER:
        n = int(at.next().text)
    unit = at.one_of(*UNITS, *(f"{unit}S" for unit in UNITS)).removesuffix("S")
    if not unit:
        at.fail("expected minute, hour, day, week or month")
    return n, "minute" if unit == "MIN" else unit.lower()


def describe(at: Cursor) -> Statement:
    at.one_of("DESCRIBE", "DESC", "EXPLAIN")
    what = "" if word(at.peek(1)) in ("", ".") else at.one_of(*DESCRIBED)
    token = at.peek(1)
    if not what and token is not None and token.token_type is TokenType.IDENTIFIER:
        what = at.one_of(*DESCRIBED)
    what = what.lower().replace("predictor", "model")
    return Describe(what, at.path())


def show(at: Cursor) -> Statement:
    """What comes behind SHOW, word by word, until FROM, IN, LIKE or WHERE."""
    at.expect("SHOW")
    full = at.accept("FULL")
    said = []
    while at.peek() is not None and word(at.peek()) not in ("FROM", "IN", "LIKE", "WHERE"):
        said.append(at.next().text.lower())
    if not said:
        at.fail("expected what to show")
    source: tuple[str, ...] = ()
    while at.one_of("FROM", "IN"):
        source = (*at.path(), *source)
    like = at.next().text if at.accept("LIKE") else None
    where = grammar_query.condition(at) if at.sees("WHERE") else None
    return Show(" ".join(said), full, source, like, where)
