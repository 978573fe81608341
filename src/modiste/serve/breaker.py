"""A circuit breaker: a server that fails again and again is left alone for a while.

Closed: requests go. After `failures` in a row it opens: requests are refused at once, with when to
come back. After the pause one request tries (half-open): it closes the breaker, or opens it for
twice as long. A request that ends without a verdict (its reader left) counts for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from modiste.errors import Unavailable


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Of one upstream, in one process. Not for several threads."""

    def __init__(
        self,
        *,
        failures: int = 5,
        pause_s: float = 10.0,
        longest_pause_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures, self._first_pause_s = failures, pause_s
        self._longest_pause_s, self._clock = longest_pause_s, clock
        self._in_a_row = 0
        self._pause_s = pause_s
        self._open_until: float | None = None
        self._trying = False
        self.last_failure: str | None = None
        """In words, while it is not closed."""

    @property
    def state(self) -> State:
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if self._clock() < self._open_until else State.HALF_OPEN

    def enter(self, who: str) -> None:
        """Before a request; after it one of `succeeded`, `failed` and `undecided` must come.

        Raises:
            Unavailable: it is open, or another request is trying.
        """
        if self._open_until is None:
            return
        wait_s = self._open_until - self._clock()
        if wait_s > 0 or self._trying:
            raise Unavailable(
                f"{who} failed {self._in_a_row} times in a row and is left alone for now; at last: "
                f"{self.last_failure}",
                code="upstream_down",
                retry_after_s=max(1.0, wait_s),
            )
        self._trying = True

    def succeeded(self) -> None:
        self._in_a_row, self._pause_s = 0, self._first_pause_s
        self._open_until, self._trying, self.last_failure = None, False, None

    def failed(self, how: str) -> None:
        self._in_a_row += 1
        self.last_failure = how
        if self._trying:
            self._pause_s = min(self._longest_pause_s, 2 * self._pause_s)
        if self._trying or self._in_a_row >= self._failures:
            self._open_until = self._clock() + self._pause_s
        self._trying = False

    def undecided(self) -> None:
        self._trying = False
