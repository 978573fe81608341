"""How many statements a text holds: a `;` in a string, a comment or parentheses divides nothing.

The bodies of jobs, `(one; two)`, are why parentheses count. sqlglot's tokenizer reads the strings
and comments of each dialect, as it does for the statements themselves.
"""

from __future__ import annotations

from typing import Any, ClassVar

from modiste.errors import NotYetSupported
from modiste.sql import errors
from modiste.sql.session import Dialect

try:
    from sqlglot import TokenType
    from sqlglot.dialects.mysql import MySQL
    from sqlglot.dialects.postgres import Postgres
    from sqlglot.errors import TokenError
except ImportError as error:  # pragma: no cover - the extra is installed wherever tests run
    raise NotYetSupported("SQL needs more packages: pip install 'modiste[sql]'.") from error


class _MySql(MySQL):
    class Tokenizer(MySQL.Tokenizer):
        COMMANDS: ClassVar[set[Any]] = set()  # The stock one takes all behind SHOW for one string.


class _Postgres(Postgres):
    class Tokenizer(Postgres.Tokenizer):
        COMMANDS: ClassVar[set[Any]] = set()


DIALECTS: dict[Dialect, Any] = {"mysql": _MySql, "postgres": _Postgres}


def count(text: str, dialect: Dialect) -> int:
    """Raises SqlError where a string or a comment does not end."""
    try:
        tokens = DIALECTS[dialect]().tokenize(text)
    except TokenError:
        said = "a string, a quoted name or a comment does not end"
        line, column = text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1
        raise errors.syntax(said, line=line, column=column) from None
    n, inside, depth = 0, False, 0
    for token in tokens:
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        if token.token_type is TokenType.SEMICOLON and depth <= 0:
            inside, depth = False, 0
        elif not inside:
            n, inside = n + 1, True
    return n
