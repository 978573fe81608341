"""Values and `USING`: strings, numbers, true, false, null, lists, JSON, or bound ones."""

from __future__ import annotations

from sqlglot.tokens import TokenType

from modiste.sql.lexer import Cursor, word

WORDS: dict[str, object] = {"TRUE": True, "FALSE": False, "NULL": None, "NONE": None}


def value(at: Cursor) -> object:
    """One value and past it; a bare word is text."""
    token = at.peek()
    if token is None:
        at.fail("expected a value")
    kind = token.token_type
    if kind is TokenType.STRING:
        at.next()
        return token.text
    if kind in (TokenType.PLACEHOLDER, TokenType.PARAMETER):
        return at.parameter()
    if kind in (TokenType.NUMBER, TokenType.DASH, TokenType.PLUS):
        return _number(at)
    if kind is TokenType.L_BRACKET:
        return _list(at)
    if kind is TokenType.L_BRACE:
        return _object(at)
    if word(token) in WORDS:
        at.next()
        return WORDS[word(token)]
    if kind is TokenType.IDENTIFIER or token.text[:1].isalpha() or token.text[:1] == "_":
        at.next()
        return token.text
    at.fail("expected a value")


def pairs(at: Cursor) -> dict[str, object]:
    """`k = v, alias.k = v`, up to what no pair begins with."""
    found: dict[str, object] = {}
    while True:
        name = ".".join(at.path())
        if name in found:
            at.fail(f"{name} is given twice; keep one of them")
        at.expect("=")
        found[name] = value(at)
        if not at.accept(","):
            return found


def using(at: Cursor) -> dict[str, object]:
    return pairs(at) if at.accept("USING") else {}


def parameters(at: Cursor) -> dict[str, object]:
    """`PARAMETERS = {json}`"""
    at.expect("PARAMETERS")
    at.accept("=")
    if word(at.peek()) != "{":
        at.fail("expected a JSON object")
    return _object(at)


def _number(at: Cursor) -> int | float:
    negative = at.one_of("-", "+") == "-"
    token = at.peek()
    if token is None or token.token_type is not TokenType.NUMBER:
        at.fail("expected a number")
    at.next()
    try:
        number: int | float = int(token.text)
    except ValueError:
        number = float(token.text)
    return -number if negative else number


def _list(at: Cursor) -> list[object]:
    at.expect("[")
    found: list[object] = []
    while not at.accept("]"):
        if found:
            at.expect(",")
        found.append(value(at))
    return found


def _object(at: Cursor) -> dict[str, object]:
    at.expect("{")
    found: dict[str, object] = {}
    while not at.accept("}"):
        if found:
            at.expect(",")
        token = at.peek()
        key = token.text if token is not None and token.token_type is TokenType.STRING else None
        if key is None:
            key = at.name()
        else:
            at.next()
        if key in found:
            at.fail(f"{key} is given twice; keep one of them")
        at.expect(":")
        found[key] = value(at)
    return found
