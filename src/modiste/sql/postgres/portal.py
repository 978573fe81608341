"""A bound statement that runs: its rows are taken in as many helpings as its client asks for.

It runs in a task of its own from the first word asked of it to its end, because what begins in one
task must end there, while every message of the client is a turn of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from modiste.sql.result import Column, Result, Row, Rows


@dataclass(frozen=True)
class Statement:
    text: str
    types: tuple[int, ...]
    """OIDs of its parameters."""
    columns: tuple[Column, ...] | None
    """As far as they are known without running it."""


class Portal:
    """`begin` gives the result; `batch` rows of it, None at their end. Starts nothing by itself."""

    def __init__(
        self,
        statement: Statement,
        run: Callable[[], AsyncGenerator[Result, None]],
        formats: Sequence[int],
    ) -> None:
        self.statement = statement
        self.formats = formats
        """As the client sent them: none, one for all, or one for each column."""
        self.told: tuple[Column, ...] | None = None
        """Columns as the client was told of this portal."""
        self.done = False
        self._run = run
        self._out: asyncio.Queue[Result | list[Row] | Exception | None] = asyncio.Queue(1)
        self._task: asyncio.Task[None] | None = None
        self._result: Result | None = None
        self._waiting: list[Row] = []

    async def begin(self) -> Result | None:
        """The statement's result, the same however often it is asked; None of an empty one."""
        if self._task is None:
            self._task = asyncio.create_task(self._produce())
            first = await self._next()
            self._result = None if isinstance(first, list) else first
        return self._result

    async def batch(self, most: int) -> list[Row] | None:
        """At most so many rows (0: as many as there are), None when there are no more."""
        if not self._waiting:
            more = await self._next()
            if not isinstance(more, list):
                return None
            self._waiting = more
        n = most or len(self._waiting)
        taken, self._waiting = self._waiting[:n], self._waiting[n:]
        return taken

    async def finish(self) -> None:
        """Let a statement without rows come to its end."""
        while await self._next() is not None:
            pass

    async def close(self) -> None:
        """End what still runs."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _next(self) -> Result | list[Row] | None:
        said = await self._out.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def _produce(self) -> None:
        try:
            async with aclosing(self._run()) as results:
                async for result in results:
                    await self._out.put(result)
                    if isinstance(result, Rows):
                        async with aclosing(result.batches) as batches:
                            async for batch in batches:
                                if batch:
                                    await self._out.put(batch)
        except Exception as error:  # noqa: BLE001 - raised where the result is read
            await self._out.put(error)
        else:
            await self._out.put(None)
