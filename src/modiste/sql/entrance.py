"""What both wires need of the house: a key becomes a session, and a text becomes results.

Every field is a plain callable, so a wire can be driven without a house behind it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modiste.actions import keys
from modiste.sql import execute as language
from modiste.sql import lexer, shape
from modiste.sql.errors import SqlError
from modiste.sql.result import Column, Result
from modiste.sql.session import Dialect, Place, Session


class Execute(Protocol):
    def __call__(
        self, text: str, session: Session, parameters: Sequence[object] = ()
    ) -> AsyncGenerator[Result, None]: ...


class Describe(Protocol):
    async def __call__(
        self, text: str, session: Session
    ) -> tuple[int, tuple[Column, ...] | None]: ...


Columns = tuple[Column, ...] | None
Kinds = Callable[[str, Session, Columns], Awaitable[Columns]]
"""What `describe` told of the columns, with their kinds as far as looking at the data side tells.
No model is asked. Raises SqlError where a source does not answer."""


async def _as_known(text: str, session: Session, columns: Columns) -> Columns:
    return columns


@dataclass(frozen=True)
class Entrance:
    admit: Callable[[str, Dialect], Awaitable[Session]]
    """The session of a key. Raises Unauthorized where no living key says so."""
    recheck: Callable[[Session], Awaitable[None]]
    """Raises Unauthorized as soon as the key of a session was revoked."""
    execute: Execute
    describe: Describe
    count: Callable[[str, Dialect], int]
    """How many statements a text holds. Raises SqlError where nobody can tell."""
    kinds: Kinds = _as_known

    def refuse_several(self, text: str, dialect: Dialect) -> None:
        """Where one statement is asked for, what somebody smuggles behind a `;` does not run."""
        if self.count(text, dialect) > 1:
            raise SqlError(
                "Several statements at once are not asked for on this connection; send them one "
                "after the other.",
                code=1064,
                sqlstate="42601",
            )


def of(place: Place) -> Entrance:
    """The entrance of a house."""

    async def admit(secret: str, dialect: Dialect) -> Session:
        caller = await place.read(lambda tx: keys.authenticate(tx, secret))
        return Session(caller=caller, place=place, dialect=dialect)

    async def recheck(session: Session) -> None:
        await place.read(lambda tx: keys.refuse_revoked(tx, session.caller))

    def count(text: str, dialect: Dialect) -> int:
        return len(lexer.pieces(text, dialect))

    return Entrance(admit, recheck, language.execute, language.describe, count, shape.kinds)
