"""The engine's process: lock, socket, signals, and the loop that feeds the engine.

    python -m modiste.serve.process

Settings come from the environment. One engine per home, held by a lock that dies with the process.
It listens on a Unix socket that only its own user may open and says where in
`<home>/run/engine.json`. A client that hangs up takes its requests with it; SIGTERM or Ctrl-C lets
those that run finish within `drain_timeout_s`, refuses new ones, and tells whoever is still there
when time is up.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import psutil
import torch

from modiste import settings as settings_
from modiste.errors import InvalidInput
from modiste.serve import protocol
from modiste.serve.engine import Engine
from modiste.serve.scheduler import Key
from modiste.serve.sequence import Event, Failed, FailureCode
from modiste.serve.switchboard import Gone, Heard, Inbox, Switchboard
from modiste.settings import Settings

log = logging.getLogger(__name__)

EXIT_BAD_SETTINGS, EXIT_ANOTHER_RUNS = 2, 75
LONGEST_SOCKET_PATH = 100
"""The kernel's limit is 108 bytes with the closing zero."""
MEMORY_SHARE = 0.8
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def serve() -> int:
    """Run until told to stop; the process's exit code."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        settings = settings_.load()
    except InvalidInput as error:
        log.error("%s", error.message)
        return EXIT_BAD_SETTINGS
    settings.process_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_engine(settings) as alone:
        if not alone:
            log.error("another engine serves %s; stop that one first", settings.home)
            return EXIT_ANOTHER_RUNS
        with _socket_path(settings.process_dir) as path:
            _Process(settings, path).run()
    return 0


class _Process:
    def __init__(self, settings: Settings, socket_path: Path) -> None:
        threads = settings.engine_threads or default_threads()
        torch.set_num_threads(threads)
        self._drain_timeout_s = settings.drain_timeout_s
        self._record = settings.process_dir / protocol.ENGINE_FILE
        self._socket_path = socket_path
        self._inbox: Inbox = SimpleQueue()
        self._outbox: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        self._stop = False
        self._engine = Engine(
            max_sequences=settings.engine_max_sequences,
            max_waiting=settings.engine_max_waiting,
            prefix_bytes=None if (mib := settings.engine_prefix_mib) is None else mib << 20,
            memory_bytes=int(MEMORY_SHARE * available_memory_bytes()),
            emit=self._post,
            wake=lambda: self._inbox.put(None),
            threads=threads,
            linear=settings.serve_linear,
        )
        self._board = Switchboard(socket_path, self._inbox, status=self._engine.status)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._board.start()
        self._write_record()
        log.info("the engine listens on %s", self._socket_path)
        try:
            self._loop()
        finally:
            self._record.unlink(missing_ok=True)
            self._engine.fail_all("the engine is being restarted; send this again")
            self._send()
            self._board.close()
            self._engine.close()
        log.info("the engine stops")

    def _loop(self) -> None:
        """Hear, step, answer; until told to stop and done, or out of time."""
        worked = True
        while not self._engine.drained:
            for heard in self._heard(wait=not worked):
                self._obey(heard)
            if self._stop and not self._engine.draining:
                self._engine.drain(self._drain_timeout_s)
                log.info("draining: %d requests", self._engine.n_requests)
            worked = self._engine.step()
            self._send()

    def _heard(self, *, wait: bool) -> Iterator[Heard | Gone]:
        """Everything in the inbox; waits for the first where there is nothing else to do."""
        with suppress(Empty):
            first = self._inbox.get(timeout=1.0) if wait else self._inbox.get_nowait()
            while True:
                if first is not None:
                    yield first
                first = self._inbox.get_nowait()

    def _obey(self, heard: Heard | Gone) -> None:
        if isinstance(heard, Gone):
            self._engine.forget(heard.connection)
            self._outbox.pop(heard.connection, None)
            return
        number = heard.message.get("id")
        if not isinstance(number, int):
            log.warning("connection %d sent a frame without an id", heard.connection)
            return
        key = Key(heard.connection, number)
        match heard.message.get("op"):
            case "abort":
                self._engine.abort(key)
            case "generate" | "score" | "embed":
                try:
                    self._engine.add(key, protocol.request_from_wire(heard.message))
                except InvalidInput as error:
                    self._post(key, Failed("", FailureCode.INVALID, error.message))
            case other:
                text = f"the engine does not know the operation {other!r}"
                self._post(key, Failed("", FailureCode.INVALID, text))

    def _post(self, key: Key, event: Event) -> None:
        self._outbox[key.connection].append(protocol.event_to_wire(event, key.number))

    def _send(self) -> None:
        """One frame per connection with all that this step brought."""
        for connection, events in self._outbox.items():
            self._board.send(connection, {"events": events})
        self._outbox.clear()

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop = True
        self._inbox.put(None)

    def _write_record(self) -> None:
        """Whole or not at all: a client may read it at any moment."""
        content = {"pid": os.getpid(), "socket": str(self._socket_path)}
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(self._record)


def default_threads() -> int:
    """A quarter of the cores: small steps gain nothing from more, and training needs some."""
    return max(1, len(os.sched_getaffinity(0)) // 4) if hasattr(os, "sched_getaffinity") else 1


def available_memory_bytes() -> int:
    """What is free now, or what the container leaves, whichever is less."""
    available: int = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # No such file without a cgroup; "max" without a limit.
        available = min(available, int(CGROUP_LIMIT.read_text()))
    return available


@contextmanager
def _only_engine(settings: Settings) -> Iterator[bool]:
    """Whether we hold the home's engine lock, having waited for one that may be draining."""
    deadline = time.monotonic() + settings.drain_timeout_s + 5.0
    with (settings.process_dir / "engine.lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    yield False
                    return
            time.sleep(0.1)
        yield True


@contextmanager
def _socket_path(process_dir: Path) -> Iterator[Path]:
    """In the process folder, or in a short private one where that path is too long."""
    path = process_dir / "engine.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
    else:
        with tempfile.TemporaryDirectory(prefix="modiste-") as folder:
            yield Path(folder) / "engine.sock"


def main(argv: list[str] | None = None) -> int:
    """Takes no arguments; a usage error is exit code 2."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments:
        print(f"unknown arguments {arguments}; settings come from MODISTE_*", file=sys.stderr)
        return 2
    return serve()


if __name__ == "__main__":
    raise SystemExit(main())
