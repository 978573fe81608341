"""What statements answer, as PostgreSQL's messages, and the state of transactions clients see."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from modiste.sql.channel import WAITING_BYTES, Channel
from modiste.sql.errors import SqlError
from modiste.sql.postgres import messages
from modiste.sql.postgres.values import Encoded, description, each_format
from modiste.sql.result import Done, Result, Row
from modiste.sql.session import Session

ENDS = re.compile(r"\s*(ROLLBACK|ABORT|COMMIT|END)(\s+(WORK|TRANSACTION))?\s*;?\s*", re.IGNORECASE)
BEGUN, ENDED = ("BEGIN", "START TRANSACTION"), ("COMMIT", "ROLLBACK", "END", "ABORT")


class Answers:
    """`state` is I (idle), T (in a transaction) or E (in one that failed)."""

    def __init__(self, channel: Channel, session: Session) -> None:
        self.state = b"I"
        self.channel, self._session = channel, session

    def allowed(self, text: str) -> str:
        """The text that may run now: in a failed transaction only its end, which rolls back."""
        if self.state != b"E":
            return text
        if ENDS.fullmatch(text):
            return "ROLLBACK"
        raise SqlError(
            "current transaction is aborted, commands ignored until end of transaction block",
            sqlstate="25P02",
        )

    def failed(self) -> None:
        if self.state == b"T":
            self.state = b"E"

    async def tell(self, result: Result) -> None:
        """One result of a text, from its columns to its end."""
        if isinstance(result, Done):
            self.done(result)
            return
        formats = each_format((), len(result.columns))
        self.channel.send(description(result.columns, formats))
        encoded = Encoded(result.columns, formats)
        n_rows = 0
        async for batch in result.batches:
            n_rows += len(batch)
            await self.rows(batch, encoded)
        self.end(n_rows)

    async def rows(self, batch: Sequence[Row], encoded: Encoded) -> None:
        """In pieces of a quarter megabyte, which wait for a client that reads slowly."""
        waiting = bytearray()
        for row in batch:
            waiting += messages.data_row(encoded.values(row), encoded.n)
            if len(waiting) >= WAITING_BYTES:
                self.channel.send(waiting)
                waiting = bytearray()
                await self.channel.drain()
        self.channel.send(waiting)
        await self.channel.drain()
        await asyncio.sleep(0)  # Others have their turn between batches.

    def done(self, result: Done) -> None:
        if result.tag in BEGUN:
            self.state = b"T"
        elif result.tag in ENDED:
            self.state = b"I"
        self._notices()
        self.channel.send(messages.complete(result.tag))

    def end(self, n_rows: int) -> None:
        self._notices()
        self.channel.send(messages.complete(f"SELECT {n_rows}"))

    def _notices(self) -> None:
        for note in self._session.notes:
            self.channel.send(messages.notice(note))
