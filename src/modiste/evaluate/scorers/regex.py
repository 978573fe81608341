"""Answers that a regular expression must match, or whose match is compared: `regex`."""

from __future__ import annotations

from typing import Annotated, Literal

import regex
from pydantic import AfterValidator, Field

from modiste.evaluate.items import Answer, Item, Score, Status, scored, unscored
from modiste.evaluate.scorer import Check
from modiste.evaluate.scorers.references import (
    Normalise,
    alternatives,
    no_reference,
    normalised,
)
from modiste.evaluate.spec import Spec

LIMIT_S = 1.0
"""For one answer; a pattern that backtracks for ever is stopped."""


def compiles(pattern: str) -> str:
    """
    Raises:
        ValueError: what is wrong with the pattern.
    """
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(compiles)]


def matches(pattern: str, text: str, *, limit_s: float = LIMIT_S) -> list[regex.Match[str]]:
    """All matches from left to right.

    Raises:
        TimeoutError: the pattern needs longer on this text.
    """
    # Without `concurrent` no other thread runs meanwhile, wherever this one does.
    return list(regex.finditer(pattern, text, timeout=limit_s, concurrent=True))


class Regex(Check):
    """1 where the pattern matches somewhere; with `compare`, where what it takes is a reference.

    What is taken is `group` of the first or last match; an answer that does not match is wrong.
    Pass rule: the value is 1.
    """

    takes_long = True

    def __init__(self, spec: RegexSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec

    def look(self, item: Item, answer: Answer) -> Score:
        right = alternatives(item)
        if self._spec.compare and not right:
            return no_reference(item)
        try:
            found = matches(self._spec.pattern, answer.text)
        except TimeoutError:
            return unscored(Status.TIMEOUT, f"the pattern needs longer than {LIMIT_S:g} s")
        if not found:
            return scored(False, reason="the pattern does not match")
        said = found[0 if self._spec.take == "first" else -1].group(self._spec.group) or ""
        if not self._spec.compare:
            return scored(True, label=said)
        how = self._spec.normalise
        return scored(
            any(normalised(said, how) == normalised(one, how) for one in right), label=said
        )


class RegexSpec(Spec):
    kind: Literal["regex"] = "regex"
    name: str = "regex"
    pattern: Pattern
    """Python's syntax; `(?i)` and `(?m)` inside it."""
    group: int | str = 0
    """Which part is taken: 0 is all of the match, or the number or name of a group."""
    take: Literal["first", "last"] = "last"
    """Which match, where there are several."""
    compare: bool = False
    """Compare what is taken with the reference; without, a match is enough."""
    normalise: Normalise = Normalise.NONE

    def model_post_init(self, context: object) -> None:
        compiled = regex.compile(self.pattern)
        known = (*range(compiled.groups + 1), *compiled.groupindex)
        if self.group not in known:
            listed = ", ".join(map(str, known))
            raise ValueError(f"group is {self.group!r}; the pattern has {listed}")

    def build(self) -> Regex:
        return Regex(self)
