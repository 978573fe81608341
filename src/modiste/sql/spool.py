"""Rows on their way into a database, in a nameless file meanwhile, as Arrow.

Gathering may take hours where models answer; the transaction that writes must not. What is
gathered is bounded by the disk, not by memory, and is gone with the process however it ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from modiste.sql import errors
from modiste.sql.result import Column, Kind, Row

IN_MEMORY_BYTES = 4 * 1024 * 1024
ARROW: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
    "json": pa.string(),
    "bytes": pa.binary(),
}


class Stash:
    """Write batches, then read them, once; a context that ends the file."""

    def __init__(self, schema: pa.Schema, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.schema = schema
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(folder))  # noqa: SIM115 - closed in __exit__.
        self._writer = pa.ipc.new_stream(self._file, self.schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        with suppress(OSError):  # What is left to write is wanted by nobody.
            self._file.close()

    def write(self, rows: pa.RecordBatch) -> None:
        """Raises SqlError: the disk is full."""
        with errors.of_disk():
            self._writer.write_batch(rows)

    def reader(self) -> pa.RecordBatchReader:
        """Raises SqlError: the disk is full."""
        with errors.of_disk():
            self._writer.close()
            self._file.seek(0)
        return pa.ipc.open_stream(self._file)


class Spool(Stash):
    """The same of rows: `add` them, then read `batches`, once."""

    def __init__(self, columns: Sequence[Column], folder: Path) -> None:
        # Numbers are the names: two columns of a query may be called the same.
        super().__init__(
            pa.schema([(str(at), ARROW[c.kind]) for at, c in enumerate(columns)]), folder
        )
        self.n_rows = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Raises SqlError: a value that does not fit its column, such as an integer of 65 bits."""
        if not rows:
            return
        try:
            columns = [
                pa.array(values, field.type)
                for values, field in zip(zip(*rows, strict=True), self.schema, strict=True)
            ]
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            raise errors.bad(f"A value cannot be written: {error}") from None
        self.write(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        self.n_rows += len(rows)

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self.reader()
