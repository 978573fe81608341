"""How statements that write into databases are read."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

from modiste.sql import errors, grammar_query
from modiste.sql.lexer import DIALECTS, Cursor, Piece, word
from modiste.sql.statements import CreateTable, Insert, Select, Statement

QUERY = ("SELECT", "WITH", "VALUES", "(")
SAID_OF_COLUMNS = (
    exp.NotNullColumnConstraint,
    exp.PrimaryKeyColumnConstraint,
    exp.UniqueColumnConstraint,
    exp.AutoIncrementColumnConstraint,
    exp.DefaultColumnConstraint,
)
"""The rest is for the database's own tools."""


def create_table(at: Cursor, replace: bool) -> Statement:
    there = at.accept("IF", "NOT", "EXISTS")
    name = at.path()
    if at.sees("(") and word(at.peek(1)) not in QUERY:
        return CreateTable(name, _columns(at), replace, there)
    at.accept("AS")
    return CreateTable(name, query(at), replace, there)


def insert(at: Cursor) -> Statement:
    at.expect("INSERT", "INTO")
    name, columns = at.path(), []
    if at.sees("(") and word(at.peek(1)) not in QUERY:
        at.expect("(")
        columns = [at.name()]
        while at.accept(","):
            columns.append(at.name())
        at.expect(")")
        if len(set(columns)) < len(columns):
            at.fail(f"a column is named twice in ({', '.join(columns)})")
    return Insert(name, tuple(columns), query(at))


def query(at: Cursor) -> Select:
    """A query in parentheses, or up to the end of the statement."""
    if word(at.peek()) not in QUERY:
        at.fail("expected a query")
    if not at.sees("("):
        return grammar_query.select(at)
    inner = _inside(at)
    if at.peek() is None:
        return query(inner)
    at.at -= len(inner.piece.tokens) + 2
    return grammar_query.select(at)  # `(SELECT ...) UNION ...`


def _inside(at: Cursor) -> Cursor:
    """What stands between the parentheses that open here, as a statement of its own; and past."""
    first = at.at
    at.inside()
    before = sum(each.token_type is TokenType.PLACEHOLDER for each in at.piece.tokens[: first + 1])
    tokens = at.piece.tokens[first + 1 : at.at - 1]
    if not tokens:
        at.fail("expected a query between the parentheses")
    piece = Piece(at.piece.text, tokens, at.piece.dialect, at.piece.first_parameter + before)
    return Cursor(piece, at.parameters)


def _columns(at: Cursor) -> exp.Schema:
    """`(id int NOT NULL, text varchar(20) DEFAULT 'x', PRIMARY KEY (id))`"""
    text = at.inside()
    try:
        tree = sqlglot.parse_one(f"CREATE TABLE t ({text})", dialect=DIALECTS[at.piece.dialect])
    except SqlglotError as error:
        raise errors.bad(
            f"The columns of the table cannot be read: {error}".split(" Line")[0]
        ) from None
    schema = tree.this
    if not isinstance(tree, exp.Create) or not isinstance(schema, exp.Schema):
        at.fail("expected columns and their types")
    for each in schema.expressions:
        _refuse_odd(each)
    return schema


def _refuse_odd(each: exp.Expr) -> None:
    if isinstance(each, exp.PrimaryKey):
        return
    if not isinstance(each, exp.ColumnDef) or not isinstance(each.args.get("kind"), exp.DataType):
        raise errors.bad(f"{each.sql()!r:.80} is no column with a type.")
    for said in each.args.get("constraints") or []:
        kind = said.args.get("kind")
        plain = not isinstance(kind, exp.DefaultColumnConstraint) or isinstance(
            kind.this, (exp.Literal, exp.Boolean, exp.Null, exp.CurrentTimestamp, exp.Neg)
        )
        if not isinstance(kind, SAID_OF_COLUMNS) or not plain:
            raise errors.bad(
                f"{said.sql()!r:.80} of column {each.name} is not passed on; NOT NULL, PRIMARY "
                "KEY, UNIQUE, AUTO_INCREMENT and a constant DEFAULT are."
            )
