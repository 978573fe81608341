"""A thread for work that takes long enough to hold up the event loop, on which answers arrive.

Each scorer has one of its own: scorers that wait for their child process must not use up the
threads that requests to models need, and one that is slow must not delay the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Aside:
    """One thread, begun with the first work; what is asked of it is done in order."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    async def do(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Ends with the work in hand; what waits is given up. It begins anew when asked again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True, cancel_futures=True)
