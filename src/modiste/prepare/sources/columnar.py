"""Rows of Parquet and Arrow files, a few hundred at a time.

These files cannot tell an absent value from a null one: a field that one row has, all have. So
nulls are left out, inside lists and objects too, and a row reads as it did before it was written.
Needs pyarrow (`pip install 'modiste[data]'`).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from modiste.prepare.sources.containers import Container
from modiste.prepare.sources.document import Item
from modiste.types import Problem

BATCH_ROWS = 256
BUFFER_BYTES = 1 << 20


def read_columnar(path: Path, container: Container, *, file: str) -> Iterator[Item]:
    """The rows, numbered from 1; a file that is damaged ends in a problem."""
    try:
        import pyarrow as pa
    except ImportError:
        hint = "pip install 'modiste[data]'"
        text = f"reading {container} files needs the package pyarrow"
        yield _wrong(file, 1, "extra_missing", text, hint)
        return
    batches = _parquet_batches if container is Container.PARQUET else _arrow_batches
    number = 1
    try:
        for batch in batches(path):
            names = batch.schema.names
            if twice := sorted({name for name in names if names.count(name) > 1}):
                text = f"the column {twice[0]!r} stands twice"
                yield _wrong(file, number, "columns_repeated", text, "rename one")
                return
            for at, rows in _rows(batch):
                if isinstance(rows, str):
                    yield _wrong(file, number + at, "value_unreadable", rows, None)
                    continue
                for offset, row in enumerate(rows):
                    yield _item(number + at + offset, row, file)
            number += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        text = f"the {container} file cannot be read from row {number} on: {said}"
        yield _wrong(file, number, "file_damaged", text, "copy or export it again")


def _parquet_batches(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    # Buffered, because a column is otherwise read whole, and it may be the whole file.
    with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)


def _arrow_batches(path: Path) -> Iterator[Any]:
    """Of Arrow's file layout (Feather), or of the stream layout that `datasets` keeps."""
    import pyarrow as pa

    with path.open("rb") as head:
        is_stream = not head.read(6).startswith(b"ARROW1")
    with pa.OSFile(str(path)) as source:
        if is_stream:
            with pa.ipc.open_stream(source) as stream:
                yield from stream
            return
        with pa.ipc.open_file(source) as file:
            for number in range(file.num_record_batches):
                yield file.get_batch(number)


def _rows(batch: Any) -> Iterator[tuple[int, list[dict[str, Any]] | str]]:
    """Slices of a batch as Python values with the place of each; a reason where there are none."""
    for at in range(0, batch.num_rows, BATCH_ROWS):
        part = batch.slice(at, BATCH_ROWS)
        try:
            part.validate(full=True)
            yield at, part.to_pylist(maps_as_pydicts="strict")
        except (ValueError, OverflowError, KeyError):
            yield from _one_by_one(part, at)


def _one_by_one(part: Any, at: int) -> Iterator[tuple[int, list[dict[str, Any]] | str]]:
    for offset in range(part.num_rows):
        row = part.slice(offset, 1)
        try:
            row.validate(full=True)
            yield at + offset, row.to_pylist(maps_as_pydicts="strict")
        except (ValueError, OverflowError, KeyError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            yield at + offset, f"the row cannot be read: {said}"


def _item(number: int, row: dict[str, Any], file: str) -> Item:
    value = _plain(row)
    try:
        return Item(number, orjson.dumps(value), value)
    except orjson.JSONEncodeError as error:
        text = f"the row cannot be written as JSON: {error}"
        return _wrong(file, number, "value_unreadable", text, None)


_AS_TEXT: dict[type, Callable[[Any], Any]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    Decimal: str,
    UUID: str,
}


def _plain(value: Any) -> Any:
    """Values as JSON has them; nulls, and numbers that are none, left out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, dict):
        plain = {str(key): _plain(inside) for key, inside in value.items()}
        return {key: inside for key, inside in plain.items() if inside is not None}
    if isinstance(value, list):
        return [_plain(inside) for inside in value]
    if isinstance(value, bytes):
        return _text(value)
    write = _AS_TEXT.get(type(value), str)
    return None if value is None else write(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _wrong(file: str, row: int, code: str, message: str, hint: str | None) -> Item:
    return Item(row, b"", None, Problem(file, row, "", code, message, hint=hint))
