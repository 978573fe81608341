"""Text as rules compare it: what hides words is taken away, and every letter knows where it stood.

Signs without width and tag characters go, letters that look alike and digits that stand for letters
become the plain ones, in small letters. A text that people read in one way reads in one way here.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

ALIKE = {
    "а": "a", "в": "b", "е": "e", "і": "i", "ј": "j", "к": "k", "м": "m", "н": "h", "о": "o",
    "р": "p", "с": "c", "т": "t", "у": "y", "х": "x", "ѕ": "s", "һ": "h", "ԁ": "d", "ԛ": "q",
    "ԝ": "w", "α": "a", "β": "b", "ε": "e", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p",
    "τ": "t", "υ": "u", "χ": "x", "ɑ": "a", "ɡ": "g", "ı": "i",
}  # fmt: skip
"""Small letters of other scripts that are drawn like Latin ones."""
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


def plain(text: str) -> Plain:
    letters: list[str] = []
    at: list[int] = []
    for place, character in enumerate(text):
        if is_hidden(character):
            continue
        for each in unicodedata.normalize("NFKD", character.casefold()):
            if not unicodedata.combining(each):
                letters.append(ALIKE.get(each, each))
                at.append(place)
    return Plain("".join(letters), (*at, len(text)))


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
