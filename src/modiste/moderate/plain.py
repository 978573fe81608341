"""Text as rules compare it: what hides words is taken away, and every letter knows where it stood.

Signs without width and tag characters go, letters that look alike and digits that stand for letters
become the plain ones, in small letters, JSON escapes the letters they stand for. A text that people
read in one way reads in one way here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

ALIKE = {
    "а": "a", "в": "b", "е": "e", "і": "i", "ј": "j", "к": "k", "м": "m", "н": "h", "о": "o",
    "р": "p", "с": "c", "т": "t", "у": "y", "х": "x", "ѕ": "s", "һ": "h", "ԁ": "d", "ԛ": "q",
    "ԝ": "w", "α": "a", "β": "b", "ε": "e", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p",
    "τ": "t", "υ": "u", "χ": "x", "ɑ": "a", "ɡ": "g", "ı": "i", "օ": "o", "ս": "u", "հ": "h",
    "ո": "n", "ց": "g", "ł": "l", "ø": "o", "đ": "d", "ƅ": "b", "ʟ": "l", "ɢ": "g", "ʙ": "b",
    "ᴀ": "a", "ᴄ": "c", "ᴅ": "d", "ᴇ": "e", "ɪ": "i", "ᴊ": "j", "ᴋ": "k", "ᴍ": "m", "ɴ": "n",
    "ᴏ": "o", "ᴘ": "p", "ʀ": "r", "ꜱ": "s", "ᴛ": "t", "ᴜ": "u", "ᴠ": "v", "ᴡ": "w", "ʏ": "y",
    "ᴢ": "z", "ʜ": "h",
}  # fmt: skip
"""Small letters of other scripts, and small capitals, that are drawn like Latin ones."""
LETTERED = (0x1F150, 0x1F170, 0x1F1E6)
"""Where signs drawn as the capitals A to Z begin: in dark circles and squares, of flags."""
LEET = str.maketrans("013457@$!", "oieastasi")
"""Digits and signs that stand for letters within a word."""
FIRST_TAG, LAST_TAG = 0xE0000, 0xE007F


class Plain(NamedTuple):
    text: str
    at: tuple[int, ...]
    """Where each character stood, and the length of the whole behind the last."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """What stood between two places of `text`, in the text it was made of."""
        return self.at[start], self.at[end - 1] + 1


ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
SPELT = re.compile(r"(?<!\w)\w(?:([ ._*\-])\w(?:\1\w)+)(?!\w)")
"""A word letter by letter, with the same sign between all of them."""


def plain(text: str) -> Plain:
    if text.isascii() and "\\u" not in text:  # Nothing below would change but the case.
        return Plain(text.lower(), tuple(range(len(text) + 1)))
    letters: list[str] = []
    at: list[int] = []
    for place, character in _characters(text):
        if is_hidden(character):
            continue
        for each in unicodedata.normalize("NFKD", _drawn(character).casefold()):
            if not unicodedata.combining(each):
                letters.append(ALIKE.get(each, each))
                at.append(place)
    return Plain("".join(letters), (*at, len(text)))


def spelt(read: Plain) -> Plain:
    """The same with `G l o b e x` and `G-l-o-b-e-x` put together."""
    letters, at, done = [], [], 0
    for found in SPELT.finditer(read.text):
        keep = [*range(done, found.start()), *range(found.start(), found.end(), 2)]
        letters += [read.text[place] for place in keep]
        at += [read.at[place] for place in keep]
        done = found.end()
    letters.append(read.text[done:])
    return Plain("".join(letters), (*at, *read.at[done:]))


def _characters(text: str) -> Iterator[tuple[int, str]]:
    """With escapes as the letters they stand for, where they stand."""
    if "\\u" not in text:
        yield from enumerate(text)
        return
    done = 0
    for found in ESCAPED.finditer(text):
        yield from enumerate(text[done : found.start()], start=done)
        yield found.start(), chr(int(found[1], 16))
        done = found.end()
    yield from enumerate(text[done:], start=done)


def _drawn(character: str) -> str:
    """The letter that a lettered sign shows."""
    code = ord(character)
    begun = next((first for first in LETTERED if first <= code < first + 26), None)
    return character if begun is None else chr(ord("a") + code - begun)


def is_hidden(character: str) -> bool:
    """Whether nothing of it is seen: format signs, tags, variation selectors."""
    code = ord(character)
    if code < 0xAD:
        return False
    return (
        unicodedata.category(character) == "Cf"
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
        or code in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0)
    )


def tagged(text: str) -> str:
    """What the tag characters of a text say, which models read and people do not see."""
    return "".join(
        chr(ord(each) - FIRST_TAG) for each in text if FIRST_TAG + 0x20 <= ord(each) < LAST_TAG
    )
