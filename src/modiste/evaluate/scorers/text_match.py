"""Answers that must be, or hold, a reference text: `exact` and `includes`."""

from __future__ import annotations

from typing import Literal

from modiste.evaluate.items import Answer, Item, Score, scored
from modiste.evaluate.scorer import Check
from modiste.evaluate.scorers.references import (
    Normalise,
    alternatives,
    no_reference,
    normalised,
)
from modiste.evaluate.spec import Spec


class Exact(Check):
    """1 where the answer equals a reference (any of them, where it is a list), else 0.

    Pass rule: the value is 1.
    """

    def __init__(self, spec: ExactSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._how = spec.normalise

    def look(self, item: Item, answer: Answer) -> Score:
        if not (right := alternatives(item)):
            return no_reference(item)
        said = normalised(answer.text, self._how)
        return scored(any(said == normalised(one, self._how) for one in right))


class Includes(Check):
    """1 where the answer holds a reference text somewhere, else 0.

    Of a list of references one suffices, or all are needed (`need: all`). An empty reference is in
    every answer and therefore skipped. Pass rule: the value is 1.
    """

    def __init__(self, spec: IncludesSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._how, self._all = spec.normalise, spec.need == "all"

    def look(self, item: Item, answer: Answer) -> Score:
        wanted = [normalised(one, self._how) for one in alternatives(item)]
        if not wanted or not all(wanted):
            return no_reference(item)
        said = normalised(answer.text, self._how)
        missing = [one for one in wanted if one not in said]
        right = not missing if self._all else len(missing) < len(wanted)
        return scored(right, reason="" if right else f"not in the answer: {', '.join(missing)}")


class ExactSpec(Spec):
    kind: Literal["exact"] = "exact"
    name: str = "exact"
    normalise: Normalise = Normalise.NONE
    """What may differ: nothing, or case, width, white space around and a final full stop."""

    def build(self) -> Exact:
        return Exact(self)


class IncludesSpec(Spec):
    kind: Literal["includes"] = "includes"
    name: str = "includes"
    normalise: Normalise = Normalise.NONE
    need: Literal["any", "all"] = "any"
    """Of a list of references."""

    def build(self) -> Includes:
        return Includes(self)
