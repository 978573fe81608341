"""All inspectors in one place: what is remarkable about a row, and about a file once all are seen.

    inspect(example)            what one row shows; pure
    ledger = Ledger()           one per file, or one per part of a file in a process of its own
    ledger.add(example)         the same remarks, and the row is counted for the file
    ledger.merge(later_part)    in the order of the file
    ledger.remarks()            what only the whole file shows

Remarks are warnings: they never keep a row from training. Each inspector is a module beside this
one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Self

from modiste.prepare.inspect import credentials, private, special, teacher, truncation
from modiste.prepare.inspect.glance import Glance
from modiste.prepare.inspect.labels import Labels
from modiste.prepare.inspect.language import Languages
from modiste.prepare.inspect.remark import Inspector, Passage, Remark, answers, passages
from modiste.types import Example

ROW_INSPECTORS: Mapping[str, Inspector] = {
    "private": private.inspect,
    "credentials": credentials.inspect,
    "special_tokens": special.inspector(),
    "teacher": teacher.inspect,
    "truncation": truncation.inspect,
}
"""By the name under which `without` leaves them out."""


def inspect(example: Example) -> list[Remark]:
    """Everything remarkable about one row by itself."""
    found = passages(example)
    return [remark for inspector in ROW_INSPECTORS.values() for remark in inspector(found)]


class Ledger:
    """What is known so far about one file. Plain data inside, so processes can send it."""

    def __init__(
        self, *, special_tokens: Iterable[str] = (), without: Collection[str] = ()
    ) -> None:
        """
        Args:
            special_tokens: the renderer's own control tokens, looked for beside the known ones.
            without: names of `ROW_INSPECTORS`, `language` or `labels`, to leave out.
        """
        self._special_tokens = tuple(special_tokens)
        self._without = frozenset(without)
        self._look()
        self.languages = Languages()
        self.lengths = truncation.Lengths()
        self.labels = Labels()

    def add(self, example: Example) -> list[Remark]:
        """Count a row; returns what `inspect` says about it."""
        found = passages(example)
        learned = answers(found)
        if "language" not in self._without:
            self.languages.add(example, found)
        if "truncation" not in self._without:
            self.lengths.add(example.line, learned)
        if "labels" not in self._without:
            self.labels.add(example, found)
        named = self._glance(found, learned)
        if not named:
            return []
        return [
            remark
            for name, inspector in self._inspectors.items()
            if name in named
            for remark in inspector(found)
        ]

    def merge(self, later: Self, *, lines_before: int = 0) -> None:
        """Add what another ledger saw of the same file, further down.

        Args:
            lines_before: added to the line numbers of `later`, when its part counted from 1.
        """
        self.languages.merge(later.languages, lines_before)
        self.lengths.merge(later.lengths, lines_before)
        self.labels.merge(later.labels, lines_before)

    def remarks(self) -> list[Remark]:
        """What the whole file shows, most telling first; a `line` where one row is meant."""
        parts = (self.labels, self.lengths, self.languages)
        return [remark for part in parts for remark in part.remarks()]

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in vars(self).items() if key not in _MADE}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._look()

    def _look(self) -> None:
        named = dict(ROW_INSPECTORS)
        if self._special_tokens:
            named["special_tokens"] = special.inspector(self._special_tokens)
        self._inspectors = {name: it for name, it in named.items() if name not in self._without}
        self._glance = Glance(self._special_tokens)


_MADE = frozenset({"_inspectors", "_glance"})
"""Of a ledger: what a process makes for itself."""


__all__ = ["ROW_INSPECTORS", "Ledger", "Passage", "Remark", "inspect"]
