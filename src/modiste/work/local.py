"""A trainer on this machine: a child process that is started, watched and stopped; and its words.

The child reads `run_dir/job.json` and appends to `run_dir/events.jsonl`; we ask it to stop with the
files `cancel` and `pause`. It dies with its worker, and takes a lock on `run_dir` that a trainer
started elsewhere waits for, so there are never two trainers of one job on a machine.

Nothing here knows the database. How a run ended is one of the classes of `Ending`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from modiste.actions.runs import Wish
from modiste.work import child
from modiste.work.member import EXIT_LOST

log = logging.getLogger(__name__)
LOOK_S = 0.1
CANCEL_GRACE_S = 5.0
EXIT_GRACE_S = 30.0
"""Behind the last word: taking torch down takes seconds on a busy machine, a cluster some more."""
READ_BYTES = 4 << 20
LOCKED_ELSEWHERE = 75
"""Exit code of a trainer that found the run held by another one."""


class Finished(NamedTuple):
    adapter_dir: Path
    trained_tokens: int | None


class Failed(NamedTuple):
    code: str
    message: str


class Cancelled(NamedTuple):
    pass


class Stopped(NamedTuple):
    """Behind a checkpoint, because it was asked to."""

    step: int | None


class Died(NamedTuple):
    """Without a last word: killed, out of memory, a broken installation."""

    exit_code: int
    last_words: str
    out_of_memory: bool = False
    """The kernel killed it, because memory ran out."""

    @property
    def how(self) -> str:
        if self.out_of_memory:
            return "was killed by the system because memory ran out"
        if self.exit_code == LOCKED_ELSEWHERE:
            return "found the run held by another trainer process"
        if self.exit_code == EXIT_LOST:
            return "lost one of its processes"
        if self.exit_code == -signal.SIGKILL:
            return "was killed with signal 9 (often: the machine ran out of memory)"
        if self.exit_code < 0:
            return f"was killed with signal {-self.exit_code}"
        return f"ended with exit code {self.exit_code}"


class Stalled(NamedTuple):
    quiet_s: float


Ending = Finished | Failed | Cancelled | Stopped | Died | Stalled


class Said(NamedTuple):
    event: dict[str, Any]
    end: int
    """Offset behind its line."""


class Told(NamedTuple):
    """Events to record up to `offset`, and the ending if one was said; it stays unread.

    So whoever takes over after a crash between hearing an ending and recording it hears it again.
    """

    events: list[dict[str, Any]]
    offset: int
    ending: Ending | None
    end: int
    """Offset behind the ending; equal to `offset` where there is none."""


def tell(path: Path, offset: int) -> Told:
    """What the trainer said behind `offset`, up to the first word that ends a run."""
    events: list[dict[str, Any]] = []
    for said in read_events(path, offset):
        ending = _ending(said.event, path.parent)
        if ending is not None:
            return Told(events, offset, ending, said.end)
        events.append(said.event)
        offset = said.end
    return Told(events, offset, None, offset)


def read_events(path: Path, offset: int) -> Iterator[Said]:
    """Whole lines behind `offset`, some megabytes at most; a line being written waits.

    A file shorter than `offset` was started anew: it is read from its beginning, which is harmless
    because events are recorded by step.
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size < offset:
            offset = 0
        stream.seek(offset)
        text = stream.read(READ_BYTES)
    for line in text.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        offset += len(line)
        try:
            event = json.loads(line)
        except ValueError:
            log.warning("%s: a line that is not JSON is left out: %.80r", path, line)
            event = {}
        yield Said(event if isinstance(event, dict) else {}, offset)


def _ending(event: Mapping[str, Any], run_dir: Path) -> Ending | None:
    match event.get("event"):
        case "finished":
            folder = Path(event.get("adapter_dir") or "adapter")
            return Finished(run_dir / folder, event.get("trained_tokens"))
        case "failed":
            return Failed(
                str(event.get("code") or "tuning_failed"),
                str(event.get("message") or "Training failed without saying why."),
            )
        case "cancelled":
            return Cancelled()
        case "paused":
            return Stopped(event.get("step"))
    return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all, and on the disk when this returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    with beside.open("w", encoding="utf-8") as out:
        json.dump(content, out, ensure_ascii=False, indent=1)
        out.flush()
        os.fsync(out.fileno())
    os.replace(beside, path)


@dataclass
class Child:
    """One child process working in a run folder."""

    run_dir: Path
    process: subprocess.Popen[bytes]
    log_path: Path

    @staticmethod
    def start(
        module: str, run_dir: Path, *, environment: Mapping[str, str], log_name: str
    ) -> Child:
        """Call this from the main thread: the child dies with the thread that started it."""
        for flag in ("cancel", "pause"):
            (run_dir / flag).unlink(missing_ok=True)
        log_path = run_dir / log_name
        with log_path.open("ab") as out:
            process = subprocess.Popen(
                child.command(module, str(run_dir)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(environment),
            )
        return Child(run_dir, process, log_path)

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()

    def ask(self, what: str) -> None:
        """`cancel` or `pause`."""
        (self.run_dir / what).touch()

    def terminate(self) -> None:
        if self.exit_code is None:
            self.process.terminate()

    def kill(self) -> None:
        if self.exit_code is None:
            self.process.kill()
        self.process.wait()

    def last_words(self, n_lines: int = 5) -> str:
        """The end of what the child printed; traceback and all, it is for the job's error."""
        try:
            size = self.log_path.stat().st_size
            with self.log_path.open("rb") as stream:
                stream.seek(max(0, size - 4000))
                lines = stream.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return " | ".join(line.strip() for line in lines[-n_lines:] if line.strip())


class Outcome(NamedTuple):
    ending: Ending
    offset: int
    """Where to read on: behind the word that ended the run, if there was one."""


class Watch:
    """Follows one trainer to its end.

    Args:
        record: takes over events up to an offset; may raise, then the trainer is killed.
        check: what is wanted now; raises when the job is no longer ours.
        draining: whether this worker is asked to go.
    """

    def __init__(
        self,
        trainer: Child,
        *,
        offset: int,
        stall_timeout_s: float,
        drain_timeout_s: float,
        record: Callable[[list[dict[str, Any]], int], None],
        check: Callable[[], Wish],
        draining: Callable[[], bool],
    ) -> None:
        self._trainer = trainer
        self._offset = offset
        self._stall_timeout_s = stall_timeout_s
        self._drain_timeout_s = drain_timeout_s
        self._record = record
        self._check = check
        self._draining = draining
        self._asked = Wish.GO_ON
        self._kill_at: float | None = None

    def until_end(self) -> Outcome:
        """How it ended. Whatever happens, the trainer is dead when this returns or raises.

        Raises:
            LeaseLost: and whatever `record` raises.
        """
        heard_at = time.monotonic()
        try:
            while True:
                exit_code = self._trainer.exit_code  # Before reading: a dead one says no more.
                told = tell(self._trainer.run_dir / "events.jsonl", self._offset)
                if told.events:
                    self._record(told.events, told.offset)
                    self._offset, heard_at = told.offset, time.monotonic()
                if told.ending is not None:
                    self._let_exit()
                    return Outcome(told.ending, told.end)
                if exit_code is not None and not told.events:
                    return Outcome(self._silent_end(exit_code), self._offset)
                self._pass_on_wish()
                quiet_s = time.monotonic() - heard_at
                if quiet_s > self._stall_timeout_s:
                    return Outcome(Stalled(quiet_s), self._offset)
                time.sleep(LOOK_S)
        finally:
            self._trainer.kill()

    def _let_exit(self) -> None:
        """It said its last word; give it time to close its files."""
        try:
            self._trainer.process.wait(timeout=EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            log.warning("the trainer in %s does not exit by itself", self._trainer.run_dir)

    def _silent_end(self, exit_code: int) -> Ending:
        if self._asked is Wish.CANCEL:
            return Cancelled()
        if self._asked is Wish.PAUSE:
            return Stopped(None)
        return Died(exit_code, self._trainer.last_words())

    def _pass_on_wish(self) -> None:
        wish = self._check()
        if wish is Wish.GO_ON and self._draining():
            wish = Wish.PAUSE
        if wish is Wish.CANCEL and self._asked is not Wish.CANCEL:
            self._trainer.ask("cancel")
            self._trainer.terminate()
            self._asked, self._kill_at = wish, time.monotonic() + CANCEL_GRACE_S
        elif wish is Wish.PAUSE and self._asked is Wish.GO_ON:
            self._trainer.ask("pause")
            self._asked, self._kill_at = wish, time.monotonic() + self._drain_timeout_s
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            log.warning("the trainer in %s did not %s in time", self._trainer.run_dir, self._asked)
            self._trainer.kill()
