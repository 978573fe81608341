"""What becomes of one row: an example, or everything that is wrong with it; and what was left out.

Every format reads its rows through `Notes`, so that problems are worded alike, all of a row's
problems come at once, and nothing is left out without a word.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modiste.types import Example, Problem


class Row(NamedTuple):
    """What became of one JSON value. `example` is None exactly when `problems` is not empty."""

    example: Example | None
    problems: tuple[Problem, ...]
    ignored: tuple[str, ...] = ()
    """Keys that were left out, such as `prompt_id` or `messages[].reasoning_content`."""
    lost: tuple[str, ...] = ()
    """What was read but has no place in an example, in words a person understands."""


@dataclass
class Notes:
    """Collects what is said about one row."""

    file: str
    line: int
    problems: list[Problem] = field(default_factory=list)
    ignored: dict[str, None] = field(default_factory=dict)
    lost: dict[str, None] = field(default_factory=dict)

    def say(
        self, path: str, code: str, message: str, hint: str | None = None, value: Any = None
    ) -> None:
        seen = None if value is None else shown(value)
        self.problems.append(
            Problem(self.file, self.line, path, code, message, value=seen, hint=hint)
        )

    def ignore(self, keys: Iterable[str], known: Collection[str], prefix: str = "") -> None:
        for key in keys:
            if key not in known:
                self.ignored[f"{prefix}{key}"] = None

    def lose(self, what: str) -> None:
        self.lost[what] = None

    def answer(self, example: Example) -> Row:
        if self.problems:
            return self.refused()
        return Row(example, (), tuple(self.ignored), tuple(self.lost))

    def refused(self) -> Row:
        return Row(None, tuple(self.problems), tuple(self.ignored), tuple(self.lost))


_TYPE_NAMES: Sequence[tuple[Callable[[Any], bool], str]] = (
    (lambda v: v is None, "null"),
    (lambda v: isinstance(v, bool), "a boolean"),
    (lambda v: isinstance(v, int | float), "a number"),
    (lambda v: isinstance(v, str), "a string"),
    (lambda v: isinstance(v, list), "a list"),
)


def type_name(value: Any) -> str:
    """A JSON type as people say it."""
    return next((name for matches, name in _TYPE_NAMES if matches(value)), "an object")


_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxstring = _BRIEFLY.maxother = 60
"""Not `repr`: a value may be huge, or nested deeper than Python can follow."""


def shown(value: Any) -> str:
    return _BRIEFLY.repr(value)
