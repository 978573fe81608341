"""What statements answer, as MySQL's result sets: columns, rows as they come, an end.

A result's end says whether another follows, so the next statement is begun before it is sent.
Rows go out in pieces of a quarter megabyte, and wait for a client that reads slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from modiste.errors import ModisteError
from modiste.sql.channel import WAITING_BYTES
from modiste.sql.errors import SqlError
from modiste.sql.mysql import packets
from modiste.sql.mysql.packets import AUTOCOMMIT, MORE_RESULTS, Packets
from modiste.sql.mysql.values import Binary, column, text_row
from modiste.sql.result import Column, Done, Result, Row, Rows
from modiste.sql.session import Session

Encoding = Callable[[Sequence[Column]], Callable[[Row], bytes]]


def as_text(columns: Sequence[Column]) -> Callable[[Row], bytes]:
    return text_row


def as_binary(columns: Sequence[Column]) -> Callable[[Row], bytes]:
    return Binary(columns).row


async def send(
    answers: AsyncGenerator[Result, None],
    to: Packets,
    session: Session,
    encoding: Encoding,
    *,
    eof: bool,
) -> None:
    """Every result, or the error that stands in its place.

    Raises:
        SqlError: the text holds no statement, or one failed; results before it are complete.
    """
    result = await anext(answers, None)
    if result is None:
        raise SqlError("Query was empty", code=1065, sqlstate="42000")
    while result is not None:
        if isinstance(result, Rows):
            await _send_rows(result, to, session, encoding(result.columns), eof=eof)
        n_warnings = len(session.notes)
        following, failure = await _following(answers)
        more = following is not None or failure is not None
        status = AUTOCOMMIT | (MORE_RESULTS if more else 0)
        if isinstance(result, Done):
            to.send(packets.ok(affected=result.affected, status=status, n_warnings=n_warnings))
        else:
            to.send(terminal(status=status, n_warnings=n_warnings, eof=eof))
        if failure is not None:
            raise failure
        result = following


def terminal(*, status: int, n_warnings: int, eof: bool) -> bytes:
    """The end of a result set, in the words the client knows."""
    if eof:
        return packets.end(status=status, n_warnings=n_warnings)
    return packets.ok(status=status, n_warnings=n_warnings, header=0xFE)


async def _following(
    answers: AsyncGenerator[Result, None],
) -> tuple[Result | None, ModisteError | None]:
    try:
        return await anext(answers, None), None
    except ModisteError as error:
        return None, error


async def _send_rows(
    result: Rows, to: Packets, session: Session, encoded: Callable[[Row], bytes], *, eof: bool
) -> None:
    to.send(packets.integer(len(result.columns)))
    to.send(*(column(each, database=session.database) for each in result.columns))
    if eof:
        to.send(packets.end(status=AUTOCOMMIT, n_warnings=0))
    async with aclosing(result.batches) as batches:
        async for batch in batches:
            waiting = bytearray()
            for row in batch:
                waiting += to.framed(encoded(row))
                if len(waiting) >= WAITING_BYTES:
                    to.channel.send(waiting)
                    waiting = bytearray()
                    await to.channel.drain()
            to.channel.send(waiting)
            await to.channel.drain()
            await asyncio.sleep(0)  # Others have their turn between batches.
