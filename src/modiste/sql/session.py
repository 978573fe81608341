"""Who speaks SQL, where to, and what was set: one `Session` per connection or HTTP request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from modiste.actions.inference import Serving
from modiste.store.database import Database, Tx
from modiste.types import Actor

Dialect = Literal["mysql", "postgres"]
T = TypeVar("T")
PROJECT = "mindsdb"
"""The project that is always there; scripts expect its name."""


@dataclass(frozen=True)
class Place:
    """What the process behind the door keeps open, and what it is at in the background."""

    database: Database
    serving: Serving
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def read(self, look: Callable[[Tx], T]) -> T:
        return await asyncio.to_thread(self._in_transaction, look, False)

    async def write(self, act: Callable[[Tx], T]) -> T:
        return await asyncio.to_thread(self._in_transaction, act, True)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self) -> None:
        """End what runs in the background; whoever starts next takes it up again."""
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _in_transaction(self, act: Callable[[Tx], T], write: bool) -> T:
        with self.database.transaction(write=write) as tx:
            return act(tx)


@dataclass
class Session:
    """`database` changes with USE, `variables` with SET; `notes` are the last statement's."""

    caller: Actor
    place: Place
    database: str = PROJECT
    dialect: Dialect = "mysql"
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
