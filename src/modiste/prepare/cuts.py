"""Where a text may be cut so that its parts encode to what the whole encodes to.

`Cuts.between` holds for two neighbouring bytes: between them no token and no pretoken ever reaches,
whatever stands before and behind. It is proved for a vocabulary when it is loaded, and where there
is no proof there is no cut (`None`).

- **SentencePiece BPE** joins neighbours only into pieces of its vocabulary. Where no piece holds
  the two bytes side by side nothing can join across, so both sides encode as they would alone.
- **Tekken** cuts texts by a regular expression first. The cuts here are read off that expression
  (`_tekken_table` gives a reason for each), so they hold for it alone: another one, no cuts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CONTINUATION = slice(0x80, 0xC0)
"""Bytes in the middle of a UTF-8 letter."""

_SPACE = "\u2581".encode()
_SPACE_LETTER = re.compile("\u2581")
"""SentencePiece writes spaces as this letter, so where it stands itself it acts as a space."""
_WIDE_SPACES = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
"""White space beyond ASCII; the table below knows white space by its first byte."""


class Cuts(NamedTuple):
    opening: bytes
    """What the tokenizer itself puts before every text."""
    between: NDArray[np.bool_]
    """256 x 256: whether a text may be cut between these two bytes."""
    separator: int
    """A byte with cuts (almost) all around it, to encode many parts in one go."""
    uncut: re.Pattern[str]
    """Texts with such a letter are never cut."""


def sentencepiece_cuts(model: bytes) -> Cuts | None:
    """For a serialised SentencePiece model; None unless it is BPE over bare text."""
    pieces: list[bytes] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for field, value in _fields(model):
        if field == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            text = piece.get(1, b"")
            if piece.get(3, _NORMAL) in _TEXTUAL and isinstance(text, bytes):
                pieces.append(text.replace(_SPACE, b" "))
        elif field == 2 and isinstance(value, bytes):
            trainer = dict(_fields(value))
        elif field == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value))
    if not (_is_plain_bpe(trainer) and _keeps_text(normalizer)):
        return None
    return _chosen(b" ", _apart(pieces), _SPACE_LETTER)


def tekken_cuts(pattern: str) -> Cuts | None:
    """For a byte-level BPE that first cuts texts by `pattern`; None unless it is Tekken's."""
    return _chosen(b"", _tekken_table(), _WIDE_SPACES) if pattern == TEKKEN_PATTERN else None


def _chosen(opening: bytes, between: NDArray[np.bool_], uncut: re.Pattern[str]) -> Cuts | None:
    """With the ASCII byte that has most cuts around it as separator; it must stand alone."""
    candidates = [ord("\n"), *range(0x80)]  # the first of the best is taken: a line end if it can
    separator = max(candidates, key=lambda at: int(between[at, :].sum() + between[:, at].sum()))
    if not between[separator, separator] or (opening and not between[opening[-1], separator]):
        return None
    return Cuts(opening, between, separator, uncut)


def _apart(pieces: list[bytes]) -> NDArray[np.bool_]:
    """Bytes that are side by side in no piece, and are not inside one letter."""
    between = np.ones((256, 256), dtype=np.bool_)
    nowhere = 0xFF  # in no UTF-8 text
    letters = np.frombuffer(bytes([nowhere]).join(pieces), dtype=np.uint8)
    between[letters[:-1], letters[1:]] = False
    between[nowhere, :] = between[:, nowhere] = True
    between[:, CONTINUATION] = False
    return between


def _tekken_table() -> NDArray[np.bool_]:
    """Cuts of `TEKKEN_PATTERN`, in texts without white space beyond ASCII.

    The expression never looks back, and ahead only behind white space. So a match that must start
    between two bytes starts there too when all before is gone, and what ends before them ends there
    too when all behind is gone, if the first of them is no white space but a line end.
    """
    codes = np.arange(256)
    is_digit = (codes >= ord("0")) & (codes <= ord("9"))
    is_letter = np.array([chr(code).isalpha() and code < 0x80 for code in codes])
    is_ascii = codes < 0x80
    is_line_end = (codes == ord("\n")) | (codes == ord("\r"))
    is_solid = codes > ord(" ")  # control characters are left out, white space or not
    between = np.zeros((256, 256), dtype=np.bool_)
    # No alternative goes on with a space after anything solid,
    between |= is_solid[:, None] & (codes == ord(" "))[None, :]
    # or with a digit; and a digit is a match of its own.
    between |= is_solid[:, None] & is_digit[None, :]
    between |= is_digit[:, None]
    # After an ASCII letter only letters and marks go on, and no ASCII byte is a mark.
    between |= is_letter[:, None] & (is_ascii & ~is_letter)[None, :]
    # After a line end only white space goes on, and "/" behind punctuation.
    between |= is_line_end[:, None] & (is_solid & (codes != ord("/")))[None, :]
    between[:, CONTINUATION] = False
    return between


_BPE = 2
_NORMAL, _USER_DEFINED, _UNUSED = 1, 4, 5
_TEXTUAL = (_NORMAL, _USER_DEFINED, _UNUSED)
"""Kinds of pieces that text can turn into; control pieces, bytes and `<unk>` are not."""


def _is_plain_bpe(trainer: dict[int, int | bytes]) -> bool:
    """model_type 3 is BPE, byte_fallback 35 is on, treat_whitespace_as_suffix 24 is off."""
    return trainer.get(3) == _BPE and trainer.get(35) == 1 and not trainer.get(24)


def _keeps_text(normalizer: dict[int, int | bytes]) -> bool:
    """No map of letters (2), a space in front (3), all spaces kept (4) and written `▁` (5)."""
    charsmap, dummy_prefix, remove, escape = (
        normalizer.get(key, default) for key, default in ((2, b""), (3, 1), (4, 1), (5, 1))
    )
    return not charsmap and dummy_prefix == 1 and remove == 0 and escape == 1


_FIXED = {1: 8, 5: 4}
"""Bytes of a field by its wire type; 0 is a number, 2 tells its length."""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message, by number."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _varint(message, at) if kind == 2 else (_FIXED[kind], at)
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = message[at]
    if value < 0x80:
        return value, at + 1
    value, shift = value & 0x7F, 7
    while True:
        at += 1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at + 1
