"""The bytes of one connection, in the clear or under TLS, as both wires read and write them.

TLS runs over memory here, not in the transport: MySQL's clients begin it in the middle of a
connection without waiting for a word, so its first bytes may have been read already.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from contextlib import suppress
from typing import Any

CHUNK_BYTES = 64 * 1024
WAITING_BYTES = 256 * 1024
"""So much may wait to be sent before a sender has to."""


class Gone(Exception):
    """The other side has closed, or broke off in the middle of a message."""


class Channel:
    """Reads exact lengths; writes whole messages, so whoever is cancelled leaves none half sent."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event
    ) -> None:
        self.gone = gone
        """Set as soon as the other side has closed, whether or not anybody reads."""
        self._reader, self._writer = reader, writer
        self._buffer = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        _keep_alive(writer)

    @property
    def encrypted(self) -> bool:
        return self._tls is not None

    @property
    def private(self) -> bool:
        """Nobody on the way can read along: TLS, or both ends on this machine."""
        return self.encrypted or _is_loopback(self._writer.get_extra_info("peername"))

    async def exactly(self, n_bytes: int) -> bytes:
        """Raises Gone where fewer come."""
        while len(self._buffer) < n_bytes:
            self._buffer += await self._some()
        taken = bytes(self._buffer[:n_bytes])
        del self._buffer[:n_bytes]
        return taken

    def send(self, message: bytes | bytearray) -> None:
        """Takes the message whole; `drain` waits until most of what was sent is on its way."""
        if self._tls is None:
            self._writer.write(message)
            return
        view = memoryview(message)
        while view:
            view = view[self._tls.write(view) :]
        self._flush()

    async def drain(self) -> None:
        """Raises Gone where nobody is left to read."""
        if self.gone.is_set():
            raise Gone
        try:
            await self._writer.drain()
        except OSError:
            raise Gone from None

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Raises Gone where the two cannot agree."""
        self._arrived.write(bytes(self._buffer))
        self._buffer.clear()
        tls = context.wrap_bio(self._arrived, self._leaving, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._arrived.write(await self._read())
            except ssl.SSLError:
                self._flush()
                raise Gone from None
            else:
                break
        self._tls = tls
        self._flush()

    def close(self) -> None:
        if self._writer.is_closing():
            return
        if self._tls is not None:  # Without a farewell clients take the end for a line cut off.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._writer.close()

    def abort(self) -> None:
        """Close without waiting for a reader that does not read."""
        self._writer.transport.abort()

    async def _some(self) -> bytes:
        if self._tls is None:
            return await self._read()
        while True:
            try:
                plain = self._tls.read(CHUNK_BYTES)
            except ssl.SSLWantReadError:
                self._flush()
                self._arrived.write(await self._read())
            except ssl.SSLError:
                raise Gone from None
            else:
                if not plain:
                    raise Gone
                return plain

    async def _read(self) -> bytes:
        try:
            data = await self._reader.read(CHUNK_BYTES)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        return data

    def _flush(self) -> None:
        if self._leaving.pending:
            self._writer.write(self._leaving.read())


class Noticing(asyncio.StreamReaderProtocol):
    """A stream that says at once that the other side has closed."""

    def __init__(self, reader: asyncio.StreamReader, connected: Any, gone: asyncio.Event) -> None:
        super().__init__(reader, connected)
        self._gone_event = gone

    def eof_received(self) -> bool | None:
        self._gone_event.set()
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._gone_event.set()
        super().connection_lost(error)


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """A client whose machine vanished is noticed, however long its statement takes."""
    writer.transport.set_write_buffer_limits(high=WAITING_BYTES)
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _is_loopback(peer: Any) -> bool:
    try:
        return ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback
    except (ValueError, TypeError, IndexError):
        return False
