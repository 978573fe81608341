"""What a judge wrote becomes a value: the last JSON object, or the last verdict in brackets.

Always the last: a judge that quotes the answer it judges repeats whatever verdict was planted
there before it gives its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jsonschema

T = TypeVar("T")
Read = Callable[[str], T]
"""Raises Unreadable."""

REFUSAL = re.compile(
    r"^\W*(?:(?:i['’]?m|i am) (?:sorry|unable|not able)|sorry\b|i (?:can(?:no|['’])t|won['’]t|"
    r"must decline)|as an ai\b)",
    re.IGNORECASE,
)
STRING_OR_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)


class Unreadable(Exception):
    """Why a text is no verdict, in words that the judge can act on."""


def json_reader(
    schema: Mapping[str, Any], check: Callable[[Mapping[str, Any]], str | None] | None = None
) -> Read[dict[str, Any]]:
    """Reads the last JSON object of a text, held to a schema and to what no schema can say.

    Args:
        check: says what is wrong with an object that follows the schema, or None.
    """
    validator = jsonschema.Draft202012Validator(schema)

    def read(text: str) -> dict[str, Any]:
        found = last_object(text)
        if found is None:
            raise Unreadable("there is no complete JSON object in the answer")
        error = jsonschema.exceptions.best_match(validator.iter_errors(found))
        if error is not None:
            raise Unreadable(f"{error.json_path}: {error.message}"[:500])
        if check is not None and (said := check(found)):
            raise Unreadable(said)
        return found

    return read


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has exactly these, in this order: reasons before numbers."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def last_object(text: str) -> dict[str, Any] | None:
    """The last balanced JSON object: in a Markdown fence, between words, with commas too many."""
    found = list(_objects(STRING_OR_COMMA.sub(lambda match: match[1] or "", text)))
    return found[-1] if found else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    start = text.find("{")
    while start >= 0:
        try:
            found, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found
        start = text.find("{", end)


def bracket_reader(pattern: str, expected: str) -> Read[str]:
    """Reads the last verdict of a form such as `[[A]]`.

    Args:
        pattern: with one group, the verdict.
        expected: the form, for a judge that left it out.
    """
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        found: list[str] = compiled.findall(text)
        if not found:
            raise Unreadable(f"the verdict is missing; end with {expected}")
        return found[-1]

    return read


def is_refusal(text: str) -> bool:
    """Whether a text without a verdict says that its author will not give one."""
    return REFUSAL.match(text) is not None
