"""Files that people write (suites, gates, judges, policies) become their schema.

Everything that is wrong with one is said in one answer, with line, value and nearest known name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from modiste.errors import InvalidInput
from modiste.prepare.yaml_file import lines_in
from modiste.types import Problem

M = TypeVar("M", bound=BaseModel)


def checked_yaml(kind: type[M], text: str, *, file: str) -> M:
    """
    Raises:
        InvalidInput: not YAML, not an object, or not what `kind` is.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{file} is no YAML: {error}", param="file") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{file} holds {type(value).__name__}, expected fields", param="file")
    return checked(kind, value, file=file, lines=lines_in(text))


def checked(kind: type[M], value: Any, *, file: str, lines: Mapping[str, int] | None = None) -> M:
    """
    Args:
        lines: of every field, where the file has lines; see `lines_in`.

    Raises:
        InvalidInput: everything that is wrong, each in `problems` too.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        known = sorted(set(_names(kind.model_json_schema())))
        problems = [_problem(each, known, file, lines or {}) for each in error.errors()]
        raise refused(problems, file=file) from None


def refused(problems: list[Problem], *, file: str) -> InvalidInput:
    """One error that says them all."""
    said = "; ".join(
        f"{_line(problem)}{problem.path}: {problem.message}".lstrip(": ") for problem in problems
    )
    return InvalidInput(f"{file}: {said}", param=problems[0].path or None, problems=problems)


def line_of(path: str, lines: Mapping[str, int]) -> int | None:
    """Of the field, or of the nearest part around it that has one."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path)


def _line(problem: Problem) -> str:
    return "" if problem.line is None else f"line {problem.line} "


def _problem(error: ErrorDetails, known: list[str], file: str, lines: Mapping[str, int]) -> Problem:
    path = ".".join(str(part) for part in error["loc"])
    said = error["msg"].removeprefix("Value error, ")
    value = None
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        said = "is not known here" + (f"; did you mean {near[0]!r}?" if near else "")
    elif error["type"] == "union_tag_invalid":
        kind = str(error["ctx"]["tag"])
        there = [tag.strip().strip("'") for tag in error["ctx"]["expected_tags"].split(",")]
        near = difflib.get_close_matches(kind, there, n=1)
        said = f"kind is {kind!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        said += f" There are {', '.join(there)}"
    elif error["type"] != "missing" and error["loc"]:
        value = repr(error["input"])
        said = f"{said}, got {value[:80]}"
    return Problem(file, line_of(path, lines), path, error["type"], said, value=value)


def _names(schema: Any) -> Iterator[str]:
    """Of every field of every part."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for part in schema.values():
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)
