"""Answers that are JSON: read strictly, or out of a Markdown fence."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from modiste.prepare.conversation import MAX_JSON_DEPTH, too_deep

FENCE = re.compile(r"\A\s*```[A-Za-z0-9_-]*[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL)


def unfenced(text: str) -> str:
    """The inside of a Markdown fence that is the whole text, or the text itself."""
    match = FENCE.match(text)
    return text if match is None else match[1]


def read_json(text: str, *, lenient: bool = False) -> Any:
    """
    Args:
        lenient: a Markdown fence around it is allowed; nothing else ever is.

    Raises:
        ValueError: why it is not JSON; NaN and names that come twice are not JSON either.
    """
    try:
        value = json.loads(
            unfenced(text) if lenient else text,
            parse_constant=_no_constant,
            object_pairs_hook=_no_twins,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels") from None
    if too_deep(value):
        raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name} is no JSON number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"not JSON one can rely on: {name!r} comes twice in one object")
        found[name] = value
    return found


def equal_json(a: Any, b: Any) -> bool:
    """The same JSON value: 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal_json(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal_json(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
