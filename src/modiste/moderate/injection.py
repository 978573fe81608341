"""Attempts to take a model over, told by their words: what they order, pretend or imitate.

Rules find the plain forms, in English, French, German, Spanish and Italian, also behind look-alike
letters, signs without width and base64. They are one detector among others: somebody who rewords
an attack gets past them, and a text about attacks may quote one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import NamedTuple

import regex
import yaml

from modiste.moderate.plain import Plain, plain, tagged

MIN_BASE64 = 24
TIMEOUT_S = 1.0
"""Of one pattern on one text; TimeoutError then."""


class Attempt(NamedTuple):
    what: str
    span: tuple[int, int]


_BASE64 = regex.compile(rf"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{{{MIN_BASE64},}}={{0,2}}")


@cache
def _patterns() -> dict[str, tuple[regex.Pattern[str], ...]]:
    file = resources.files("modiste.moderate") / "patterns" / "injection.yaml"
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {what: tuple(map(regex.compile, patterns)) for what, patterns in said.items()}


def attempts(text: str) -> Iterator[Attempt]:
    """In the text, in what its tag characters say, and in base64 within it."""
    yield from _said(plain(text))
    if hidden := tagged(text):
        for each in _said(plain(hidden)):
            yield Attempt(f"{each.what}, in characters nobody sees", (0, len(text)))
    for match in _BASE64.finditer(text):
        decoded = _decoded(match[0])
        for each in _said(plain(decoded)):
            yield Attempt(f"{each.what}, in base64", match.span())


def _said(read: Plain) -> Iterator[Attempt]:
    for what, patterns in _patterns().items():
        for pattern in patterns:
            for match in pattern.finditer(read.text, timeout=TIMEOUT_S):
                yield Attempt(what, read.span(match.start(), match.end()))


def _decoded(word: str) -> str:
    """Empty where it is no base64 of a text."""
    try:
        return base64.b64decode(word + "=" * (-len(word) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
