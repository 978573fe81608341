"""JSON schemas that an answer can be held to: every part that cannot be enforced, with its path.

llguidance enforces them token by token and is asked what it can do; here its word is traced to the
part of the schema that it is about. What it would pass over in silence but people mean (`nullable`)
is refused too, and what asks for nothing (`uniqueItems: false`) is taken out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from llguidance import LLMatcher

from modiste.prepare.conversation import MAX_JSON_DEPTH, too_deep

LAYOUT = {"whitespace_pattern": r"(\n {0,32}| )?"}
"""Between the parts of an answer in JSON: on one line or indented, and never white space alone."""
ASKS_NOTHING = (("uniqueItems", False), ("nullable", False))
OWN_OPTIONS = "x-guidance"
BY_NAME = ("$defs", "definitions", "properties", "patternProperties")
LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
SINGLE = ("items", "additionalProperties")


class SchemaProblem(NamedTuple):
    path: str
    """Within the schema, such as `properties.day.format`; empty for the whole."""
    message: str


def problem(schema: Mapping[str, Any]) -> SchemaProblem | None:
    """The first part of a schema that no answer can be held to, or None."""
    if too_deep(schema):
        return SchemaProblem("", f"nested deeper than {MAX_JSON_DEPTH} levels")
    for path, part in _parts(schema, ""):
        if OWN_OPTIONS in part:
            return SchemaProblem(_join(path, OWN_OPTIONS), "this is no part of JSON schema")
        if part.get("nullable"):
            listed = 'JSON schema knows no nullable; write "type": [..., "null"]'
            return SchemaProblem(_join(path, "nullable"), listed)
    cleaned = clean(schema)
    said = _refusal(cleaned)
    return None if said is None else _traced(cleaned, said)


def clean(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema without what asks for nothing."""
    cleaned: dict[str, Any] = _cleaned(schema)
    return cleaned


def as_lark(schema: Mapping[str, Any], layout: Mapping[str, Any]) -> str:
    """A checked schema as a part of a Lark grammar."""
    return f"%json {json.dumps({**clean(schema), OWN_OPTIONS: dict(layout)}, ensure_ascii=True)}"


def _refusal(schema: Any) -> str | None:
    """What llguidance says against a schema."""
    try:
        source = LLMatcher.grammar_from_json_schema(json.dumps(schema))
    except (TypeError, ValueError) as error:
        return str(error)
    failed, said = LLMatcher.validate_grammar_with_warnings(source)
    return " ".join(said[-1].split()) if failed else None


def _traced(schema: Mapping[str, Any], said: str) -> SchemaProblem:
    """The innermost part against which the same is said when it stands alone, definitions beside
    it."""
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    path, inner = "", schema
    while True:
        failing = (c for c in _children(inner) if _refusal({**shared, **c[1]}) == said)
        at, part = next(failing, ("", inner))
        if not at:
            return SchemaProblem(_join(path, _keyword(inner, said)), _in_our_words(said))
        path, inner = _join(path, at), part


def _in_our_words(said: str) -> str:
    if said.startswith("Unimplemented keys"):
        return "this keyword cannot be enforced; leave it out"
    if said.startswith("oneOf"):
        return "these alternatives may hold at once, which cannot be enforced; use anyOf"
    return said


def _keyword(part: Mapping[str, Any], said: str) -> str:
    """The keyword that a refusal names, where it names one that is there."""
    quoted = re.findall(r"[\"'](\$?\w+)[\"']", said)
    known = {"format": "format", "oneOf": "oneOf", "regex": "pattern", "Invalid type": "type"}
    quoted += [keyword for word, keyword in known.items() if word in said]
    return next((keyword for keyword in quoted if keyword in part), "")


def _parts(schema: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for at, child in _children(schema):
        yield from _parts(child, _join(path, at))


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Schemas within a schema, with where they stand."""
    for keyword in BY_NAME:
        named = schema.get(keyword)
        for name, child in named.items() if isinstance(named, Mapping) else ():
            if isinstance(child, Mapping):
                yield f"{keyword}.{name}", child
    for keyword in (*LISTED, *SINGLE):
        value = schema.get(keyword)
        if isinstance(value, Mapping):
            yield keyword, value
        for at, child in enumerate(value if isinstance(value, list) else ()):
            if isinstance(child, Mapping):
                yield f"{keyword}[{at}]", child


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [_cleaned(child) for child in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: child if key in ("const", "enum", "default", "examples") else _cleaned(child)
        for key, child in value.items()
        if (key, child) not in ASKS_NOTHING
    }


def _join(path: str, more: str) -> str:
    return f"{path}.{more}" if path and more else path or more
