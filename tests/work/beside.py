"""Loops of a worker that run in threads of a test, and what is asked of what they do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from modiste.settings import Settings
from modiste.store.tables import Phase
from modiste.work.supervisor import environment
from modiste.work.worker import Worker

one_database = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
"""For what asks a database nothing that others of the same file do not ask of both kinds."""


@contextmanager
def workers(settings: Settings, phases: frozenset[Phase]) -> Iterator[Callable[[], Worker]]:
    """Each call starts a loop of these phases, whose children find the stand-ins of this folder."""
    running: list[tuple[Worker, threading.Thread]] = []

    def start() -> Worker:
        one = Worker(settings, phases=phases)
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        one._environment = {**environment(settings), "PYTHONPATH": path}
        thread = threading.Thread(target=one.run)
        thread.start()
        running.append((one, thread))
        return one

    try:
        yield start
    finally:
        for one, thread in running:
            one.stopping.set()
            thread.join(20)
            one.database.close()


def until(happened: Callable[[], Any], within_s: float = 200) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := happened()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def children(work_id: str) -> list[psutil.Process]:
    """Living processes of ours that work on it."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # It may end while it is looked at.
            named = any(work_id in argument for argument in process.cmdline())
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
