"""Token ids back to text, all at once or as they arrive, with one and the same code.

Every vocabulary that Modiste reads spells its tokens in bytes, so decoding is joining bytes and
reading them as UTF-8. A character that is not complete yet is held back until its last byte comes;
bytes that can never become a character turn into U+FFFD. Control tokens are zero bytes long, and
so is an id beyond the vocabulary (models pad their embedding): neither can show up in text.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class StreamDecoder:
    """Decodes one growing sequence. `decode(ids)` equals the joined answers of this."""

    def __init__(self, spelling: Sequence[bytes], *, strip_first_space: bool) -> None:
        """
        Args:
            spelling: the bytes of each id, empty for control tokens.
            strip_first_space: for vocabularies that write a word-initial space in front of every
                text (SentencePiece's dummy prefix); that space is not part of the text.
        """
        self._spelling = spelling
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._strip = strip_first_space

    def push(self, ids: Sequence[int]) -> str:
        """The text that is certain after these further ids; may be empty."""
        return self._utf8.decode(self._bytes(ids))

    def flush(self) -> str:
        """What was held back, as U+FFFD: the sequence has ended within a character."""
        return self._utf8.decode(b"", final=True)

    def _bytes(self, ids: Sequence[int]) -> bytes:
        size = len(self._spelling)
        spelt = b"".join(self._spelling[i] for i in ids if 0 <= i < size)
        if self._strip and spelt:
            self._strip = False
            return spelt.removeprefix(b" ")
        return spelt


def decode(spelling: Sequence[bytes], ids: Sequence[int], *, strip_first_space: bool) -> str:
    stream = StreamDecoder(spelling, strip_first_space=strip_first_space)
    return stream.push(ids) + stream.flush()


def byte_level_alphabet() -> dict[str, int]:
    """GPT-2's spelling of bytes as printable characters: printable Latin-1 stands for itself."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    alphabet = {chr(byte): byte for byte in plain}
    return alphabet | {chr(256 + at): byte for at, byte in enumerate(others)}


def sentencepiece_bytes(piece: str) -> bytes:
    """`▁` is a space; `<0xE2>` is that byte."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()
