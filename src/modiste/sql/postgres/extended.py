"""Prepared statements of one connection: Parse, Bind, Describe, Execute, Close.

Values are bound as values; no text is ever put together from them. A statement is described from
its text alone and runs for nobody; a portal that is described runs, once, and Execute goes on from
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from modiste.sql.entrance import Entrance
from modiste.sql.errors import SqlError
from modiste.sql.postgres import messages
from modiste.sql.postgres.answers import Answers
from modiste.sql.postgres.messages import Reading, message
from modiste.sql.postgres.portal import Portal, Statement
from modiste.sql.postgres.values import Encoded, decoded, description, each_format, parameter_types
from modiste.sql.result import Column, Done
from modiste.sql.session import Session

MOST = 16_384
"""Statements one connection may keep."""


class Extended:
    def __init__(self, entrance: Entrance, session: Session, answers: Answers) -> None:
        self._entrance, self._session, self._answers = entrance, session, answers
        self._channel = answers.channel
        self._statements: dict[str, Statement] = {}
        self._portals: dict[str, Portal] = {}

    async def parse(self, body: Reading) -> None:
        name, text = body.name(), body.name()
        declared = [body.long() for _ in range(body.short())]
        text = self._answers.allowed(text)
        if name and name in self._statements:
            raise SqlError(f'prepared statement "{name}" already exists', sqlstate="42P05")
        if len(self._statements) >= MOST:
            said = f"this connection keeps {MOST} prepared statements already; close some"
            raise SqlError(said, sqlstate="53400")
        self._entrance.refuse_several(text, "postgres")
        n, columns = (0, None)
        if text.strip():
            n, columns = await self._entrance.describe(text, self._session)
        if n > 0xFFFF:
            raise SqlError("a statement has at most 65535 parameters", sqlstate="54000")
        self._statements[name] = Statement(text, parameter_types(text, declared, n), columns)
        self._channel.send(message(b"1"))

    async def bind(self, body: Reading) -> None:
        name, of = body.name(), body.name()
        statement = self._statement(of)
        codes = [body.short() for _ in range(body.short())]
        sent = [body.value() for _ in range(body.short())]
        formats = [body.short() for _ in range(body.short())]
        if len(sent) != len(statement.types):
            said = f"bind message supplies {len(sent)} parameters, but prepared statement"
            raise SqlError(f'{said} "{of}" requires {len(statement.types)}', sqlstate="08P01")
        each = zip(sent, statement.types, each_format(codes, len(sent)), strict=True)
        values = [decoded(value, oid, code) for value, oid, code in each]
        if name and name in self._portals:
            raise SqlError(f'portal "{name}" already exists', sqlstate="42P03")
        await self._drop(name)
        text = self._answers.allowed(statement.text)
        self._portals[name] = Portal(
            statement, lambda: self._entrance.execute(text, self._session, values), formats
        )
        self._channel.send(message(b"2"))

    async def describe(self, body: Reading) -> None:
        kind, name = body.take(1), body.name()
        if kind == b"S":
            statement = await self._looked_at(name)
            self._channel.send(messages.parameters(statement.types))
            self._tell_columns(statement.columns, ())
            return
        portal = self._portal(name)
        result = await portal.begin()
        columns = None if result is None or isinstance(result, Done) else result.columns
        portal.told = columns
        self._tell_columns(columns, portal.formats)

    async def _looked_at(self, name: str) -> Statement:
        """The statement with the kinds of its columns, which take a look at the data."""
        statement = self._statement(name)
        kinds = await self._entrance.kinds(statement.text, self._session, statement.columns)
        self._statements[name] = statement = replace(statement, columns=kinds)
        return statement

    async def execute(self, body: Reading) -> None:
        portal, most = self._portal(body.name()), max(0, body.long())
        result = await portal.begin()
        if portal.done:
            self._answers.end(0)
        elif result is None:
            self._channel.send(message(b"I"))
            portal.done = True
        elif isinstance(result, Done):
            await portal.finish()
            self._answers.done(result)
            portal.done = True
        else:
            await self._send(portal, _as_told(portal, result.columns), most)

    async def close(self, body: Reading) -> None:
        kind, name = body.take(1), body.name()
        if kind == b"S":
            self._statements.pop(name, None)
        else:
            await self._drop(name)
        self._channel.send(message(b"3"))

    async def close_portals(self) -> None:
        """A transaction's end is the end of what was bound in it."""
        for name in tuple(self._portals):
            await self._drop(name)

    async def _send(self, portal: Portal, columns: tuple[Column, ...], most: int) -> None:
        """So many rows, and whether there are more."""
        encoded = Encoded(columns, each_format(portal.formats, len(columns)))
        n = 0
        while not most or n < most:
            batch = await portal.batch(most - n if most else 0)
            if batch is None:
                portal.done = True
                self._answers.end(n)
                return
            await self._answers.rows(batch, encoded)
            n += len(batch)
        self._channel.send(message(b"s"))

    def _tell_columns(self, columns: tuple[Column, ...] | None, codes: Sequence[int]) -> None:
        if columns is None:
            self._channel.send(message(b"n"))
        else:
            self._channel.send(description(columns, each_format(codes, len(columns))))

    def _statement(self, name: str) -> Statement:
        if name not in self._statements:
            raise SqlError(f'prepared statement "{name}" does not exist', sqlstate="26000")
        return self._statements[name]

    def _portal(self, name: str) -> Portal:
        if name not in self._portals:
            raise SqlError(f'portal "{name}" does not exist', sqlstate="34000")
        return self._portals[name]

    async def _drop(self, name: str) -> None:
        portal = self._portals.pop(name, None)
        if portal is not None:
            await portal.close()


def _as_told(portal: Portal, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The kinds its client was told before the statement ran, which it decodes by.

    Raises:
        SqlError: other columns came than were told.
    """
    told = portal.told or portal.statement.columns or columns
    if len(told) != len(columns):
        raise SqlError("cached plan must not change result type", sqlstate="0A000")
    return told
