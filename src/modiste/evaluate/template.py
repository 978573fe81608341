"""Templates of suites: `{{question}}` with the fields of a row, sandboxed, strict about names.

A field that a row lacks is an error that names it, never an empty string. Rows reach a template
under their own names and as `row` and `item`, so that `{{item.question}}` works as well; a field
that is called `row` or `item` itself is the field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modiste.errors import InvalidInput


class Template:
    """One text with holes.

    Raises:
        InvalidInput: it is not a template; `param` is where it stands.
    """

    def __init__(self, source: str, *, param: str) -> None:
        self.source = source
        self._param = param
        try:
            self._compiled = ENVIRONMENT.from_string(source)
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
