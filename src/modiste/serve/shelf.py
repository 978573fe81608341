"""Things that take time to load and memory to keep: bases and adapters.

`get` never waits: it starts a load on the given thread pool and answers None until the thing is
there, so the streams that run are not held up. What is pinned stays; the rest goes, least recently
used first, when something new needs the room. A load that failed is told once and tried again when
asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Entry(Generic[V]):
    future: Future[V]
    size_bytes: int
    pins: int = 0


class Shelf(Generic[K, V]):
    """Owned by one thread; only the loads run elsewhere."""

    def __init__(
        self,
        load: Callable[[K], V],
        *,
        size_bytes: Callable[[K], int],
        limit_bytes: int,
        pool: Executor,
        on_loaded: Callable[[], None],
    ) -> None:
        """`size_bytes` says before loading what a thing will take; `on_loaded` runs on the pool."""
        self._load, self._size, self._limit = load, size_bytes, limit_bytes
        self._pool, self._on_loaded = pool, on_loaded
        self._entries: dict[K, _Entry[V]] = {}  # Least recently used first.

    def get(self, key: K) -> V | None:
        """The thing, or None while it loads or waits for room.

        Raises whatever `size_bytes` or `load` raised.
        """
        entry = self._entries.get(key) or self._start(key)
        if entry is None or not entry.future.done():
            return None
        del self._entries[key]
        if entry.future.exception() is None:
            self._entries[key] = entry  # Now the most recently used.
        return entry.future.result()

    def pin(self, key: K) -> None:
        self._entries[key].pins += 1

    def unpin(self, key: K) -> None:
        self._entries[key].pins -= 1

    def held(self) -> dict[K, V]:
        """Everything that is loaded. Safe to call from another thread."""
        return {
            key: entry.future.result()
            for key, entry in list(self._entries.items())
            if entry.future.done() and entry.future.exception() is None
        }

    @property
    def held_bytes(self) -> int:
        return sum(entry.size_bytes for entry in list(self._entries.values()))

    def _start(self, key: K) -> _Entry[V] | None:
        size = self._size(key)
        if not self._make_room(size):
            return None
        future = self._pool.submit(self._load, key)
        entry = self._entries[key] = _Entry(future, size)
        future.add_done_callback(lambda _: self._on_loaded())
        return entry

    def _make_room(self, size: int) -> bool:
        """Whether `size` bytes fit, after putting away what nobody uses."""
        idle = [k for k, e in self._entries.items() if e.pins == 0 and e.future.done()]
        for key in idle:
            if self.held_bytes + size <= self._limit:
                break
            del self._entries[key]
        return not self._entries or self.held_bytes + size <= self._limit
