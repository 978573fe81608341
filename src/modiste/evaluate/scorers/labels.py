"""Which of a few labels an answer in free text means, or that none can be read from it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

AROUND = " \t\r\n\"'`*_“”„‘’«»()[]{}<>.,;:!?"
NEGATED = re.compile(r"(?:\b(?:not|non|no|never|nicht|kein|keine|pas)\b|\w*n't)[\s-]+(?:an?\s+)?\Z")


def folded(text: str) -> str:
    """NFKC, no case, no quotes and punctuation around it."""
    return unicodedata.normalize("NFKC", text).casefold().strip(AROUND)


class Labels:
    """Reads answers.

    In this order: the whole answer is a label; the answer begins with one; it names exactly one,
    as whole words. The longest label wins where several begin at one place, and what it covers
    counts for no other: `news_related` is not read from `not_news_related`. A label that is only
    denied (`not spam`) is not named. Everything else cannot be read.

    Raises:
        ValueError: no label, an empty one, or two that differ only in case or punctuation.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._by_text: dict[str, str] = {}
        for name in self.names:
            text = folded(name)
            if not text:
                raise ValueError(f"label {name!r} is empty once quotes and punctuation are gone")
            if text in self._by_text:
                raise ValueError(f"labels {self._by_text[text]!r} and {name!r} read the same")
            self._by_text[text] = name
        if not self._by_text:
            raise ValueError("there is no label")
        longest_first = sorted(self._by_text, key=len, reverse=True)
        self._any = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")

    def read(self, text: str) -> str | None:
        said = folded(text)
        if said in self._by_text:
            return self._by_text[said]
        if begins := self._any.match(said):
            return self._by_text[begins[0]]
        named = self.named(text)
        return next(iter(named)) if len(named) == 1 else None

    def named(self, text: str) -> Mapping[str, None]:
        """Every label that the text names, in its order."""
        said = folded(text)
        return {
            self._by_text[found[0]]: None
            for found in self._any.finditer(said)
            if not NEGATED.search(said, 0, found.start())
        }
