"""What of a schema cannot be enforced is named by its path. llguidance itself is the oracle."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llguidance import LLMatcher

from modiste.prepare import json_schema

STRING = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array", "uniqueItems": False, "items": {**STRING, "nullable": False}},
        {"type": "object", "properties": {"format": STRING, "not": STRING}},
        {"anyOf": [STRING, {"type": "integer", "minimum": 3}]},
        {"oneOf": [{"type": "string"}, {"type": "null"}]},
        {"$defs": {"n": {"properties": {"c": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
        {"properties": {"a": {"$ref": "#/properties/b"}, "b": STRING}},
        {"const": {"uniqueItems": False}},
    ],
)
def test_what_can_be_enforced_has_no_problem(schema: dict[str, Any]) -> None:
    assert json_schema.problem(schema) is None
    lark = "start: " + json_schema.as_lark(schema, json_schema.LAYOUT)
    assert LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(lark)) == ""


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"not": STRING}, "not"),
        ({"properties": {"a": {"type": "array", "uniqueItems": True}}}, "properties.a.uniqueItems"),
        ({"items": {"anyOf": [STRING, {**STRING, "format": "binary"}]}}, "items.anyOf[1].format"),
        ({"properties": {"a": {**STRING, "pattern": "(?=a)b"}}}, "properties.a.pattern"),
        ({"properties": {"a": {"type": "strin"}}}, "properties.a.type"),
        ({"properties": {"a": {**STRING, "nullable": True}}}, "properties.a.nullable"),
        ({"oneOf": [STRING, {**STRING, "minLength": 2}]}, "oneOf"),
        ({"$defs": {"d": {**STRING, "format": "x"}}, "items": {"$ref": "#/$defs/d"}}, "$defs.d"),
        ({"properties": {"a": {"$ref": "https://example.com/s"}}}, "properties.a"),
        ({"type": "object", "required": "a"}, "required"),
        ({"properties": {"a": {"x-guidance": {}}}}, "properties.a.x-guidance"),
        ({"allOf": [{"if": STRING, "then": STRING}]}, "allOf[0].if"),
    ],
)
def test_what_cannot_is_named_by_its_path(schema: dict[str, Any], path: str) -> None:
    found = json_schema.problem(schema)
    assert found is not None
    assert found.path.startswith(path)
    assert found.message


def test_a_schema_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"items": schema}
    assert json_schema.problem(schema) is not None


KEYWORDS = {
    "not": STRING, "uniqueItems": True, "contains": STRING, "propertyNames": STRING,
    "dependentRequired": {"a": ["b"]}, "if": STRING, "unevaluatedProperties": False,
    "minContains": 1, "dependentSchemas": {"a": STRING}, "$dynamicRef": "#a",
    "multipleOf": 3, "minLength": 2, "patternProperties": {"^a": STRING}, "minItems": 1,
    "prefixItems": [STRING], "additionalProperties": False, "const": 1, "enum": [1],
    "maxProperties": 2, "exclusiveMinimum": 0, "contentEncoding": "base64", "title": "t",
}  # fmt: skip


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_keyword_is_judged_as_llguidance_does(keyword: str) -> None:
    schema = {keyword: KEYWORDS[keyword]}
    source = LLMatcher.grammar_from_json_schema(json.dumps(schema))
    failed, _ = LLMatcher.validate_grammar_with_warnings(source)
    assert (json_schema.problem(schema) is not None) == failed
