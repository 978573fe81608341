"""Extracted fields compared with the right ones, one by one: `json_match`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from modiste.evaluate.items import Answer, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Check
from modiste.evaluate.scorers.json_text import equal_json, read_json
from modiste.evaluate.scorers.references import Normalise, no_reference, normalised
from modiste.evaluate.spec import Spec

ABSENT = object()


def leaves(value: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """The fields of an object under their paths: `{"a": {"b": 1}}` is `{"a.b": 1}`.

    A list is one field, and so is an empty object.
    """
    found: dict[str, Any] = {}
    for name, inner in value.items():
        path = f"{at}.{name}" if at else str(name)
        if isinstance(inner, Mapping) and inner:
            found.update(leaves(inner, path))
        else:
            found[path] = inner
    return found


class JsonMatch(Check):
    """The share of the reference's fields that the answer has with the same value.

    Denominator: the fields of the *reference*, never those of the answer, so that a reply with one
    right field does not score 1. Fields that the answer adds are counted apart. An answer that is
    no JSON object has none of the fields. Pass rule: the value is 1; `all_fields` is its share.
    """

    def __init__(self, spec: JsonMatchSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._spec = spec

    def look(self, item: Item, answer: Answer) -> Score:
        if item.reference is None:
            return no_reference(item)
        try:
            right = self._wanted(item.reference)
        except ValueError as error:
            return unscored(Status.ERROR, f"the reference is {error}")
        if not right:
            return unscored(Status.SKIPPED, "the reference has no field to compare")
        try:
            said = leaves(_an_object(read_json(answer.text, lenient=self._spec.lenient)))
        except ValueError as error:
            return scored(
                0.0,
                reason=f"the answer is {error}",
                fields=dict.fromkeys(right, False),
                all_fields=False,
                is_json=False,
            )
        fields = {p: self._same(said.get(p, ABSENT), value) for p, value in right.items()}
        wrong = [path for path, same in fields.items() if not same]
        added = [] if self._spec.fields else sorted(said.keys() - right.keys())
        return scored(
            1 - len(wrong) / len(right),
            reason=f"wrong or missing: {', '.join(wrong)}" if wrong else "",
            fields=fields,
            all_fields=not wrong,
            added=added,
            is_json=True,
        )

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        """The mean share, the share of answers with all fields right and of those that are JSON,
        and each field's share of right values where the reference has it."""

        def all_right(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else float(score.detail["all_fields"])

        def is_json(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else float(score.detail["is_json"])

        found = [s for s in (score_of(self.name, sample) for sample in samples) if s is not None]
        added = sum(bool(score.detail.get("added")) for score in found)
        notes = (f"{added} answers add fields that the reference has not",) if added else ()
        paths = dict.fromkeys(path for score in found for path in score.detail["fields"])
        return (
            mean_metric(self, samples, notes=notes),
            figure(self, samples, all_right, name="all_fields"),
            figure(self, samples, is_json, name="is_json"),
            *(self._of_field(path, samples) for path in paths),
        )

    def _of_field(self, path: str, samples: Sequence[Sample]) -> Metric:
        """Over the samples whose reference has it."""

        def right(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else float(score.detail["fields"][path])

        having = [
            sample
            for sample in samples
            if (score := score_of(self.name, sample)) and path in score.detail["fields"]
        ]
        return figure(self, having, right, name=f"field.{path}")

    def _wanted(self, reference: Any) -> dict[str, Any]:
        value = read_json(reference) if isinstance(reference, str) else reference
        found = leaves(_an_object(value))
        if not self._spec.fields:
            return found
        chosen = tuple(self._spec.fields)
        return {
            path: value
            for path, value in found.items()
            if any(path == name or path.startswith(f"{name}.") for name in chosen)
        }

    def _same(self, said: Any, right: Any) -> bool:
        if said is ABSENT:
            return False
        how, both_lists = self._spec.normalise, isinstance(said, list) and isinstance(right, list)
        if both_lists and not self._spec.list_order:
            return _same_bag(said, right, how)
        return equal_json(_folded(said, how), _folded(right, how))


def _an_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"JSON, but no object: {str(value)[:80]}")
    return value


def _folded(value: Any, how: Normalise) -> Any:
    if isinstance(value, str):
        return normalised(value, how)
    if isinstance(value, list):
        return [_folded(one, how) for one in value]
    if isinstance(value, Mapping):
        return {name: _folded(one, how) for name, one in value.items()}
    return value


def _same_bag(said: list[Any], right: list[Any], how: Normalise) -> bool:
    left = [_folded(one, how) for one in right]
    for one in said:
        folded = _folded(one, how)
        at = next((i for i, other in enumerate(left) if equal_json(folded, other)), None)
        if at is None:
            return False
        del left[at]
    return not left


class JsonMatchSpec(Spec):
    kind: Literal["json_match"] = "json_match"
    name: str = "json_match"
    fields: tuple[str, ...] = Field(default=())
    """Paths that count (`address.city`, or `address` for all below it); all by default."""
    normalise: Normalise = Normalise.NONE
    """Of texts within the values."""
    list_order: bool = True
    """False: lists are equal in any order."""
    lenient: bool = False
    """Allow a Markdown fence around the JSON."""

    def build(self) -> JsonMatch:
        return JsonMatch(self)
