"""The engine's side of its Unix socket: a thread that carries frames, so no step waits for one.

It knows connections and frames, not what they mean: what is heard goes into the inbox as `Heard`,
and a connection that is gone as `Gone`. `status` requests it answers itself, so that they are
answered while a long step runs. Refused: peers of another user (the socket is 0600), frames that
are not JSON objects, and clients that let `MAX_UNREAD_BYTES` pile up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from modiste.errors import InvalidInput
from modiste.serve import protocol

MAX_UNREAD_BYTES = 64 * 1024 * 1024
READ_BYTES = 1 << 18

log = logging.getLogger(__name__)


class Heard(NamedTuple):
    connection: int
    message: dict[str, Any]


class Gone(NamedTuple):
    connection: int


Inbox = SimpleQueue[Heard | Gone | None]
"""None only wakes whoever waits."""


class _Line:
    """One connection: what came in so far, what is still to go out."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.unframer = protocol.Unframer()
        self.unsent = bytearray()


class Switchboard:
    def __init__(
        self, path: Path, inbox: Inbox, *, status: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Listens on `path` at once; carries frames after `start`."""
        self._inbox, self._status = inbox, status
        self._listener = _listen(path)
        self._wake_out, self._wake_in = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._wake_in.setblocking(False)
        for source in (self._listener, self._wake_out):
            source.setblocking(False)
            self._selector.register(source, selectors.EVENT_READ)
        self._lines: dict[int, _Line] = {}
        self._n_accepted = 0
        self._lock = threading.Lock()
        self._to_send: list[tuple[int, bytes]] = []
        self._closing_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="switchboard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, connection: int, message: Mapping[str, Any]) -> None:
        """Queue a frame; dropped if the connection is gone. Callable from any thread."""
        with self._lock:
            self._to_send.append((connection, protocol.encode(message)))
        self._wake()

    def close(self, *, flush_s: float = 2.0) -> None:
        """Send what is queued, for `flush_s` at most, then hang up on everyone."""
        self._closing_at = time.monotonic() + flush_s
        self._wake()
        self._thread.join(flush_s + 1.0)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # Full: it is awake already.
            self._wake_in.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._done():
                for key, events in self._selector.select(timeout=0.2):
                    self._serve(key.fileobj, key.data, events)
                self._queue_frames()
        except Exception:  # The edge of this thread: without it the engine is deaf, so it must end.
            log.exception("the switchboard failed; the engine stops")
            os._exit(70)
        for connection in list(self._lines):
            self._hang_up(connection)
        self._listener.close()

    def _done(self) -> bool:
        if self._closing_at is None:
            return False
        flushed = not self._to_send and not any(line.unsent for line in self._lines.values())
        return flushed or time.monotonic() > self._closing_at

    def _serve(self, source: Any, connection: int | None, events: int) -> None:
        if source is self._listener:
            self._accept()
        elif source is self._wake_out:
            with contextlib.suppress(BlockingIOError):
                self._wake_out.recv(READ_BYTES)
        elif connection is not None and connection in self._lines:
            if events & selectors.EVENT_READ:
                self._read(connection)
            if events & selectors.EVENT_WRITE and connection in self._lines:
                self._write(connection)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            peer, _ = self._listener.accept()
            peer.setblocking(False)
            self._n_accepted += 1
            self._lines[self._n_accepted] = _Line(peer)
            self._selector.register(peer, selectors.EVENT_READ, self._n_accepted)

    def _read(self, connection: int) -> None:
        line = self._lines[connection]
        try:
            data = line.peer.recv(READ_BYTES)
            if not data:
                self._hang_up(connection)
                return
            for message in line.unframer.feed(data):
                self._hear(connection, message)
        except BlockingIOError:
            return
        except (OSError, InvalidInput) as error:
            log.warning("connection %d is dropped: %s", connection, error)
            self._hang_up(connection)

    def _hear(self, connection: int, message: dict[str, Any]) -> None:
        if message.get("op") == "status":
            answer = {"id": message.get("id"), "status": self._status()}
            self._lines[connection].unsent += protocol.encode({"events": [answer]})
            self._write(connection)
        else:
            self._inbox.put(Heard(connection, message))

    def _queue_frames(self) -> None:
        with self._lock:
            frames, self._to_send = self._to_send, []
        for connection, frame in frames:
            if connection in self._lines:
                self._lines[connection].unsent += frame
        for connection in {connection for connection, _ in frames} & set(self._lines):
            self._write(connection)

    def _write(self, connection: int) -> None:
        line = self._lines[connection]
        try:
            del line.unsent[: line.peer.send(line.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up(connection)
            return
        if len(line.unsent) > MAX_UNREAD_BYTES:
            log.warning("connection %d is dropped: it does not read its answers", connection)
            self._hang_up(connection)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.unsent else 0)
        self._selector.modify(line.peer, wanted, connection)

    def _hang_up(self, connection: int) -> None:
        line = self._lines.pop(connection)
        self._selector.unregister(line.peer)
        line.peer.close()
        self._inbox.put(Gone(connection))


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    return listener
