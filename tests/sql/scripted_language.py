"""A language of a dozen statements for the tests of the wires: it does what a test needs to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from modiste.errors import Unauthorized
from modiste.sql import errors
from modiste.sql.entrance import Entrance
from modiste.sql.result import Column, Done, Result, Rows, rows
from modiste.sql.session import Dialect, Session
from modiste.types import Actor, Scope

KEYS = {"mod_one": "key_1", "mod_two": "key_2", "mod_boss": "key_boss"}
KINDS = ("text", "integer", "float", "boolean", "timestamp", "json", "bytes")
EVERY_KIND = (
    "né 😀 \\ '\n", 2**62, -0.1, True, datetime(2026, 11, 30, 12, 1, 2, 345, tzinfo=UTC),
    '{"a": [1, null]}', b"\x00\xff\xfe",
)  # fmt: skip


def statements(text: str) -> list[str]:
    return [each.strip() for each in text.split(";") if each.strip()]


@dataclass
class Language:
    """`ran` is every statement that was begun, `cancelled` those that were cut short."""

    ran: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    described: list[str] = field(default_factory=list)

    def entrance(self) -> Entrance:
        return Entrance(
            self.admit, self.recheck, self.execute, self.describe,
            lambda text, dialect: len(statements(text)),
        )  # fmt: skip

    async def admit(self, key: str, dialect: Dialect) -> Session:
        if key not in KEYS:
            raise Unauthorized("Unauthorized")
        scope = Scope.ADMIN if key == "mod_boss" else Scope.INFER
        actor = Actor(key_id=KEYS[key], org="org", scopes=frozenset({scope}))
        place: Any = None
        return Session(actor, place, dialect=dialect)

    async def recheck(self, session: Session) -> None:
        if session.caller.key_id in self.revoked:
            raise Unauthorized("Unauthorized")

    async def execute(
        self, text: str, session: Session, parameters: Sequence[object] = ()
    ) -> AsyncGenerator[Result, None]:
        for statement in statements(text):
            session.notes = []
            self.ran.append((statement, tuple(parameters)))
            try:
                yield await self.one(statement, session, tuple(parameters))
            except asyncio.CancelledError:
                self.cancelled.append(statement)
                raise

    async def one(self, statement: str, session: Session, parameters: tuple[object, ...]) -> Result:
        word, _, rest = statement.partition(" ")
        match word.upper():
            case "USE":
                session.database = self.known(rest.strip('`"'))
                return Done("USE")
            case "KINDS":
                columns = [Column(kind, kind) for kind in KINDS]  # type: ignore[arg-type]
                return rows(columns, [EVERY_KIND, (None,) * len(KINDS)])
            case "ECHO" | "SELECT" if parameters:
                told = [Column("kind"), Column("value")]
                return rows(told, [(type(each).__name__, each_text(each)) for each in parameters])
            case "ECHO":
                return rows([Column("nothing")], [("né 😀",)])
            case "NUMBERS":
                return Rows((Column("n", "integer"),), self.numbers(int(rest), statement))
            case "WIDE":
                return rows([Column("wide")], [("x" * int(rest),)])
            case "HUGE":
                return rows([Column("n", "integer")], [(2**64,)])
            case "GUESSED":
                return rows([Column("n", "integer")], [(7,)])
            case "SLEEP":
                await asyncio.sleep(float(rest))
                return rows([Column("slept", "boolean")], [(True,)])
            case "NOTE":
                session.notes = ["mind this"]
                return Done("NOTE", affected=3)
            case "NOSUCH":
                raise errors.no_table("Table 'nosuch' not found")
            case "BREAK":
                raise ZeroDivisionError
            case "BEGIN" | "COMMIT" | "ROLLBACK" | "SET":
                return Done(word.upper())
            case "SELECT":
                return rows([Column("1", "integer")], [(1,)])
        raise errors.syntax(f"{word!r} begins no statement", line=1, column=1)

    def known(self, name: str) -> str:
        if name not in ("mindsdb", "shop", "files"):
            raise errors.no_database(name)
        return name

    async def numbers(self, n: int, statement: str) -> AsyncGenerator[list[tuple[object, ...]]]:
        """A batch of 1000 at a time; an end of -1 means none."""
        at = 0
        try:
            while n < 0 or at < n:
                stop = at + 1000 if n < 0 else min(n, at + 1000)
                yield [(each,) for each in range(at, stop)]
                at = stop
                await asyncio.sleep(0)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(statement)
            raise

    async def describe(self, text: str, session: Session) -> tuple[int, tuple[Column, ...] | None]:
        self.described.append(text)
        mark = "?" if session.dialect == "mysql" else "$"
        if "nosuch" in text.lower():
            raise errors.no_table("Table 'nosuch' not found")
        if text.startswith("NUMBERS"):
            return 0, (Column("n", "integer"),)
        if text.startswith("GUESSED"):
            return 0, (Column("n"),) * (2 if "TWICE" in text else 1)
        if text.startswith("SELECT 1"):
            return 0, (Column("1", "integer"),)
        if text.startswith("SELECT * FROM"):
            return 0, (Column("role"), Column("content"))
        if text.startswith("ECHO"):
            return text.count(mark), (Column("kind"), Column("value"))
        return text.count(mark), None


def each_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
