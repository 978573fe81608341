"""Runs one module as a process that cannot outlive its parent, even one that was killed with -9.

`python -m modiste.work.child PARENT_PID MODULE [ARGUMENT …]` asks the kernel for SIGKILL at the
parent's death and then becomes `python -m MODULE`. Linux ties that signal to the *thread* that
started the child, so a parent must start its children from a thread that stays. Elsewhere a
watching thread does the same within a second.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
SIGKILL = 9
WATCH_INTERVAL_S = 0.5
MAX_PROCESSES = 4
LOCK_TIMEOUT_S = 30.0
EXIT_LOCKED = 75
"""Exit code of a child that found its run held by another one."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs `module` as a child of this process."""
    return [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments]


def die_with_parent(parent_pid: int) -> None:
    """From here on this process ends when `parent_pid` does; at once if that has happened."""
    if not _ask_kernel():
        threading.Thread(target=_watch, args=(parent_pid,), daemon=True).start()
    if os.getppid() != parent_pid:  # it died before we could ask
        os._exit(1)


def die_with(pid: int) -> None:
    """The same for a process that is not our parent, noticed within a second."""

    def watch() -> None:
        while psutil.pid_exists(pid):
            time.sleep(WATCH_INTERVAL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def locked(path: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[bool]:
    """Whether this process holds the lock; the kernel lets go of it however the process ends."""
    with path.open("ab") as stream:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(0.2)
        yield True


def processors() -> int:
    """How many processes of one job may compute at once."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(MAX_PROCESSES, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _ask_kernel() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(WATCH_INTERVAL_S)
    os._exit(1)


def main(argv: list[str] | None = None) -> int:
    parent_pid, module, *arguments = sys.argv[1:] if argv is None else argv
    die_with_parent(int(parent_pid))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
