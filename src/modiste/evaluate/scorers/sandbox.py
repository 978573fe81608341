"""A child process that runs what a model or a user wrote: one line of JSON in, one line out.

The child is started once and asked many times. One that does not answer in time, or dies, is
killed with all it started and begun anew with the next request, so a hanging query costs its time
limit and nothing else. It gets an empty environment and an empty folder, which is deleted with it.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 4_000_000
"""Of one answer; a child that says more is out of order."""


class ChildFailed(Exception):
    """It was killed after `limit_s`, or ended by itself."""

    def __init__(self, message: str, *, timed_out: bool) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class Sandbox:
    """One program, run by this Python in isolated mode (`-I`): no site packages of the user, no
    `PYTHON*` variables. What else it may do is the program's own business to limit."""

    def __init__(self, program: Path, *arguments: str) -> None:
        self._command = [sys.executable, "-I", str(program), *arguments]
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: str | None = None
        self._rest = b""

    def ask(self, request: Mapping[str, Any], *, limit_s: float) -> Any:
        """
        Raises:
            ChildFailed: no answer in time, or the child is gone.
        """
        line = json.dumps(request, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            child = self._running()
            deadline = time.monotonic() + limit_s
            try:
                said = self._exchanged(child, line, deadline)
            except (OSError, ValueError) as error:
                self._end()
                raise ChildFailed(f"its process ended: {error}", timed_out=False) from None
            if said is None:
                self._end()
                raise ChildFailed(f"stopped after {limit_s:g} s", timed_out=True)
        return said

    def close(self) -> None:
        with self._lock:
            self._end()

    def __del__(self) -> None:
        self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._end()
            self._folder = tempfile.mkdtemp(prefix="modiste-sandbox-")
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        return self._child

    def _exchanged(self, child: subprocess.Popen[bytes], line: bytes, deadline: float) -> Any:
        """The answer, or None where there is none by the deadline."""
        if child.stdin is None or child.stdout is None:
            raise ValueError("it has no pipes")
        threading.Thread(target=_send, args=(child.stdin, line), daemon=True).start()
        found = self._rest
        with selectors.DefaultSelector() as waiting:
            waiting.register(child.stdout, selectors.EVENT_READ)
            while b"\n" not in found:
                left = deadline - time.monotonic()
                if left <= 0 or not waiting.select(left):
                    return None
                part = os.read(child.stdout.fileno(), 65536)
                if not part:
                    raise ValueError(f"exit status {child.wait(timeout=5)}")
                found += part
                if len(found) > MOST_BYTES:
                    raise ValueError(f"it said more than {MOST_BYTES} bytes")
        answer, self._rest = found.split(b"\n", 1)
        return json.loads(answer)

    def _end(self) -> None:
        child, self._child, self._rest = self._child, None, b""
        if child is not None:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                child.kill()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    _closed(pipe)
            child.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _send(pipe: Any, line: bytes) -> None:
    """In a thread of its own: a child that does not read must not hold up the deadline."""
    try:
        pipe.write(line)
        pipe.flush()
    except (OSError, ValueError):
        return


def _closed(pipe: Any) -> None:
    try:
        pipe.close()
    except (OSError, ValueError):
        return
