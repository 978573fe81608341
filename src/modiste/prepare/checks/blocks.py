"""A file of lines cut into blocks of whole lines, which can be read one by one or side by side.

Reading the blocks gives the very lines that reading the file gives, with their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

from modiste.prepare.sources.items import BREAKS
from modiste.prepare.sources.jsonl import MAX_LINE_BYTES, RawLine, read_rows

BLOCK_BYTES = 1 << 20


class Block(NamedTuple):
    first_line: int
    data: bytes
    """Whole lines, but for the beginning of one that is too long to be a row."""


def blocks(stream: BinaryIO, *, size: int | None = None) -> Iterator[Block]:
    """The stream from where it stands; never more than a block and a line in memory.

    Raises:
        OSError, EOFError, zlib.error: as the stream, after the whole lines before that.
    """
    size = BLOCK_BYTES if size is None else size
    line, rest = 1, b""
    for chunk in _chunks(stream, size):
        data = rest + chunk
        cut = data.rfind(b"\n") + 1
        if cut == 0 and len(data) > MAX_LINE_BYTES:
            yield Block(line, data[: MAX_LINE_BYTES + 1])
            line, rest = line + 1, _after_line(stream, size)
        elif cut == 0:
            rest = data
        else:
            yield Block(line, data[:cut])
            line, rest = line + data.count(b"\n", 0, cut), data[cut:]
    if rest:
        yield Block(line, rest)


def lines(block: Block, *, file: str) -> Iterator[RawLine]:
    return read_rows(BytesIO(block.data), file=file, first_line=block.first_line)


def _chunks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """About `size` bytes each. Of a stream that breaks, what came before it did."""
    parts: list[bytes] = []
    n_bytes = 0
    try:
        while part := stream.read1(size):  # type: ignore[attr-defined]
            parts.append(part)
            n_bytes += len(part)
            if n_bytes >= size:
                yield b"".join(parts)
                parts, n_bytes = [], 0
    except BREAKS:
        yield b"".join(parts)
        raise
    yield b"".join(parts)


def _after_line(stream: BinaryIO, size: int) -> bytes:
    """Pass over the rest of a line; what was read beyond it."""
    while chunk := stream.read(size):
        if cut := chunk.find(b"\n") + 1:
            return chunk[cut:]
    return b""
