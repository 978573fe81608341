"""Answers that must be JSON of a given form: `json_schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jsonschema
import referencing
from pydantic import AfterValidator, Field

from modiste.evaluate.items import Answer, Item, Score, Status, scored, unscored
from modiste.evaluate.scorer import Check
from modiste.evaluate.scorers.json_text import read_json
from modiste.evaluate.spec import Spec

SHOWN = 5
"""Problems of one answer that its score tells."""


def validator(schema: Mapping[str, Any]) -> Any:
    """Of the draft that `$schema` names, 2020-12 by default; nothing is ever fetched."""
    of_draft = jsonschema.validators.validator_for(
        dict(schema), default=jsonschema.Draft202012Validator
    )
    return of_draft(
        dict(schema), registry=referencing.Registry(), format_checker=of_draft.FORMAT_CHECKER
    )


def a_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        type(validator(schema)).check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise ValueError(f"no JSON schema: {error.message} at {_path(error)}") from None
    return schema


Schema = Annotated[Mapping[str, Any], AfterValidator(a_schema)]


class JsonSchema(Check):
    """1 where the answer is JSON that follows the schema, else 0. Pass rule: the value is 1."""

    takes_long = True

    def __init__(self, spec: JsonSchemaSpec) -> None:
        super().__init__(spec.name, spec.config)
        self._validator = validator(spec.schema_)
        self._lenient = spec.lenient

    def look(self, item: Item, answer: Answer) -> Score:
        try:
            value = read_json(answer.text, lenient=self._lenient)
        except ValueError as error:
            return scored(False, reason=f"the answer is {error}")
        try:
            found = sorted(self._validator.iter_errors(value), key=lambda e: list(map(str, e.path)))
        except referencing.exceptions.Unresolvable as error:
            said = f"the schema refers to {error.ref!r}, which is not in it"
            return unscored(Status.ERROR, said)
        told = [f"{_path(error)}: {error.message[:200]}" for error in found[:SHOWN]]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return scored(not found, reason="; ".join(told) + more)


def _path(error: Any) -> str:
    return error.json_path.removeprefix("$.") if error.json_path != "$" else "the whole"


class JsonSchemaSpec(Spec):
    kind: Literal["json_schema"] = "json_schema"
    name: str = "json_schema"
    schema_: Schema = Field(alias="schema")
    """The JSON Schema itself. References lead nowhere outside it."""
    lenient: bool = False
    """Allow a Markdown fence around the JSON."""

    def build(self) -> JsonSchema:
        return JsonSchema(self)
