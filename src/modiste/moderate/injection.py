"""Attempts to take a model over, told by their words: what they order, pretend or imitate.

Rules find the plain forms, in English, French, German, Spanish and Italian, also behind look-alike
letters, signs without width and letters set apart, in base64, hex, ROT13 and backwards. They are
one detector among others: somebody who rewords an attack gets past them, and a text about attacks
may quote one.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import NamedTuple

import regex
import yaml

from modiste.moderate.encoded import encoded
from modiste.moderate.plain import Plain, plain, spelt, tagged

TIMEOUT_S = 1.0
"""Of one pattern on one text; TimeoutError then."""


class Attempt(NamedTuple):
    what: str
    span: tuple[int, int]


@cache
def _patterns() -> dict[str, tuple[regex.Pattern[str], ...]]:
    file = resources.files("modiste.moderate") / "patterns" / "injection.yaml"
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {what: tuple(map(regex.compile, patterns)) for what, patterns in said.items()}


def attempts(text: str) -> Iterator[Attempt]:
    """In the text, in what its tag characters say, and in what is encoded within it."""
    read = plain(text)
    yield from _said(read)
    if (together := spelt(read)).text != read.text:
        yield from _said(together)
    for how, turned in (("ROT13", codecs.encode(text, "rot13")), ("backwards", text[::-1])):
        for each in _said(plain(turned)):
            yield Attempt(f"{each.what}, {how}", (0, len(text)))
    if hidden := tagged(text):
        for each in _said(plain(hidden)):
            yield Attempt(f"{each.what}, in characters nobody sees", (0, len(text)))
    for piece in encoded(text):
        for each in _said(plain(piece.text)):
            yield Attempt(f"{each.what}, in {piece.how}", piece.span)


def _said(read: Plain) -> Iterator[Attempt]:
    for what, patterns in _patterns().items():
        for pattern in patterns:
            for match in pattern.finditer(read.text, timeout=TIMEOUT_S):
                yield Attempt(what, read.span(match.start(), match.end()))
