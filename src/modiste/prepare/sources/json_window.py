"""A window on the bytes of a JSON document: where each value begins and ends, and on which line.

Brackets are counted, nothing is parsed, and no more is held than the value at hand.
"""

from __future__ import annotations

import re
from typing import BinaryIO

CHUNK_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_SCALAR = re.compile(rb'[^,\]}\s"\[{]*+')


class Broken(Exception):
    """An end of reading, told as a problem by the one caller."""

    def __init__(self, line: int, code: str, message: str, hint: str | None = None) -> None:
        self.line, self.code, self.message, self.hint = line, code, message, hint


class Window:
    """A window on bytes that counts lines and knows where a JSON value ends."""

    def __init__(self, stream: BinaryIO) -> None:
        # As far as bytes can be had: what breaks later does not take along what came before.
        self._read = getattr(stream, "read1", stream.read)
        self.line = 1
        self._window = self._read(CHUNK_BYTES).removeprefix(_BOM)
        self._at = 0
        self._ended = not self._window

    def peek(self) -> bytes:
        """The next byte that is not space; nothing at the end."""
        while True:
            found = _SPACE.match(self._window, self._at)
            self._move(found.end() if found else self._at)
            if self._at < len(self._window):
                return self._window[self._at : self._at + 1]
            if not self._more():
                return b""

    def take(self) -> None:
        """Past the byte that `peek` showed."""
        self._move(self._at + 1)

    def value(self, limit: int) -> bytes:
        """The value that begins here.

        Raises:
            Broken: it does not end, or is longer than `limit` bytes.
        """
        begins = self.line
        opening = self.peek()
        nested = opening in (b"{", b"[", b'"')
        end = self._closing(limit) if nested else self._scalar_end(limit)
        if end is None:
            what = "what begins here is not closed before the file ends"
            raise Broken(begins, "json_truncated", what, "the file seems to be cut off")
        raw = self._window[self._at : end]
        self._move(end)
        return raw

    def opens_rows(self) -> bool:
        """Whether a list of objects begins here."""
        if self.peek() != b"[":
            return False
        if len(self._window) - self._at < CHUNK_BYTES:
            self._more()
        return self._window[self._at + 1 : self._at + CHUNK_BYTES].lstrip().startswith(b"{")

    def _closing(self, limit: int) -> int | None:
        depth, at = 0, self._at
        while True:
            for mark in _MARK.finditer(self._window, at):
                found = mark[0]
                if found == b'"':  # a string that goes on beyond the window
                    at = mark.start()
                    break
                depth += (found in b"{[") - (found in b"}]") if len(found) == 1 else 0
                at = mark.end()
                if depth <= 0:
                    return at
            else:
                at = len(self._window)
            self._check(limit)
            consumed = self._at
            if not self._more():
                return None
            at -= consumed

    def _scalar_end(self, limit: int) -> int | None:
        while True:
            found = _SCALAR.match(self._window, self._at)
            end = found.end() if found else self._at
            if end < len(self._window):
                return max(end, self._at + 1)
            self._check(limit)
            if not self._more():
                return end

    def _check(self, limit: int) -> None:
        if len(self._window) - self._at > limit:
            text = f"the row is longer than {limit:,} bytes; what follows it is not read"
            raise Broken(self.line, "line_too_long", text, "cut the row into several")

    def _move(self, to: int) -> None:
        self.line += self._window.count(b"\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Widen the window by at least what it holds, so that long values are read in linear
        time; what was passed is let go."""
        kept = self._window[self._at :]
        fresh = b"" if self._ended else self._read(max(CHUNK_BYTES, len(kept)))
        self._ended = not fresh
        self._window, self._at = kept + fresh, 0
        return bool(fresh)
