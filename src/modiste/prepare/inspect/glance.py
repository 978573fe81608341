"""One look at a whole row that says which inspectors can find something there; mostly none can.

An inspector searches with patterns, text by text. What its patterns cannot do without (a sign, a
word, nine digits) is looked for here in one pass over the bytes of all texts, whatever the number
of signs. Naming an inspector for nothing costs time; not naming one would cost a remark, so every
condition here is one that each of its finds fulfils.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ahocorasick_rs import BytesAhoCorasick, Implementation

from modiste.prepare.inspect import credentials, private, special, teacher, truncation
from modiste.prepare.inspect.remark import Passage

_FOLD = bytes(b + 32 if 65 <= b <= 90 else ord("0") if 48 <= b <= 57 else b for b in range(256))
"""Small letters, and every digit as 0."""
FEWEST_DIGITS = 7
"""An Italian fiscal code has the fewest of all that `private` finds without an `@`."""
_ODD = ("\u0130", "\u0131", "\u017f", "\u212a")
"""Letters that are equal to i, s or k where case is ignored, in bytes they are not."""
_NONE: frozenset[str] = frozenset()


def _signs() -> dict[str, frozenset[str]]:
    by_name = {
        "credentials": (*credentials.SIGNS, *_ODD),
        "teacher": (*teacher.SIGNS, *_ODD),
        "truncation": truncation.FENCES,
    }
    all_signs = dict.fromkeys(sign for signs in by_name.values() for sign in signs)
    return {
        sign: frozenset(name for name, signs in by_name.items() if sign in signs)
        for sign in all_signs
    }


def _automaton(signs: Iterable[str]) -> BytesAhoCorasick:
    return BytesAhoCorasick([sign.encode() for sign in signs], implementation=Implementation.DFA)


_OF_SIGN = _signs()
_NAMES = list(_OF_SIGN.values())
_anywhere = _automaton(_OF_SIGN).find_matches_as_indexes
_in_opening = _automaton(teacher.OPENING_SIGNS).find_matches_as_indexes


class Glance:
    """Names of row inspectors, those of `ROW_INSPECTORS`, that a row is worth showing to."""

    def __init__(self, special_tokens: Iterable[str] = ()) -> None:
        self._heads = tuple(special.heads(special_tokens) - {"<", "["})

    def __call__(self, passages: Sequence[Passage], answers: Sequence[Passage]) -> frozenset[str]:
        """
        Args:
            answers: those of the passages that a model would be trained to say.
        """
        row = "\n".join([passage[1] for passage in passages])
        raw = row.encode("utf-8", "replace")
        folded = raw.translate(_FOLD)
        named = _NONE
        # Signs may lie in each other, such as `api_key` in `my_api_key`.
        if found := _anywhere(folded, overlapping=True):
            named = named.union(*[_NAMES[sign] for sign, _, _ in found])
        has_at = "@" in row
        if has_at or (folded.count(b"0") >= FEWEST_DIGITS and private.has_number(raw)):
            named |= {"private"}
        if has_at and "://" in row:
            named |= {"credentials"}
        if "<" in row or "[" in row or (self._heads and any(h in row for h in self._heads)):
            named |= {"special_tokens"}
        if answers:
            opening = "\n".join([passage[1][: teacher.OPENING] for passage in answers])
            if _in_opening(opening.lower().encode("utf-8", "replace")):
                named |= {"teacher"}
            if truncation.may_be_open(answers):
                named |= {"truncation"}
        return named
