"""How many requests run at a time: as many as a model's server bears, found while they run.

Additive increase, multiplicative decrease, one pace per model: a server that says it is full halves
the number and is left alone for as long as it asks; every so many answers in a row allow one more.
Requests that were sent before a step back are told what led to it, and lead to no second one. Only
a full server slows the pace; a request that fails for reasons of its own does not. Places are given
in the order in which they were asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SUCCESSES_UNTIL_MORE = 25
COOLDOWN_S = 2.0
SHRINK = 0.5


class Pace:
    """At most `limit` requests at a time, 1 to `most`; of one event loop."""

    def __init__(self, most: int, *, start: int | None = None) -> None:
        self.most = max(1, most)
        self.limit = min(self.most, max(1, self.most // 2 if start is None else start))
        self.n_running = 0
        self.answered_at = time.monotonic()
        """When the server answered last."""
        self._successes = 0
        self._n_cuts = 0
        self._closed_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Waits for a place and holds it; what it gives goes to `full` if the server has none."""
        await self._place()
        try:
            yield self._n_cuts
        finally:
            self._leave()

    def succeeded(self) -> None:
        self.answered_at = time.monotonic()
        self._successes += 1
        if self._successes >= SUCCESSES_UNTIL_MORE and self.limit < self.most:
            self._successes = 0
            self.limit += 1
            self._admit()

    def full(self, sent: int, retry_after_s: float | None) -> None:
        """The server had no place for a request: whoever waits for a turn waits for its rest.

        Args:
            sent: what the request's turn gave.
        """
        if sent == self._n_cuts:
            self._n_cuts += 1
            self.limit = max(1, int(self.limit * SHRINK))
            self._successes = 0
        rest_s = COOLDOWN_S if retry_after_s is None else retry_after_s
        self._closed_until = max(self._closed_until, time.monotonic() + rest_s)

    @property
    def _rest_s(self) -> float:
        return self._closed_until - time.monotonic()

    async def _place(self) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._admit()
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # It was given its place in the same moment.
                self._leave()
            raise

    def _leave(self) -> None:
        self.n_running -= 1
        self._admit()

    def _admit(self) -> None:
        """Free places to those who wait, now or at the end of the rest."""
        if self._waiting and self._rest_s > 0:
            if self._alarm is None:
                loop = asyncio.get_running_loop()
                self._alarm = loop.call_later(self._rest_s, self._woken)
            return
        while self._waiting and self.n_running < self.limit:
            first = self._waiting.popleft()
            if not first.cancelled():
                self.n_running += 1
                first.set_result(None)

    def _woken(self) -> None:
        self._alarm = None
        self._admit()
