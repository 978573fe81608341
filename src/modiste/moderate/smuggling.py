"""Text that people do not see and models read: tag characters, signs without width, turned writing.

What has its use stays unnamed: a joiner between the parts of an emoji or within scripts that need
it, a variation selector behind a sign, a byte order mark at the start, the flags of regions, marks
of direction in text that has both directions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from modiste.moderate.plain import FIRST_TAG, LAST_TAG, is_hidden

FLAG = "\U0001f3f4"
JOINERS = "\u200c\u200d"
TURNERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
MARKS = frozenset("\u200e\u200f\u061c")
SOFT_HYPHEN = "\xad"
MANY = 3
"""Soft hyphens and direction marks are ordinary one by one; so many in a row are not."""


class Hidden(NamedTuple):
    what: str
    span: tuple[int, int]


def hidden(text: str) -> Iterator[Hidden]:
    if text.isascii():
        return
    at = 0
    for is_one, group in groupby(text, key=is_hidden):
        run = "".join(group)
        if is_one and (what := _what(text, at, run)):
            yield Hidden(what, (at, at + len(run)))
        at += len(run)
    yield from _mixed_words(text)


def _what(text: str, at: int, run: str) -> str | None:
    before, after = text[at - 1 : at], text[at + len(run) : at + len(run) + 1]
    if any(FIRST_TAG <= ord(each) <= LAST_TAG for each in run):
        return (
            None
            if before == FLAG and ord(run[-1]) == LAST_TAG and len(run) <= 7
            else "tag characters"
        )
    if any(each in TURNERS for each in run):
        return None if _has_right_to_left(text) else "writing that is turned around"
    if sum(0xE0100 <= ord(each) <= 0xE01EF or 0xFE00 <= ord(each) <= 0xFE0F for each in run) > 1:
        return "variation selectors that carry text"
    if len(run) == 1 and (0xFE00 <= ord(run) <= 0xFE0F or 0xE0100 <= ord(run) <= 0xE01EF):
        return None
    if at == 0 and run == "\ufeff":
        return None
    if set(run) <= {SOFT_HYPHEN, *MARKS}:
        return None if len(run) < MANY else "signs without width"
    if all(each in JOINERS or 0xFE00 <= ord(each) <= 0xFE0F for each in run) and _needs_joiner(
        before, after
    ):
        return None
    return "signs without width"


def _needs_joiner(before: str, after: str) -> bool:
    """Between signs, or letters of scripts that join; never between plain Latin letters."""
    return all(
        bool(each) and (unicodedata.category(each)[0] in "SM" or _joins(each))
        for each in (before, after)
    )


def _joins(letter: str) -> bool:
    """Arabic to the scripts of India and their neighbours."""
    return 0x0600 <= ord(letter) <= 0x1CFF or 0x1F000 <= ord(letter) <= 0x1FAFF


def _has_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(each) in ("R", "AL") for each in text)


def _mixed_words(text: str) -> Iterator[Hidden]:
    """Words of Latin letters with a few of another script that look like them."""
    at = 0
    for is_word, group in groupby(text, key=lambda each: each.isalpha()):
        word = "".join(group)
        if is_word and not word.isascii():
            scripts = {_script(each) for each in word}
            if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK"}:
                yield Hidden("letters of another script within a word", (at, at + len(word)))
        at += len(word)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]
