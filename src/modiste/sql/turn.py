"""The one statement that a connection is at: it can be interrupted from elsewhere, and ends when
nobody is left to read what it says.

Interrupting cancels the task that runs the statement, and with it every question to a model that
is still out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from modiste.sql.channel import Gone


class Interrupted(Exception):
    """Somebody asked for the end of this statement; the connection goes on."""


class Turn:
    """Of one connection; not shared between several."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def interrupt(self) -> None:
        """End what runs now; where nothing runs, nothing happens."""
        if self._task is not None:
            self._task.cancel()

    async def take(self, work: Coroutine[Any, Any, None]) -> None:
        """Run to the end.

        Raises:
            Interrupted: by `interrupt`.
            Gone: the other side closed meanwhile; the work was cancelled.
        """
        task = self._task = asyncio.create_task(work)
        leaving = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await _end(task)
                raise Gone
            if task.cancelled():
                raise Interrupted
            task.result()
        finally:
            leaving.cancel()
            if not task.done():
                await _end(task)
            self._task = None


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # Nobody is left to hear of it.
