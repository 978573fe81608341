"""A child that sends requests for its worker is watched to its end: batches and evaluations alike.

It is asked to stop with the file `cancel`, to leave things as they are with `pause`, and killed
where it takes too long. Whatever happens, it is dead when this returns or raises.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Generic, TypeVar

from modiste.actions.runs import Wish
from modiste.store.database import Database, Tx
from modiste.work.bench import Desk
from modiste.work.local import Child

S = TypeVar("S")
LOOK_S = 0.1
RECORD_S = 0.5
PAUSE_GRACE_S = 5.0


class Watched(Enum):
    ENDED = auto()
    DIED = auto()
    HANDED_ON = auto()
    """This worker drains; the next one goes on."""


def watch(
    bench: Desk,
    child: Child,
    *,
    look: Callable[[], None],
    ended: Callable[[], bool],
    cancel_grace_s: float,
) -> Watched:
    """
    Args:
        look: writes down how far the child is, where that is news; called twice a second, and once
            when the child is gone.
        ended: whether the child said that it came to its end.

    Raises:
        LeaseLost: somebody else has the work now.
    """
    asked, kill_at, look_at = "", float("inf"), 0.0
    try:
        while child.exit_code is None:
            if bench.check() is Wish.CANCEL and asked != "cancel":
                child.ask("cancel")
                asked, kill_at = "cancel", time.monotonic() + cancel_grace_s
            elif bench.stopping.is_set() and not asked:
                child.ask("pause")
                asked, kill_at = "pause", time.monotonic() + PAUSE_GRACE_S
            if time.monotonic() > kill_at:
                child.kill()
            if time.monotonic() >= look_at:
                look()
                look_at = time.monotonic() + RECORD_S
            time.sleep(LOOK_S)
    finally:
        child.kill()
    look()
    if ended():
        return Watched.ENDED
    return Watched.HANDED_ON if bench.stopping.is_set() else Watched.DIED


class News(Generic[S]):
    """What a child says of itself, written down where it is new.

    Args:
        read: what it said last.
        write: keeps that, in a transaction of its own.
    """

    def __init__(self, read: Callable[[], S], write: Callable[[S], None]) -> None:
        self._read, self._write = read, write
        self._said: S | None = None

    def look(self) -> None:
        state = self._read()
        if state != self._said:
            self._write(state)
        self._said = state


def tidy(
    database: Database, request: str, unfinished: Callable[[Tx, Iterable[str]], set[str]]
) -> None:
    """Remove what was left in folders with such a request, by work that ended elsewhere while its
    worker died.

    Args:
        unfinished: which of these ids somebody will still work on.
    """
    folders = [path.parent for path in database.settings.runs_dir.glob(f"*/{request}")]
    with database.transaction(write=False) as tx:
        kept = unfinished(tx, [folder.name for folder in folders])
    for folder in folders:
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
