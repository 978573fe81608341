"""Words of a text that are another text in base64, hex, percent signs or entities.

What is returned was written in full somewhere in the text, so whoever reads the text can read it.
A word that decodes to something else than text is none.
"""

from __future__ import annotations

import base64
import binascii
import html
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

import regex


class Encoded(NamedTuple):
    how: str
    text: str
    """What it says."""
    span: tuple[int, int]


def encoded(text: str) -> Iterator[Encoded]:
    for how, pattern, decoded in _WAYS:
        for match in pattern.finditer(text):
            said = decoded(match[0])
            if said and all(each.isprintable() or each.isspace() for each in said):
                yield Encoded(how, said, match.span())


def _of_base64(word: str) -> str:
    """Empty where it is no base64 of a text; either alphabet, with or without its padding."""
    plain = word.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""


def _of_hex(word: str) -> str:
    """Empty where it is no hex of a text."""
    try:
        return bytes.fromhex(regex.sub(r"0x|\\x|[:,\s]", " ", word)).decode("utf-8")
    except ValueError:
        return ""


_WAYS: tuple[tuple[str, regex.Pattern[str], Callable[[str], str]], ...] = (
    ("base64", regex.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{8,}={0,2}"), _of_base64),
    (
        "hex",
        regex.compile(
            r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ :,]{0,2}){4,}(?![0-9A-Za-z])"
        ),
        _of_hex,
    ),
    ("percent signs", regex.compile(r"\S*%[0-9a-fA-F]{2}\S*"), unquote),
    ("entities", regex.compile(r"\S*&#?[0-9A-Za-z]{2,8};(?:\S*)"), html.unescape),
)
