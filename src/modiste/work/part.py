"""One supervised process: start it, know when it died, when to start it again, and what it said.

A part runs in its own session, so Ctrl-C reaches the supervisor alone. Everything it prints goes to
`<process_dir>/<name>.log`, at most two files of `LOG_BYTES`; warnings and errors are also reported,
and where they come too fast the rest is counted, not dropped in silence.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

LOG_BYTES = 5_000_000
IMPORTANT = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
STAMP = re.compile(r"^[\d:,. TZ+-]*(?=WARNING|ERROR|CRITICAL)")
"""When it was said: the terminal shows it as it happens, the log keeps it."""
REPORTS_PER_MINUTE = 10
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
HEALTHY_AFTER_S = 60.0
"""A part that ran this long before it died is started again as if it were the first time."""

Report = Callable[[str], None]


class Part:
    """A process and its restarts. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log_file: Path,
        report: Report,
    ) -> None:
        self.name = name
        self.environment = dict(environment)
        self.deaths_in_a_row = 0
        self.start_again_at: float | None = None
        self._command = list(command)
        self._log = PartLog(name, log_file, report)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> list[str]:
        """What it said before it died: its warnings and errors, or else its last lines."""
        lines = [STAMP.sub("", line) for line in self._log.last_lines if line.strip()]
        important = [line for line in lines if IMPORTANT.search(line)]
        return list(dict.fromkeys(important)) or lines[-5:]

    def start(self) -> None:
        self.start_again_at = None
        self._started_at = time.monotonic()
        process = self._process = subprocess.Popen(
            self._command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if process.stdout is not None:
            self._log.follow(process.stdout)

    def take_death(self) -> str | None:
        """How the process ended, once per death, with the next start scheduled; else None."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        self._kill_group()  # a trainer must not outlive the worker that owned its lease
        self._process = None
        self._log.finish()
        if time.monotonic() - self._started_at >= HEALTHY_AFTER_S:
            self.deaths_in_a_row = 0
        self.deaths_in_a_row += 1
        self.start_again_at = time.monotonic() + restart_delay_s(self.deaths_in_a_row)
        return describe_exit(code)

    def terminate(self) -> None:
        """Ask it to finish what it does and end."""
        if self._process is not None and self.alive:
            self._process.terminate()

    def kill(self) -> None:
        self._kill_group()
        if self._process is not None:
            self._process.wait()

    def forget(self) -> None:
        """The supervisor is done with this part: close its log, kill what it left behind."""
        self._kill_group()
        self._process = None
        self.start_again_at = None
        self._log.finish()

    def _kill_group(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of it is gone
            os.killpg(self._process.pid, signal.SIGKILL)


def restart_delay_s(deaths_in_a_row: int) -> float:
    """0.5 s, 1 s, 2 s … 30 s."""
    return min(FIRST_DELAY_S * 2.0 ** (deaths_in_a_row - 1), LONGEST_DELAY_S)


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


class PartLog:
    """Copies a process's output to a bounded file; reports its important lines."""

    def __init__(self, name: str, path: Path, report: Report) -> None:
        self.last_lines: deque[str] = deque(maxlen=12)
        self._name, self._path, self._report = name, path, report
        self._reader: threading.Thread | None = None
        self._reported_at: deque[float] = deque(maxlen=REPORTS_PER_MINUTE)
        self._reported = ""
        self._unreported = 0

    def follow(self, output: IO[bytes]) -> None:
        self.last_lines.clear()
        self._reader = threading.Thread(
            target=self._copy, args=(output,), name=f"log-{self._name}", daemon=True
        )
        self._reader.start()

    def finish(self) -> None:
        """Wait for the last lines; bounded, since a stray grandchild may hold the pipe open."""
        if self._reader is not None:
            self._reader.join(timeout=2.0)
        self._say_unreported()

    def _copy(self, output: IO[bytes]) -> None:
        with output:
            for raw in output:
                self._append(raw)
                line = raw.decode("utf-8", "replace").rstrip()
                self.last_lines.append(line)
                if IMPORTANT.search(line):
                    self._pass_on(line)

    def _append(self, raw: bytes) -> None:
        try:
            if self._path.exists() and self._path.stat().st_size + len(raw) > LOG_BYTES:
                self._path.replace(self._path.with_suffix(".log.1"))
            with self._path.open("ab") as file:
                file.write(raw)
        except OSError:
            pass  # a full disk must not stop the part; its own error says so

    def _pass_on(self, line: str) -> None:
        line, now, recent = STAMP.sub("", line), time.monotonic(), self._reported_at
        flood = len(recent) == recent.maxlen and now - recent[0] < 60.0
        if flood or (line == self._reported and now - recent[-1] < 60.0):
            self._unreported += 1
            return
        self._say_unreported()
        recent.append(now)
        self._reported = line
        self._report(f"{self._name}: {line}")

    def _say_unreported(self) -> None:
        if self._unreported:
            count, self._unreported = self._unreported, 0
            self._report(f"{self._name}: {count} more like this in {self._path}")
