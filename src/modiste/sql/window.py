"""Questions of one statement: a bounded number is out at a time, answers come in the order of rows.

Equal questions go out once, as far back as a few megabytes of answers reach. The first failure ends
it all, and whoever stops reading cancels what is out.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, TypeVar

from modiste.errors import ModisteError
from modiste.sql import errors

AT_A_TIME = 32
AHEAD = 256
"""So many rows wait for their answers before more are taken: a slow one holds few others up."""
MANY = 128
EVERY_S = 0.05
"""Rows go on when there are many, or when this has passed: one by one they would cost too much."""
KEPT_BYTES = 16 * 1024 * 1024
ENTRY_BYTES = 1024
"""What an answer takes beside its text."""
T = TypeVar("T")
Answer = str | None
Told = list[tuple[T, tuple[Answer, ...]]]


class Window:
    """Made in a running loop; `end` it, whatever happened."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_A_TIME)
        self._out: set[asyncio.Task[Answer]] = set()
        self._kept: OrderedDict[Hashable, asyncio.Task[Answer]] = OrderedDict()
        self._n_kept = 0
        self._broken: asyncio.Future[ModisteError | BaseException] = _future()

    def ask(
        self, key: Hashable, work: Callable[[], Coroutine[Any, Any, Answer]]
    ) -> asyncio.Future[Answer]:
        """
        Args:
            key: the same of equal questions; None where each is asked by itself.
        """
        known = self._kept.get(key) if key is not None else None
        if known is not None:
            self._kept.move_to_end(key)
            return known
        task = asyncio.get_running_loop().create_task(self._inside(work))
        self._out.add(task)
        task.add_done_callback(lambda done: self._done(key, done))
        if key is not None:
            self._kept[key] = task
        return task

    def fail(self, error: BaseException) -> None:
        """End it all with this."""
        if not self._broken.done():
            self._broken.set_result(error)

    async def in_order(
        self,
        more: Callable[[], Awaitable[Sequence[T] | None]],
        ask: Callable[[T], Sequence[asyncio.Future[Answer]]],
    ) -> AsyncGenerator[Told[T], None]:
        """Rows with their answers, as soon as those before them are there.

        Args:
            more: the next rows, None at their end; what it raises comes after the rows before it.

        Raises:
            SqlError: of `more`, or of a question that failed.
        """
        waiting: deque[tuple[T, Sequence[asyncio.Future[Answer]]]] = deque()
        ready: Told[T] = []
        coming: asyncio.Task[Sequence[T] | None] | None = None
        missing: BaseException | None = None
        ended, due = False, 0.0
        try:
            while not self._broken.done():
                if coming is not None and coming.done():
                    missing = coming.exception()
                    found = None if missing is not None else coming.result()
                    ended, coming = found is None, None
                    waiting.extend((row, ask(row)) for row in found or ())
                if coming is None and not ended and len(waiting) < AHEAD:
                    coming = asyncio.ensure_future(_awaited(more))
                self._take(waiting, ready)
                over = ended and not waiting
                if ready and (len(ready) >= MANY or over or time.monotonic() >= due):
                    yield ready
                    ready, due = [], time.monotonic() + EVERY_S
                    continue
                if over:
                    break
                pause = max(due - time.monotonic(), 0) if ready else None
                await self._news(waiting, coming, pause)
            if ready:
                yield ready
            if self._broken.done():
                raise _said(self._broken.result())
            if missing is not None:
                raise missing
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait([coming])
            await self.end()

    async def end(self) -> None:
        """Cancel what is out."""
        for task in self._out:
            task.cancel()
        if self._out:
            await asyncio.wait(tuple(self._out))

    def _take(
        self, waiting: deque[tuple[T, Sequence[asyncio.Future[Answer]]]], ready: Told[T]
    ) -> None:
        while waiting and all(each.done() for each in waiting[0][1]):
            for each in waiting[0][1]:
                error = asyncio.CancelledError() if each.cancelled() else each.exception()
                if error is not None:
                    self.fail(error)
                    return
            row, told = waiting.popleft()
            ready.append((row, tuple(each.result() for each in told)))

    async def _news(
        self,
        waiting: deque[tuple[T, Sequence[asyncio.Future[Answer]]]],
        coming: asyncio.Task[Sequence[T] | None] | None,
        pause_s: float | None,
    ) -> None:
        """Until the oldest row has an answer more, others have come, or the pause is over."""
        awaited: set[asyncio.Future[Any]] = {self._broken}
        if coming is not None:
            awaited.add(coming)
        if waiting:
            awaited.add(next(each for each in waiting[0][1] if not each.done()))
        await asyncio.wait(awaited, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)

    async def _inside(self, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        async with self._room:
            return await work()

    def _done(self, key: Hashable, task: asyncio.Task[Answer]) -> None:
        self._out.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.fail(error)
        elif key is not None:
            self._n_kept += _size(task)
            while self._n_kept > KEPT_BYTES and (oldest := next(iter(self._kept))):
                if not self._kept[oldest].done():
                    break
                self._n_kept -= _size(self._kept.pop(oldest))


def already(answer: Answer) -> asyncio.Future[Answer]:
    """An answer that nobody is asked for."""
    found: asyncio.Future[Answer] = _future()
    found.set_result(answer)
    return found


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


async def _awaited(more: Callable[[], Awaitable[T]]) -> T:
    return await more()


def _size(task: asyncio.Task[Answer]) -> int:
    """Of an answer, in characters, and of what holds it."""
    failed = task.cancelled() or task.exception() is not None
    return ENTRY_BYTES + (0 if failed else len(task.result() or ""))


def _said(error: BaseException) -> BaseException:
    return errors.translated(error) if isinstance(error, ModisteError) else error
