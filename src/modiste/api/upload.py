"""Uploads: the file of a form goes to disk while it arrives.

Nothing of the file is kept in memory beyond a few network chunks, and the size limit is enforced
as bytes come in. A client that is refused early is read to its end (for a while), because one that
cannot finish sending often never looks at the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import anyio
from anyio import from_thread
from anyio.streams.memory import MemoryObjectReceiveStream
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request

from modiste.actions import files, keys
from modiste.api.form import Form
from modiste.errors import TooLarge
from modiste.store.database import Database
from modiste.types import Actor, File, Scope

MAX_FORM_OVERHEAD_BYTES = 1024 * 1024
CHUNKS_IN_FLIGHT = 4
DRAIN_S = 30.0
MAX_UPLOADS = 32
"""Uploads that are written at once; each holds a thread, the others wait unread."""


async def receive(
    request: Request,
    database: Database,
    actor: Actor,
    *,
    threads: anyio.CapacityLimiter,
    examine: files.Examine,
) -> File:
    """The file that the form brings, checked by `examine`, stored and durable.

    Raises:
        RequestValidationError: not a form, no file in it, unknown or malformed fields.
        TooLarge, InvalidInput, StorageFull: what `actions.files.add` says.
    """
    body = _Arriving(request)
    try:
        keys.require(actor, Scope.DATA)
        _refuse_by_length(request, database.settings.max_upload_bytes)
        form = Form(request.headers.get("content-type", ""))
        upload = _Upload(database, actor, form, examine)
        return await upload.run(body, threads=threads)
    finally:
        await body.drain()


class _Arriving:
    """The body of a request in pieces, and its rest where nobody wants it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._more = True

    async def pieces(self) -> AsyncIterator[bytes]:
        while self._more:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self._more = False
                raise ClientDisconnect
            self._more = message.get("more_body", False)
            yield message.get("body", b"")

    async def drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                async for _ in self.pieces():
                    pass
        except (TimeoutError, ClientDisconnect):
            pass


class _Upload:
    """One form on its way in: the event loop reads, a thread writes."""

    def __init__(
        self, database: Database, actor: Actor, form: Form, examine: files.Examine
    ) -> None:
        self._database, self._actor, self._form = database, actor, form
        self._examine = examine
        self._complete = False
        """Set once the last byte arrived; a form that broke off is never stored."""

    async def run(self, body: _Arriving, *, threads: anyio.CapacityLimiter) -> File:
        outgoing, incoming = anyio.create_memory_object_stream[bytes](CHUNKS_IN_FLIGHT)
        storing = asyncio.create_task(run_sync(self._store, incoming, limiter=threads))
        try:
            async for piece in body.pieces():
                for chunk in self._form.push(piece):
                    await outgoing.send(chunk)
            self._form.finish()
            self._complete = True
        except anyio.BrokenResourceError:
            pass  # The thread has refused the file already; its reason is raised below.
        finally:
            outgoing.close()
            results = await asyncio.gather(storing, return_exceptions=True)
        if isinstance(results[0], BaseException):
            raise results[0]
        return results[0]

    def _store(self, incoming: MemoryObjectReceiveStream[bytes]) -> File:
        limit = self._database.settings.max_upload_bytes
        try:
            with self._database.blobs.receive(_until_closed(incoming), max_bytes=limit) as upload:
                if not self._complete:
                    raise ClientDisconnect
                about = self._form.about()
                return files.add_received(
                    self._database,
                    self._actor,
                    upload,
                    filename=about.filename,
                    purpose=about.purpose,
                    expires_in_s=about.expires_in_s,
                    visibility=about.visibility,
                    examine=self._examine,
                )
        finally:
            from_thread.run_sync(incoming.close)


def _until_closed(incoming: MemoryObjectReceiveStream[bytes]) -> Iterator[bytes]:
    while True:
        try:
            yield from_thread.run(incoming.receive)
        except anyio.EndOfStream:
            return


def _refuse_by_length(request: Request, limit: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit + MAX_FORM_OVERHEAD_BYTES:
        raise TooLarge(
            f"Request Entity Too Large: the form has {int(length):,} bytes and a file here at "
            f"most {limit:,}. Split it, or raise MODISTE_MAX_UPLOAD_BYTES.",
            param="file",
        )
