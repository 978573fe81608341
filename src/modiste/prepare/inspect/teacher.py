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
    OPENING_SIGNS,
    OPENING_WORDS,
    REFUSAL,
)

__all__ = ["OPENING", "OPENING_SIGNS", "SIGNS", "inspect"]

OPENING = 160
"""Characters of an answer in which a refusal is looked for."""


def inspect(passages: Sequence[Passage]) -> Iterator[Remark]:
    for path, text, _, _ in answers(passages):
        lower = text.lower()
        opening = lower[:OPENING]
        refuses = _opens_like_one(opening)
        if found := _identity(lower, opening, refuses):
            said = f"{path} says what its author is: “{brief(found)}”"
            hint = "a model trained on it says so too; rewrite or leave out the row"
            yield Remark(path, "teacher_identity", said, brief(found), hint)
        if found := _cutoff(lower):
            said = f"{path} speaks of its author's training: “{brief(found)}”"
            hint = "rewrite or leave out the row"
            yield Remark(path, "teacher_cutoff", said, brief(found), hint)
        if refuses and (refusal := REFUSAL.search(opening)):
            said = f"{path} opens with a refusal: “{brief(refusal[0])}”"
            hint = "keep it only if the model is meant to refuse this"
            yield Remark(path, "teacher_refusal", said, brief(refusal[0]), hint)


# The looks below are chains of `in` because most answers end there, and nothing is faster.


def _opens_like_one(opening: str) -> bool:
    """Whether an opening holds a word of a refusal or an introduction."""
    if opening.isascii():
        return (
            "sorry" in opening or "able to" in opening or "cannot" in opening
            or "n't" in opening or "will not" in opening or "decline" in opening
            or "refuse" in opening or "i'm" in opening or "i am" in opening or "gpt" in opening
            or "my name" in opening or "no puedo" in opening or "non posso" in opening
            or "desculpe" in opening or "het spijt" in opening or "mir leid" in opening
            or "linguistico" in opening or "linguagem" in opening or "lenguaje" in opening
            or "taalmodel" in opening or "sprachmodel" in opening or "als ki" in opening
        )  # fmt: skip
    words = opening.replace(",", " ").replace("’", "'").split()
    return not OPENING_WORDS.isdisjoint(words) or _spaceless(opening)


_SIGNS = (
    "language model", "an ai", "openai", "gpt", "anthropic", "claude", "an artificial",
    "t have personal", "not have personal",
)  # fmt: skip
SIGNS = (*_SIGNS, *CUTOFF_SIGNS)
"""What an answer must hold, in small letters, to be remarked on beyond its opening."""
_AROUND = 100
_SIGNS_LOOKED_AT = 8


def _identity(lower: str, opening: str, opens_like_one: bool) -> str | None:
    """English is searched wherever a sign stands, everything else in the opening."""
    for sign in _SIGNS:
        at, n = lower.find(sign), 0
        while at >= 0 and n < _SIGNS_LOOKED_AT:
            if found := ENGLISH_IDENTITY.search(lower, max(0, at - _AROUND), at + _AROUND):
                return found[0]
            at, n = lower.find(sign, at + 1), n + 1
    if opens_like_one and (found := IDENTITY.search(opening)):
        return found[0]
    return None


def _cutoff(lower: str) -> str | None:
    found = None
    if (
        "cutoff" in lower or "cut-off" in lower or "of my " in lower
        or "my last" in lower or "my training" in lower or "my knowledge" in lower
    ):  # fmt: skip
        found = CUTOFF.search(lower)
    return found[0] if found else None


def _spaceless(text: str) -> bool:
    """Whether most of a text lies beyond the alphabets: Chinese, Japanese, Hindi, Arabic …"""
    return len(text.encode("utf-8", "replace")) > 2.2 * len(text) or "\u0600" <= text[0] <= "\u06ff"
