"""`modiste up`: front, workers and engine as separate processes, kept alive, stopped in order.

Refuses a home that another supervisor holds and a port that is taken. Keeps three promises: a part
that dies is started again, with back-off, and that is said; nothing it started outlives it, even
when it is killed with -9; `stop` lets requests finish and jobs return to the queue before it ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from modiste.errors import Unavailable
from modiste.settings import ENVIRONMENT_PREFIX, NOT_SETTINGS, Settings
from modiste.work import child, home
from modiste.work.part import Part, Report

READY_TIMEOUT_S = 180.0
DEATHS_BEFORE_READY = 3
"""A part that dies this often before the server was ever ready will not get better by waiting."""
TICK_S = 0.1
NOT_FOR_PARTS = frozenset({"url", "api_key"})


class Kind(StrEnum):
    FRONT = "front"
    ENGINE = "engine"
    WORKER = "worker"


MODULES: Mapping[Kind, str] = {
    Kind.FRONT: "modiste.api.app",
    Kind.ENGINE: "modiste.serve.process",
    Kind.WORKER: "modiste.work.worker",
}


class Ready(NamedTuple):
    """The server answers. `health` is the body of GET /healthz."""

    url: str
    health: Mapping[str, Any]
    new_admin_key: bool
    sql: Mapping[str, int]
    """Ports of SQL clients by protocol: mysql, postgres."""


class Supervisor:
    """Owns the processes of one home. `run` blocks; `stop` and `kill` may come from anywhere,
    signal handlers included: they only set a flag that the loop reads ten times a second."""

    def __init__(
        self, settings: Settings, *, report: Report, modules: Mapping[Kind, str] = MODULES
    ) -> None:
        self.settings = settings
        self.url: str | None = None
        self._report = report
        self._modules = modules
        self._parts: list[Part] = []
        self._stopping = False
        self._killing = False

    def stop(self) -> None:
        self._stopping = True

    def kill(self) -> None:
        self._stopping = self._killing = True

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(self._parts)

    def run(self, on_ready: Callable[[Ready], None] = lambda ready: None) -> None:
        """Start everything, keep it alive until `stop`, drain.

        Raises:
            Conflict: the home is served already, or the port is taken.
            Unavailable: a part does not start; the message ends with what it said last.
        """
        home.make_folders(self.settings)
        with home.held(self.settings) as holder:
            home.refuse_taken_port(self.settings)
            try:
                self._start()
                ready = self._until_ready()
                if ready is not None:
                    home.write_holder(holder, url=ready.url)
                    on_ready(ready)
                    self._keep_alive()
            finally:
                self._drain()

    def _start(self) -> None:
        self._server_file.unlink(missing_ok=True)
        self._had_admin_key = self.settings.admin_key_file.exists()
        names = [(Kind.FRONT, "front"), (Kind.ENGINE, "engine")]
        names += [(Kind.WORKER, f"worker-{n + 1}") for n in range(self.settings.workers)]
        for kind, name in names:
            part = Part(
                name,
                child.command(self._modules[kind]),
                environment=environment(self.settings),
                log_file=self.settings.process_dir / f"{name}.log",
                report=self._report,
            )
            self._parts.append(part)
            part.start()

    def _until_ready(self) -> Ready | None:
        """None when `stop` came first."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        health = home.Health(False, {}, "the front did not say where it listens")
        while not self._stopping:
            self._restart_the_dead()
            for part in self._parts:
                if part.deaths_in_a_row >= DEATHS_BEFORE_READY:
                    raise Unavailable(self._did_not_start(part))
            server = self._front()
            self.url = None if server is None else server.url
            if server is not None and self.url is not None:
                health = home.probe(self.url)
                if health.ok and all(part.alive for part in self._parts):
                    self._pin_ports(server)
                    new_key = not self._had_admin_key and self.settings.admin_key_file.exists()
                    return Ready(self.url, health.body, new_key, server.sql)
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"not ready after {READY_TIMEOUT_S:.0f} s: {health.reason}; "
                    f"look into {self.settings.process_dir}/*.log"
                )
            time.sleep(TICK_S)
        return None

    def _keep_alive(self) -> None:
        while not self._stopping:
            self._restart_the_dead()
            time.sleep(TICK_S)

    def _restart_the_dead(self) -> None:
        for part in self._parts:
            how = part.take_death()
            if how is not None and part.start_again_at is not None:
                wait_s = max(0.0, part.start_again_at - time.monotonic())
                self._report(f"{part.name} {how}; starting it again in {wait_s:.1f} s")
            elif part.start_again_at is not None and time.monotonic() >= part.start_again_at:
                part.start()
                self._report(f"{part.name} started again (process {part.pid})")

    def _drain(self) -> None:
        """Front and workers first: requests that are under way still need the engine."""
        engine = [part for part in self._parts if part.name == "engine"]
        deadline = time.monotonic() + self.settings.drain_timeout_s
        for group in ([part for part in self._parts if part not in engine], engine):
            for part in group:
                part.terminate()
            while not self._killing and any(part.alive for part in group):
                if time.monotonic() > deadline:
                    break
                time.sleep(TICK_S)
            for part in group:
                if part.alive:
                    self._report(f"{part.name} did not stop in time and is killed")
                    part.kill()
                part.forget()
        self._parts.clear()
        self._server_file.unlink(missing_ok=True)

    def _front(self) -> home.Server | None:
        server = home.read_server_file(self.settings)
        return server if server is not None and server.pid == self._parts[0].pid else None

    def _pin_ports(self, server: home.Server) -> None:
        """A front that was given port 0 comes back on the ports its callers know."""
        known = self._parts[0].environment
        known[f"{ENVIRONMENT_PREFIX}PORT"] = server.url.rpartition(":")[2].strip("/")
        for wire, port in server.sql.items():
            known[f"{ENVIRONMENT_PREFIX}SQL_{wire.upper()}_PORT"] = str(port)

    def _did_not_start(self, part: Part) -> str:
        said = "\n  ".join(part.last_words)
        return f"{part.name} does not start (log: {self.settings.process_dir / part.name}.log)" + (
            f"; it said last:\n  {said}" if said else ""
        )

    @property
    def _server_file(self) -> Path:
        return self.settings.process_dir / "server.json"


@contextmanager
def running(
    settings: Settings, *, report: Report, modules: Mapping[Kind, str] = MODULES
) -> Iterator[Ready]:
    """A server for the length of a `with` block, supervised from a thread of this process.

    Raises:
        Conflict, Unavailable: as `Supervisor.run`, before the block is entered.
    """
    supervisor = Supervisor(settings, report=report, modules=modules)
    state: dict[str, Any] = {}
    settled = threading.Event()

    def on_ready(ready: Ready) -> None:
        state["ready"] = ready
        settled.set()

    def supervise() -> None:
        try:
            supervisor.run(on_ready)
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread below
            state["error"] = error
        finally:
            settled.set()

    thread = threading.Thread(target=supervise, name="supervisor", daemon=True)
    thread.start()
    try:
        settled.wait()
        if "ready" in state:
            yield state["ready"]
    finally:
        supervisor.stop()
        _join(thread, supervisor)
    if "error" in state:
        raise state["error"]


def _join(thread: threading.Thread, supervisor: Supervisor) -> None:
    while thread.is_alive():
        try:
            thread.join(timeout=0.2)
        except KeyboardInterrupt:
            supervisor.kill()


def environment(settings: Settings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a part: `base` with exactly these settings, wherever they came from."""
    inherited = os.environ if base is None else base
    result = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(ENVIRONMENT_PREFIX) or name in NOT_SETTINGS
    }
    result["PYTHONUNBUFFERED"] = "1"
    for field, known in type(settings).model_fields.items():
        value = getattr(settings, field)
        if field in NOT_FOR_PARTS or (value is None and known.default is None):
            continue
        if value is None:
            value = "off"
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if isinstance(value, tuple):
            value = ",".join(value)
        if isinstance(value, dict):
            value = ",".join(f"{name}={target}" for name, target in value.items())
        result[f"{ENVIRONMENT_PREFIX}{field.upper()}"] = str(value)
    return result
