"""SQL in, results out: the one way that all wires take.

Each statement is parsed before the first one runs, so a text with a slip in it does nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from modiste.sql import errors
from modiste.sql.result import Column, Result
from modiste.sql.session import Session


async def execute(
    text: str, session: Session, parameters: Sequence[object] = ()
) -> AsyncGenerator[Result, None]:
    """One result per statement, in order.

    Raises:
        SqlError: ends it; what earlier statements did stays done.
    """
    raise errors.unsupported("SQL statements")
    yield  # pragma: no cover


async def describe(text: str, session: Session) -> tuple[int, tuple[Column, ...] | None]:
    """How many parameters a text takes, and its columns where they are known without running it."""
    raise errors.unsupported("SQL statements")
