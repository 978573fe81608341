"""Who serves a home: its lock, its `run/server.json`, whether it answers, whether its port is free.

The lock is the kernel's (flock), so a supervisor that was killed holds nothing; the file beside it
only tells a second one whom to talk to.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

from modiste.errors import Conflict, InvalidInput, StorageFull
from modiste.settings import Settings


def make_folders(settings: Settings) -> None:
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.process_dir.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageFull(
            f"cannot create {settings.process_dir}: {error.strerror}; choose another --home"
        ) from None


@contextmanager
def held(settings: Settings) -> Iterator[IO[str]]:
    """The home is ours while the block runs; the kernel lets go of it however we end."""
    path = settings.process_dir / "up.lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(_say_holder(settings, file)) from None
        write_holder(file, url=None)
        yield file
        file.truncate(0)


def write_holder(file: IO[str], *, url: str | None) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    file.seek(0)
    file.truncate()
    file.write(json.dumps({"pid": os.getpid(), "url": url, "since": since}))
    file.flush()


def _say_holder(settings: Settings, file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        who = f"process {holder['pid']}, since {holder['since']}"
        who += f", at {holder['url']}" if holder["url"] else ", still starting"
        how = f"stop it with `kill {holder['pid']}`"
    except (ValueError, KeyError, TypeError):
        who, how = "another process", "stop that one"
    return f"{settings.home} is already served ({who}); use it, {how}, or choose another --home"


def refuse_taken_port(settings: Settings) -> None:
    if settings.port == 0:
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise InvalidInput(f"host {settings.host!r} is not an address: {error.strerror}") from None
    with socket.socket(family, kind, protocol) as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind(address)
        except OSError as error:
            raise Conflict(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
                "choose another with --port (0 picks a free one)"
            ) from None


class Server(NamedTuple):
    """What `<home>/run/server.json` says, checked against the process table."""

    pid: int
    url: str
    sql: Mapping[str, int] = {}
    """Ports of SQL clients by protocol: mysql, postgres."""


def read_server_file(settings: Settings) -> Server | None:
    """The running front of this home; None when there is none (a stale file counts as none)."""
    try:
        content = json.loads((settings.process_dir / "server.json").read_text(encoding="utf-8"))
        sql = {str(wire): int(port) for wire, port in content.get("sql", {}).items()}
        server = Server(int(content["pid"]), str(content["url"]).rstrip("/"), sql)
        os.kill(server.pid, 0)
    except PermissionError:
        return server  # another user's process: alive
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server


class Health(NamedTuple):
    ok: bool
    body: Mapping[str, Any]
    reason: str


def probe(url: str, *, timeout_s: float = 5.0) -> Health:
    """GET /healthz, whatever happens."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=timeout_s) as answer:  # noqa: S310
            return Health(answer.status == 200, json.loads(answer.read()), "")
    except urllib.error.HTTPError as error:
        body = error.read().decode("utf-8", "replace")
        return Health(False, {}, f"GET /healthz answers {error.code}: {body[:500]}")
    except (OSError, ValueError) as error:
        return Health(False, {}, f"GET /healthz: {error}")
