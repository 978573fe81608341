"""Traces of the model that wrote the data: who it said it was, what it refused, when it ended.

A model that learns them says it is somebody else's, refuses what its teacher refused, and dates
itself. Looked for in the answers that are trained, in the languages people distil in. Refusals
count where an answer opens with one: a set made to teach refusing shows many, and means them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modiste.prepare.inspect.remark import Passage, Remark, answers, brief
from modiste.prepare.inspect.teacher_phrases import (
    CUTOFF,
    CUTOFF_SIGNS,
    ENGLISH_IDENTITY,
    IDENTITY,
    IDENTITY_SIGNS,
    OPENING_WORDS,
    REFUSAL,
)

OPENING = 240
"""Characters of an answer in which a refusal is looked for."""


def inspect(passages: Sequence[Passage]) -> Iterator[Remark]:
    for path, text, _, _ in answers(passages):
        lower = text.lower()
        opening = lower[:OPENING]
        plain = opening.isascii()
        words = opening.replace(",", " ").replace("’", "'").split()
        open_words = not OPENING_WORDS.isdisjoint(words) or (not plain and _spaceless(opening))
        if found := _identity(lower, opening, open_words=open_words):
            said = f"{path} says what its author is: “{brief(found)}”"
            hint = "a model trained on it says so too; rewrite or leave out the row"
            yield Remark(path, "teacher_identity", said, brief(found), hint)
        if any([sign in lower for sign in CUTOFF_SIGNS]) and (cutoff := CUTOFF.search(lower)):
            said = f"{path} speaks of its author's training: “{brief(cutoff[0])}”"
            hint = "rewrite or leave out the row"
            yield Remark(path, "teacher_cutoff", said, brief(cutoff[0]), hint)
        if open_words and (refusal := REFUSAL.search(opening)):
            said = f"{path} opens with a refusal: “{brief(refusal[0])}”"
            hint = "keep it only if the model is meant to refuse this"
            yield Remark(path, "teacher_refusal", said, brief(refusal[0]), hint)


def _identity(lower: str, opening: str, *, open_words: bool) -> str | None:
    """English is searched whole where a sign stands in it, everything else in its opening."""
    found = None
    if any([sign in lower for sign in IDENTITY_SIGNS]):
        found = ENGLISH_IDENTITY.search(lower)
    if not found and open_words:
        found = IDENTITY.search(opening)
    return found[0] if found else None


def _spaceless(text: str) -> bool:
    """Whether most of a text lies beyond the alphabets: Chinese, Japanese, Hindi, Arabic …"""
    return len(text.encode("utf-8", "replace")) > 2.2 * len(text) or "\u0600" <= text[0] <= "\u06ff"
