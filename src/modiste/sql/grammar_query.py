"""How queries are read: what is ours is cut out, sqlglot reads the rest.

Before it does, `m.1` becomes a quoted name, `db (sql)` a table `__raw_N` whose text is kept as it
was written, and a trailing `USING k = v` is taken away. Bound parameters become literals of the
tree, never text.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokens import Token, TokenType

from modiste.sql import errors
from modiste.sql.lexer import DIALECTS, Cursor, Piece, place, word
from modiste.sql.statements import Raw, Select
from modiste.sql.values import pairs

RAW = "__raw_"
BOUND = "__bound_"
BEGINS_RAW = ("SELECT", "WITH", "VALUES", "SHOW", "TABLE")


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def select(at: Cursor) -> Select:
    """The rest of the statement as a query.

    Raises:
        SqlError: with the place of what cannot be read.
    """
    first = at.at
    edits, raws, using = _cut(at)
    # MySQL's grammar takes VALUES that stand alone for its function of that name.
    bare = word(at.piece.tokens[first]) == "VALUES"
    tree = _parsed(at.piece, first, edits, before="INSERT INTO t " if bare else "")
    tree = tree.expression if bare else tree
    spelled = _spelled(at.piece, first)
    at.at = len(at.piece.tokens)
    return Select(_bound(tree, at), using, raws, spelled)


def condition(at: Cursor) -> exp.Expr:
    """`WHERE ...` to the end, as a condition."""
    at.expect("WHERE")
    if at.peek() is None:
        at.fail("expected a condition")
    first = at.at
    edits, _, _ = _cut(at)
    tree = _parsed(at.piece, first, edits, before="SELECT 1 WHERE ")
    at.at = len(at.piece.tokens)
    inner: exp.Expr = _bound(tree, at).args["where"].this
    return inner


def _cut(at: Cursor) -> tuple[list[_Edit], dict[str, Raw], dict[str, object]]:
    tokens = at.piece.tokens
    edits: list[_Edit] = []
    raws: dict[str, Raw] = {}
    using: dict[str, object] = {}
    quote = "`" if at.piece.dialect == "mysql" else '"'
    depth, number, n_before = 0, at.at, 0
    while number < len(tokens):
        token = tokens[number]
        depth += token.token_type is TokenType.L_PAREN
        depth -= token.token_type is TokenType.R_PAREN
        if _is_version(tokens, number):
            parts = [part for part in token.text.split(".") if part]
            named = ".".join(f"{quote}{part}{quote}" for part in parts)
            dot = "" if tokens[number - 1].token_type is TokenType.DOT else "."
            edits.append(_Edit(token.start, token.end + 1, dot + named))
        elif _is_raw(tokens, number):
            at.at = number + 1
            name = f"{RAW}{len(raws)}"
            raws[name] = Raw(token.text.lower(), at.inside())
            number = at.at - 1
            edits.append(_Edit(token.start, tokens[number].end + 1, name))
        elif (bound := _bound_number(at, number, n_before)) is not None:
            last = number + (token.token_type is TokenType.PARAMETER)
            edits.append(_Edit(token.start, tokens[last].end + 1, f":{BOUND}{bound}"))
        elif depth == 0 and word(token) == "USING" and word(_at(tokens, number + 1)) != "(":
            at.at, at.n_asked = number + 1, at.piece.first_parameter + n_before
            using = pairs(at)
            n_before = at.n_asked - at.piece.first_parameter
            number = at.at - 1
            edits.append(_Edit(token.start, tokens[number].end + 1, ""))
        n_before += tokens[number].token_type is TokenType.PLACEHOLDER and number >= at.at
        number += 1
    return edits, raws, using


def _bound_number(at: Cursor, number: int, n_before: int) -> int | None:
    """Which value stands here, from 0: as the n-th `?` or as `$n`."""
    token, behind = at.piece.tokens[number], _at(at.piece.tokens, number + 1)
    if token.token_type is TokenType.PLACEHOLDER:
        return at.piece.first_parameter + n_before
    dollar = token.token_type is TokenType.PARAMETER and behind is not None
    return int(behind.text) - 1 if dollar and behind and behind.text.isdigit() else None


def _spelled(piece: Piece, first: int) -> tuple[str, ...]:
    """The text of each column of a plain SELECT."""
    tokens = piece.tokens[first:]
    if word(tokens[0]) != "SELECT":
        return ()
    found, start, depth, end = [], 1, 0, len(tokens)
    for number, token in enumerate(tokens):
        depth += token.token_type is TokenType.L_PAREN
        depth -= token.token_type is TokenType.R_PAREN
        ends = depth == 0 and word(token) in ("FROM", "WHERE", "LIMIT", "UNION", "ORDER", "USING")
        if ends or (depth == 0 and token.token_type is TokenType.COMMA):
            found.append((start, number))
            start = number + 1
        if ends:
            break
    else:
        found.append((start, end))
    cut = [tokens[a:b] for a, b in found if b > a]
    return tuple(piece.text[each[0].start : each[-1].end + 1] for each in cut)


def _at(tokens: tuple[Token, ...], number: int) -> Token | None:
    return tokens[number] if 0 <= number < len(tokens) else None


def _is_version(tokens: tuple[Token, ...], number: int) -> bool:
    """`.1` behind a name: never a number, since a number cannot follow a name."""
    token, before = tokens[number], _at(tokens, number - 1)
    if token.token_type not in (TokenType.NUMBER, TokenType.VAR) or before is None:
        return False
    if before.token_type is TokenType.DOT:
        return token.text[:1].isdigit()
    named = before.token_type in (TokenType.VAR, TokenType.IDENTIFIER)
    return named and token.text.startswith(".") and token.text[1:2].isdigit()


def _is_raw(tokens: tuple[Token, ...], number: int) -> bool:
    before, behind = _at(tokens, number - 1), _at(tokens, number + 1)
    inner = _at(tokens, number + 2)
    named = tokens[number].token_type in (TokenType.VAR, TokenType.IDENTIFIER)
    opens = behind is not None and behind.token_type is TokenType.L_PAREN
    return named and opens and word(before) in ("FROM", "JOIN", ",") and word(inner) in BEGINS_RAW


def _parsed(piece: Piece, first: int, edits: list[_Edit], before: str = "") -> exp.Expr:
    """Edits keep what follows them in its line and column, where they are not longer."""
    start, end = piece.tokens[first].start, piece.tokens[-1].end + 1
    parts, here = [before], start
    for edit in edits:
        cut = piece.text[edit.start + len(edit.text) : edit.end]
        parts += [piece.text[here : edit.start], edit.text]
        parts.append("".join("\n" if sign == "\n" else " " for sign in cut))
        here = edit.end
    parts.append(piece.text[here:end])
    try:
        return sqlglot.parse_one("".join(parts), dialect=DIALECTS[piece.dialect])
    except SqlglotError as error:
        raise _syntax(piece, error) from None


def _syntax(piece: Piece, error: SqlglotError) -> errors.SqlError:
    line, column = place(piece.text, piece.tokens[0].start)
    told = "the query cannot be read"
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        row, end = int(first.get("line") or 1), int(first.get("col") or 1)
        mark = str(first.get("highlight") or "")
        told = f"{str(first.get('description') or told).rstrip('.')}, at {mark!r}"
        begin = max(1, end - len(mark) + 1)
        line, column = line + row - 1, begin + (column - 1 if row == 1 else 0)
    return errors.syntax(told, line=line, column=column)


def _bound(tree: exp.Expr, at: Cursor) -> exp.Expr:
    """Every bound parameter as the literal it stands for; its name says which it is."""
    for node in list(tree.find_all(exp.Placeholder)):
        number = int(str(node.this).removeprefix(BOUND))
        if not 0 <= number < len(at.parameters):
            raise errors.bad(
                f"The statement has a parameter {number + 1}, and {len(at.parameters)} were given."
            )
        node.replace(literal(at.parameters[number]))
    return tree


def literal(value: object) -> exp.Expr:
    """A Python value as a literal of the tree."""
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float, Decimal)):
        return exp.Neg(this=literal(-value)) if value < 0 else exp.Literal.number(value)
    if isinstance(value, (datetime, date, time)):
        return exp.Literal.string(
            value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
        )
    if isinstance(value, (bytes, bytearray)):
        return exp.HexString(this=bytes(value).hex())
    return exp.Literal.string(str(value))
