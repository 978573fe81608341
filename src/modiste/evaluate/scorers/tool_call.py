"""Function calls compared with the right ones: `tool_call`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from modiste.evaluate.items import Answer, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Check
from modiste.evaluate.scorers.json_text import equal_json, read_json
from modiste.evaluate.scorers.references import no_reference
from modiste.evaluate.spec import Spec


class Call(NamedTuple):
    name: str
    arguments: Any
    """JSON; None where the text of it is none."""


def read_calls(reference: Any) -> list[Call]:
    """One or a list of `{name, arguments}` or OpenAI's `{function: {name, arguments}}`, or JSON
    of it.

    Raises:
        ValueError: what is wrong with it.
    """
    value = read_json(reference) if isinstance(reference, str) else reference
    return [_read_call(one) for one in (value if isinstance(value, list) else [value])]


def _read_call(value: Any) -> Call:
    inner = value.get("function", value) if isinstance(value, Mapping) else value
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise ValueError(f"{str(value)[:80]}, not a call with name and arguments")
    arguments = inner.get("arguments", {})
    return Call(inner["name"], read_json(arguments) if isinstance(arguments, str) else arguments)


class ToolCalls(Check):
    """1 where the answer makes exactly the reference's calls, else 0.

    Names must be equal, arguments equal as JSON (`arguments: subset` lets the answer add some,
    `ignore` compares names alone). Order counts only with `order: true`. A reference without calls
    (`[]`) is right where none is made. Pass rule: the value is 1.
    """

    def __init__(self, spec: ToolCallSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec

    def look(self, item: Item, answer: Answer) -> Score:
        if item.reference is None:
            return no_reference(item)
        try:
            right = read_calls(item.reference)
        except ValueError as error:
            return unscored(Status.ERROR, f"the reference is {error}")
        said = [_said(call.name, call.arguments) for call in answer.calls]
        missing, added = self._unmatched(right, said)
        reasons = [f"missing: {_shown(call)}" for call in missing]
        reasons += [f"not asked for: {_shown(call)}" for call in added]
        names = _in_order(right, self._spec.order) == _in_order(said, self._spec.order)
        in_order = not self._spec.order or all(map(self._same, said, right))
        if not reasons and not in_order:
            reasons = ["the right calls in another order"]
        return scored(
            not reasons,
            label=", ".join(call.name for call in said),
            reason="; ".join(reasons),
            names=names,
            broken=sum(call.arguments is None for call in said),
        )

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        """The share of answers with exactly the right calls, and with the right names."""

        def names(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else float(score.detail["names"])

        found = (score_of(self.name, sample) for sample in samples)
        broken = sum(score is not None and score.detail["broken"] > 0 for score in found)
        notes = (f"{broken} answers call with arguments that are not JSON",) if broken else ()
        return (
            mean_metric(self, samples, notes=notes),
            figure(self, samples, names, name="names"),
        )

    def _unmatched(self, right: list[Call], said: list[Call]) -> tuple[list[Call], list[Call]]:
        """What is left of both once as many calls as possible are paired (augmenting paths: with
        `subset` a call may fit several)."""
        taken: dict[int, int] = {}

        def place(at: int, tried: set[int]) -> bool:
            for i, one in enumerate(right):
                if i not in tried and self._same(said[at], one):
                    tried.add(i)
                    if i not in taken or place(taken[i], tried):
                        taken[i] = at
                        return True
            return False

        added = [call for at, call in enumerate(said) if not place(at, set())]
        return [one for i, one in enumerate(right) if i not in taken], added

    def _same(self, said: Call, right: Call) -> bool:
        if said.name != right.name:
            return False
        if self._spec.arguments == "ignore":
            return True
        if self._spec.arguments == "equal":
            return equal_json(said.arguments, right.arguments)
        if not isinstance(said.arguments, dict) or not isinstance(right.arguments, dict):
            return False
        return all(
            name in said.arguments and equal_json(said.arguments[name], value)
            for name, value in right.arguments.items()
        )


def _said(name: str, arguments: str) -> Call:
    try:
        return Call(name, read_json(arguments or "{}"))
    except ValueError:
        return Call(name, None)


def _in_order(calls: list[Call], order: bool) -> list[str]:
    names = [call.name for call in calls]
    return names if order else sorted(names)


def _shown(call: Call) -> str:
    return f"{call.name}({str(call.arguments)[:120]})"


class ToolCallSpec(Spec):
    kind: Literal["tool_call"] = "tool_call"
    name: str = "tool_call"
    order: bool = False
    """Calls must come in the reference's order."""
    arguments: Literal["equal", "subset", "ignore"] = "equal"

    def build(self) -> ToolCalls:
        return ToolCalls(self)
