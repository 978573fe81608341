"""Answers that end in a number, compared within a tolerance: `numeric`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from modiste.evaluate.items import Answer, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, mean_metric, score_of
from modiste.evaluate.scorer import Check
from modiste.evaluate.scorers.references import no_reference
from modiste.evaluate.scorers.regex import LIMIT_S, Pattern, matches
from modiste.evaluate.spec import Spec

MINUS = "\u2212"
SPACES = "\u00a0\u202f\u2009"
"""No-break and thin spaces, which stand between thousands; a common space parts two numbers."""


def number_pattern(decimal: str) -> re.Pattern[str]:
    thousands = ("," if decimal == "." else ".") + SPACES + "'’_"
    point = re.escape(decimal)
    whole = rf"(?:\d{{1,3}}(?:[{re.escape(thousands)}]\d{{3}})+(?!\d)|\d+)"
    return re.compile(
        rf"(?<!\w)(?<!\d{point})(?:(?<![\w)])[-+{MINUS}])?"
        rf"(?:{whole}(?:{point}\d+)?|{point}\d+)(?:[eE][-+]?\d+)?"
    )


def read_numbers(text: str, *, decimal: str = ".") -> list[float]:
    """Every number of a text, from left to right: `1,234.5`, `−3`, `.5`, `2e-3`.

    Digits glued to a letter (`Q4`) are a name; a hyphen behind a word or a number is no sign.
    """
    found = []
    for match in number_pattern(decimal).finditer(text):
        digits = re.sub(rf"[{SPACES}'’_]", "", match[0]).replace(MINUS, "-")
        digits = digits.replace("," if decimal == "." else ".", "").replace(decimal, ".")
        found.append(float(digits))
    return found


class Numeric(Check):
    """1 where |x − r| ≤ max(abs, rel·|r|), else 0; r is the reference.

    x is the last number of the answer, or of what `pattern` takes from it (its first group, where
    it has one). An answer without a number is wrong and reported apart. Pass rule: the value is 1.
    """

    def __init__(self, spec: NumericSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec
        self.takes_long = spec.pattern is not None

    def look(self, item: Item, answer: Answer) -> Score:
        if item.reference is None:
            return no_reference(item)
        if (right := self._number(item.reference)) is None:
            return unscored(Status.ERROR, f"the reference is {item.reference!r}, not a number")
        try:
            said = self._number(self._taken(answer.text))
        except TimeoutError:
            return unscored(Status.TIMEOUT, f"the pattern needs longer than {LIMIT_S:g} s")
        if said is None:
            return scored(False, reason="no number in the answer", unparseable=True)
        off = abs(said - right)
        near = off <= max(self._spec.abs, self._spec.rel * abs(right))
        return scored(near, label=f"{said:g}", reason="" if near else f"off by {off:g}", off=off)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        found = (score_of(self.name, sample) for sample in samples)
        unread = sum(score is not None and "unparseable" in score.detail for score in found)
        notes = (f"{unread} answers hold no number and count as wrong",) if unread else ()
        return (mean_metric(self, samples, notes=notes),)

    def _taken(self, text: str) -> str:
        if self._spec.pattern is None:
            return text
        found = matches(self._spec.pattern, text)
        if not found:
            return ""
        last = found[-1]
        return (last.group(1) if last.re.groups else last.group(0)) or ""

    def _number(self, value: Any) -> float | None:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value) if math.isfinite(value) else None
        found = read_numbers(str(value), decimal=self._spec.decimal)
        return found[-1] if found else None


class NumericSpec(Spec):
    kind: Literal["numeric"] = "numeric"
    name: str = "numeric"
    abs: float = Field(default=1e-9, ge=0)
    """How far off is still right, absolutely."""
    rel: float = Field(default=0.0, ge=0)
    """The same as a share of the reference."""
    pattern: Pattern | None = None
    """Where the number stands; without, the last number of the answer counts."""
    decimal: Literal[".", ","] = "."
    """What stands before decimals; the other one then parts thousands."""

    def build(self) -> Numeric:
        return Numeric(self)
