"""How statements are read that measure models, and those that rest on what was measured."""

from __future__ import annotations

from sqlglot.tokens import TokenType

from modiste.sql import grammar_data
from modiste.sql.lexer import Cursor
from modiste.sql.statements import Compare, Evaluate, Path, Promote
from modiste.sql.values import using, value


def evaluate(at: Cursor) -> Evaluate:
    """`EVALUATE metric FROM (query) [USING k = v, ...]`"""
    at.expect("EVALUATE")
    metric = ".".join(at.path())
    at.expect("FROM")
    return Evaluate(metric, at.inside(), using(at))


def compare(at: Cursor) -> Compare:
    """`COMPARE m.1 WITH m.2 ON [db] (query) [USING ...]`, `COMPARE 'run' WITH 'run' [USING ...]`"""
    at.expect("COMPARE")
    runs = _is_text(at)
    a = _side(at, runs)
    at.expect("WITH")
    if _is_text(at) is not runs:
        at.fail("expected two versions of models, or two ids of runs")
    b = _side(at, runs)
    source = None
    if not runs:
        at.expect("ON")
        source = grammar_data.raw(at)
    return Compare(a, b, source, using(at))


def promote(at: Cursor) -> Promote:
    """`PROMOTE m.N [TO name] [USING ...] [OVERRIDE 'reason']`"""
    at.expect("PROMOTE")
    at.one_of("MODEL", "PREDICTOR")
    name = at.path()
    to = None
    if at.accept("TO"):
        to = _text(at) if _is_text(at) else ".".join(at.path())
    options = using(at)
    override = _text(at) if at.accept("OVERRIDE") else None
    return Promote(name, to, options, override)


def _side(at: Cursor, run: bool) -> Path:
    if run:
        return (_text(at),)
    at.one_of("MODEL", "PREDICTOR")
    return at.path()


def _is_text(at: Cursor) -> bool:
    token = at.peek()
    texts = (TokenType.STRING, TokenType.PLACEHOLDER, TokenType.PARAMETER)
    return token is not None and token.token_type in texts


def _text(at: Cursor) -> str:
    """A string, or a bound one; nothing yet bound, or NULL, is empty, which stands for nothing."""
    if not _is_text(at):
        at.fail("expected a string")
    said = value(at)
    if said is None:
        return ""
    if not isinstance(said, str):
        at.at -= 1
        at.fail("expected a string")
    return said
