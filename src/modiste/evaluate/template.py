"""Templates of suites: `{{question}}` with the fields of a row, sandboxed, strict about names.

A field that a row lacks is an error that names it, never an empty string. Rows reach a template
under their own names and as `row` and `item`, so that `{{item.question}}` works as well; a field
that is called `row` or `item` itself is the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modiste.errors import InvalidInput

ALONE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
"""A template that is one field and nothing else keeps what the field is."""


class Template:
    """One text with holes.

    Raises:
        InvalidInput: it is not a template; `param` is where it stands.
    """

    def __init__(self, source: str, *, param: str) -> None:
        self.source = source
        self._param = param
        try:
            self._compiled = _compiled(source)
        except jinja2.TemplateSyntaxError as error:
            raise InvalidInput(
                f"{param} is {source!r}, which is no template: {error.message}", param=param
            ) from None

    def render(self, row: Mapping[str, Any], **more: Any) -> str:
        """
        Raises:
            InvalidInput: the row lacks a field; the message names it and those that are there.
        """
        names = {"row": row, "item": row, **row, **more}
        try:
            return self._compiled.render(names)
        except jinja2.UndefinedError as error:
            there = ", ".join(sorted(map(str, row))) or "none"
            raise InvalidInput(
                f"{self._param} is {self.source!r}: {error.message}; the row's fields are {there}",
                param=self._param,
            ) from None
        except Exception as error:  # noqa: BLE001 - a template is the user's code, and may raise anything
            raise InvalidInput(
                f"{self._param} is {self.source!r} and fails with {type(error).__name__}: {error}",
                param=self._param,
            ) from None


def value_of(source: str, row: Mapping[str, Any], *, param: str) -> Any:
    """What a template makes of a row; of a field alone, the field itself.

    Raises:
        InvalidInput: as `Template`.
    """
    alone = ALONE.fullmatch(source.strip())
    if alone and alone[1] in row:
        return row[alone[1]]
    return Template(source, param=param).render(row)


@lru_cache(maxsize=256)
def _compiled(source: str) -> jinja2.Template:
    """Once, and not once a row."""
    return ENVIRONMENT.from_string(source)


def _shown(value: Any) -> str:
    """Text as it is; lists and objects as JSON; nothing as an empty text."""
    if value is None:
        return ""
    if isinstance(value, (str, jinja2.Undefined)):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_shown
)
