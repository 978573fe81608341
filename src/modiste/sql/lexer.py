"""Text to tokens with places, and to statements: the ground under the grammar.

sqlglot's tokenizer does the lexing (strings, comments, quoted names of each dialect); nothing of it
is known above this file but the tokens. Strings are told from names, names from words; a quoted
name keeps its case, any other folds to lower case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import TokenError
from sqlglot.parsers.mysql import MySQLParser
from sqlglot.tokens import Token, TokenType

from modiste.sql import errors
from modiste.sql.session import Dialect

MAX_TEXT = 16 * 1024 * 1024


class _MySql(MySQL):
    """`||` joins texts, as scripts for MindsDB mean it, and binds as in MySQL's PIPES_AS_CONCAT."""

    class Parser(MySQLParser):
        FACTOR: ClassVar[dict[Any, Any]] = {**MySQLParser.FACTOR, TokenType.DPIPE: exp.DPipe}

    class Tokenizer(MySQL.Tokenizer):
        COMMANDS: ClassVar[set[Any]] = set()  # The stock one takes all behind SHOW for one string.


class _Postgres(Postgres):
    class Tokenizer(Postgres.Tokenizer):
        COMMANDS: ClassVar[set[Any]] = set()


DIALECTS: dict[Dialect, Any] = {"mysql": _MySql, "postgres": _Postgres}


@dataclass(frozen=True)
class Piece:
    """One statement of a text: its tokens, and which bound parameter is its first."""

    text: str
    """The whole text; tokens say where in it they stand."""
    tokens: tuple[Token, ...]
    dialect: Dialect
    first_parameter: int

    @property
    def source(self) -> str:
        """What was written of this statement, comments inside it included."""
        return self.text[self.tokens[0].start : self.tokens[-1].end + 1]


def pieces(text: str, dialect: Dialect) -> list[Piece]:
    """Statements in order, empty ones left out.

    Raises:
        SqlError: too long, or a string or comment that does not end.
    """
    if len(text) > MAX_TEXT:
        raise errors.bad(f"The statement has {len(text):,} characters; at most {MAX_TEXT:,} fit.")
    try:
        tokens = DIALECTS[dialect]().tokenize(text)
    except TokenError:
        raise errors.syntax(
            "a string, a quoted name or a comment does not end",
            line=text.count("\n") + 1,
            column=len(text.rpartition("\n")[2]) + 1,
        ) from None
    found: list[Piece] = []
    here: list[Token] = []
    depth, asked, n_before = 0, 0, 0
    for token in tokens:
        depth += token.token_type is TokenType.L_PAREN
        depth -= token.token_type is TokenType.R_PAREN
        if token.token_type is TokenType.SEMICOLON and depth <= 0:
            if here:
                found.append(Piece(text, tuple(here), dialect, n_before))
            here, depth, n_before = [], 0, asked
            continue
        asked += token.token_type is TokenType.PLACEHOLDER
        here.append(token)
    if here:
        found.append(Piece(text, tuple(here), dialect, n_before))
    return found


def n_parameters(found: Sequence[Piece]) -> int:
    """How many values a text is given: each `?`, or the highest `$n`."""
    n, highest = 0, 0
    for piece in found:
        for token, behind in zip(piece.tokens, (*piece.tokens[1:], None), strict=True):
            n += token.token_type is TokenType.PLACEHOLDER
            if token.token_type is TokenType.PARAMETER and behind is not None:
                highest = max(highest, int(behind.text) if behind.text.isdigit() else 0)
    return max(n, highest)


def place(text: str, at: int) -> tuple[int, int]:
    """Line and column of an offset, from 1."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def word(token: Token | None) -> str:
    """The token as a word of the language, upper case; nothing for strings and quoted names."""
    quoted = (
        TokenType.STRING,
        TokenType.IDENTIFIER,
        TokenType.HEX_STRING,
        TokenType.NATIONAL_STRING,
    )
    if token is None or token.token_type in quoted:
        return ""
    return token.text.upper()


def _is_name(token: Token) -> bool:
    if token.token_type is TokenType.IDENTIFIER:
        return True
    begins = token.text[:1]
    return token.token_type is not TokenType.STRING and (begins.isalnum() or begins in ("_", "@"))


class Cursor:
    """Reads a statement's tokens from left to right."""

    def __init__(self, piece: Piece, parameters: tuple[object, ...] = ()) -> None:
        self.piece = piece
        self.parameters = parameters
        self.at = 0
        self.n_asked = piece.first_parameter

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.at + ahead
        return self.piece.tokens[at] if 0 <= at < len(self.piece.tokens) else None

    def sees(self, *words: str) -> bool:
        return all(word(self.peek(n)) == each for n, each in enumerate(words))

    def accept(self, *words: str) -> bool:
        if not self.sees(*words):
            return False
        self.at += len(words)
        return True

    def one_of(self, *words: str) -> str:
        """The word that stands here, and on; empty where none of them does."""
        here = word(self.peek())
        if here and here in words:
            self.at += 1
            return here
        return ""

    def expect(self, *words: str) -> None:
        for each in words:
            if not self.accept(each):
                self.fail(f"expected {each}")

    def next(self) -> Token:
        token = self.peek()
        if token is None:
            self.fail("the statement ends too early")
        self.at += 1
        return token

    def done(self) -> None:
        if self.peek() is not None:
            self.fail("expected the end of the statement")

    def fail(self, message: str) -> NoReturn:
        token = self.peek()
        at = len(self.piece.text.rstrip("; \n\t")) if token is None else token.start
        line, column = place(self.piece.text, at)
        found = (
            "" if token is None else f", found {self.piece.text[token.start : token.end + 1]!r:.60}"
        )
        raise errors.syntax(f"{message}{found}", line=line, column=column)

    def name(self, *, made: bool = False) -> str:
        """One name. `made`: it names something new, whose capitals would be lost elsewhere."""
        token = self.peek()
        if token is None or not _is_name(token):
            self.fail("expected a name")
        if token.token_type is TokenType.IDENTIFIER:
            if made and token.text != token.text.lower():
                self.fail("names are lower case; a quoted name with capitals is not found unquoted")
            self.at += 1
            return token.text
        self.at += 1
        return token.text.lower()

    def path(self, *, made: bool = False) -> tuple[str, ...]:
        """A dotted name, its parts; `ft_sql.1.metadata` has three."""
        parts = self._parts(made)
        while self.accept(".") or self.piece.tokens[self.at - 1].text.endswith("."):
            parts += self._parts(made)  # PostgreSQL's lexer takes `1.` for a number.
        return tuple(parts)

    def _parts(self, made: bool) -> list[str]:
        token = self.peek()
        quoted = token is not None and token.token_type is TokenType.IDENTIFIER
        said = self.name(made=made)
        return [said] if quoted else [part for part in said.split(".") if part]

    def inside(self) -> str:
        """The text between the parentheses that open here, as it was written; and past them."""
        self.expect("(")
        first, depth = self.at, 1
        while depth:
            token = self.next()
            depth += token.token_type is TokenType.L_PAREN
            depth -= token.token_type is TokenType.R_PAREN
        start = self.piece.tokens[first - 1].end + 1
        return self.piece.text[start : self.piece.tokens[self.at - 1].start].strip()

    def parameter(self) -> object:
        """The bound value that stands here as `?` or `$1`."""
        token = self.next()
        if token.token_type is TokenType.PLACEHOLDER:
            number, self.n_asked = self.n_asked, self.n_asked + 1
        else:
            number = int(self.next().text) - 1
        if not 0 <= number < len(self.parameters):
            raise errors.bad(
                f"The statement has a parameter {number + 1}, and {len(self.parameters)} were "
                "given."
            )
        return self.parameters[number]
