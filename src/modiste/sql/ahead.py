"""Rows of a source, read ahead of whoever works on them: in memory while few, else in a file.

Models answer for hours where a source tells in seconds, and no source waits: its timeouts run while
nobody takes its rows. So a thread of its own reads as fast as the source tells and lets it go, and
what is waiting is bounded by the disk, not by memory. The file has no name and is gone with the
process however that ends.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO

import pyarrow as pa

from modiste.sql import errors
from modiste.sql.local import Reading

FRAME_ROWS = 256
FRAME_BYTES = 1024 * 1024
"""About as much is in memory again at a time; at least a row."""
IN_MEMORY_BYTES = 4 * 1024 * 1024
COUNTED = 1_000_000
"""Rows beyond those allowed are counted up to here, to be told."""


class Ahead:
    """Made in a running loop, where it starts to read; `close` it."""

    def __init__(self, reading: Reading, most: int, folder: Path) -> None:
        """
        Args:
            most: rows that are allowed.
        """
        self._reading, self._most, self._folder = reading, most, folder
        self._frames: deque[pa.Buffer | tuple[int, int]] = deque()
        """Each is rows, or where they lie in the file: from, and how many bytes."""
        self._n_held = 0
        self._file: IO[bytes] | None = None
        self._n_file = 0
        self._failure: Exception | None = None
        self._ended, self._left = False, False
        self._n_rows = 0
        self._lock = threading.Lock()
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        threading.Thread(target=self._read, name="sql-ahead", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether there are more rows than are allowed."""
        return self._ended and self._n_rows > self._most

    async def settled(self) -> None:
        """Wait until all is read. Raises SqlError: there are too many rows."""
        while not self._ended:
            self._news.clear()
            if not self._ended:
                await self._news.wait()
        self._refuse_many()

    async def next(self) -> pa.RecordBatch | None:
        """The next few rows, None at their end.

        Raises:
            SqlError: there are too many rows, at once; or, after the rows that came, what became
                of the source.
        """
        while True:
            self._news.clear()
            self._refuse_many()
            with self._lock:
                ended = self._ended
                frame = self._frames.popleft() if self._frames else None
            if frame is not None:
                return await asyncio.to_thread(self._unpacked, frame)
            if ended:
                if self._failure is not None:
                    raise self._failure
                return None
            await self._news.wait()

    def close(self) -> None:
        """The source is let go as soon as it has told what it is at; nobody waits for that."""
        with self._lock:
            self._left = True
            self._frames.clear()
            if self._ended:
                self._let_go()

    def _refuse_many(self) -> None:
        if self.over:
            raise errors.too_many_rows(self._n_rows, self._most, counted=COUNTED)

    def _read(self) -> None:
        try:
            for batch in self._reading.batches:
                n = min(FRAME_ROWS, max(FRAME_BYTES * batch.num_rows // max(batch.nbytes, 1), 1))
                for at in range(0, batch.num_rows, n):
                    self._keep(batch.slice(at, n))
                if self._left or self._n_rows > max(COUNTED, self._most):
                    break
        except Exception as error:  # noqa: BLE001 - raised where the rows are read.
            self._failure = error
        finally:
            with suppress(Exception):  # A source that went away cannot be taken leave of.
                self._reading.close()
            with self._lock:
                self._ended = True
                if self._left:
                    self._let_go()
            self._tell()

    def _let_go(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # What is left to write is wanted by nobody.
                self._file.close()

    def _keep(self, rows: pa.RecordBatch) -> None:
        self._n_rows += rows.num_rows
        if self._n_rows > self._most or self._left:
            return
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_batch(rows)
        packed = sink.getvalue()
        with self._lock:
            if self._n_held + packed.size <= IN_MEMORY_BYTES:
                self._n_held += packed.size
                self._frames.append(packed)
            else:
                with errors.of_disk():
                    self._frames.append(self._written(packed))
        self._tell()

    def _written(self, packed: pa.Buffer) -> tuple[int, int]:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - see close.
        at = self._n_file
        self._file.seek(at)
        self._file.write(packed)
        self._n_file += packed.size
        return at, packed.size

    def _unpacked(self, frame: pa.Buffer | tuple[int, int]) -> pa.RecordBatch:
        with self._lock:
            if isinstance(frame, pa.Buffer):
                self._n_held -= frame.size
            elif self._file is not None:
                with errors.of_disk():
                    self._file.seek(frame[0])
                    frame = pa.py_buffer(self._file.read(frame[1]))
        return pa.ipc.open_stream(frame).read_next_batch()

    def _tell(self) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody waits.
            self._loop.call_soon_threadsafe(self._news.set)
