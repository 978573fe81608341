"""What rows come in: JSON lines, JSON, CSV, Parquet, Arrow; told by the first bytes, then the name.

The bytes decide wherever they can, because names lie: a Parquet file called `train.jsonl` is read
as Parquet, and JSON lines called `train.json` as JSON lines. Gzip around any of them is seen
through. What nothing tells is read as JSON lines, whose reader says best what is wrong.
"""

from __future__ import annotations

import csv
import zlib
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import orjson

HEAD_BYTES = 1 << 16
GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class Container(StrEnum):
    JSONL = "jsonl"
    JSON = "json"
    """One list of objects, an object with one such list, or an object of columns."""
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    ARROW = "arrow"
    """Arrow's file or stream layout; Feather is the former."""


SUFFIXES = {
    ".jsonl": Container.JSONL,
    ".ndjson": Container.JSONL,
    ".json": Container.JSON,
    ".csv": Container.CSV,
    ".tsv": Container.TSV,
    ".parquet": Container.PARQUET,
    ".pq": Container.PARQUET,
    ".arrow": Container.ARROW,
    ".arrows": Container.ARROW,
    ".feather": Container.ARROW,
    ".ipc": Container.ARROW,
}
_BINARY = {
    b"PAR1": Container.PARQUET,
    b"PARE": Container.PARQUET,
    b"ARROW1": Container.ARROW,
    b"\xff\xff\xff\xff": Container.ARROW,
    b"FEA1": Container.ARROW,
}


class Packing(NamedTuple):
    container: Container
    gzipped: bool


def packing_of(path: Path, *, filename: str) -> Packing:
    """What a file is, from its first bytes; `filename` is what people call it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    gzipped = head.startswith(GZIP)
    name = filename.lower()
    return Packing(container_of(_unpacked(head), name.removesuffix(".gz")), gzipped)


def container_of(head: bytes, name: str) -> Container:
    """`head` is the whole file where it is shorter than `HEAD_BYTES`."""
    for magic, container in _BINARY.items():
        if head.startswith(magic):
            return container
    named = SUFFIXES.get(Path(name.lower()).suffix)
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith((b"{", b"[")):
        return _json_or_lines(text, named)
    if named in (Container.CSV, Container.TSV):
        return named
    if named is None and (delimited := _table(text)):
        return delimited
    return Container.JSONL


def named_container(name: str) -> Container | None:
    """What a file's name promises; None where it promises no rows."""
    return SUFFIXES.get(Path(name.lower().removesuffix(".gz")).suffix)


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _json_or_lines(text: bytes, named: Container | None) -> Container:
    """One document or a row a line: both begin alike, so the first line decides."""
    first, newline, rest = text.partition(b"\n")
    try:
        value = orjson.loads(first)
    except orjson.JSONDecodeError:
        whole_line = bool(newline)
        if text.startswith(b"["):
            # Cut off by our own reading, or a list over several lines: no row is a list.
            return Container.JSON if whole_line or named is not Container.JSONL else named
        if named is Container.JSON:
            return Container.JSON
        return Container.JSON if named is None and first.strip() == b"{" else Container.JSONL
    if rest.strip():
        return Container.JSONL
    if isinstance(value, list):
        return Container.JSON
    return named if named in (Container.JSON, Container.JSONL) else Container.JSONL


def _table(text: bytes) -> Container | None:
    """CSV or TSV whose name does not say so: a first line of several distinct plain words."""
    first, newline, _ = text.partition(b"\n")
    if not newline or b"\0" in first:
        return None
    try:
        line = first.decode().strip()
    except UnicodeDecodeError:
        return None
    for delimiter, container in (("\t", Container.TSV), (",", Container.CSV)):
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:  # a carriage return inside a name
            continue
        plain = all(name.replace("_", "").replace(" ", "").isalnum() for name in names)
        if len(names) > 1 and plain and len(set(names)) == len(names):
            return container
    return None
