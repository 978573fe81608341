"""How many requests run at a time: as many as a model's server bears, found while they run.

Additive increase, multiplicative decrease, one pace per model: a server that says it is full halves
the number and is left alone for as long as it asks; every so many answers in a row allow one more.
Only a full server slows the pace; a request that fails for reasons of its own does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SUCCESSES_UNTIL_MORE = 25
COOLDOWN_S = 2.0
SHRINK = 0.5


class Pace:
    """At most `limit` requests at a time, 1 to `most`."""

    def __init__(self, most: int, *, start: int | None = None) -> None:
        self.most = max(1, most)
        self.limit = min(self.most, max(1, self.most // 2 if start is None else start))
        self.n_running = 0
        self._successes = 0
        self._closed_until = 0.0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a place and holds it."""
        async with self._changed:
            while not self._open():
                await self._until_change()
            self.n_running += 1
        try:
            yield
        finally:
            async with self._changed:
                self.n_running -= 1
                self._changed.notify_all()

    async def succeeded(self) -> None:
        self._successes += 1
        if self._successes >= SUCCESSES_UNTIL_MORE and self.limit < self.most:
            self._successes = 0
            async with self._changed:
                self.limit += 1
                self._changed.notify_all()

    async def full(self, retry_after_s: float | None) -> float:
        """The server has no place; returns how long it is left alone."""
        wait_s = COOLDOWN_S if retry_after_s is None else retry_after_s
        now = time.monotonic()
        if now >= self._closed_until:  # Those sent together are told together: one step back.
            self.limit = max(1, int(self.limit * SHRINK))
            self._successes = 0
        self._closed_until = max(self._closed_until, now + wait_s)
        return wait_s

    def _open(self) -> bool:
        return self.n_running < self.limit and time.monotonic() >= self._closed_until

    async def _until_change(self) -> None:
        """Woken by a place that gets free, or by the end of a rest."""
        rest_s = self._closed_until - time.monotonic()
        try:
            await asyncio.wait_for(self._changed.wait(), rest_s if rest_s > 0 else None)
        except TimeoutError:
            return
