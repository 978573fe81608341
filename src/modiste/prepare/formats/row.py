"""What becomes of one row: an example, or everything that is wrong with it; and what was left out.

Every format reads its rows through `Notes`, so that problems are worded alike, all of a row's
problems come at once, and nothing is left out without a word.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modiste.prepare.conversation import MAX_JSON_DEPTH, too_deep
from modiste.prepare.formats.places import Place, Places, Registry
from modiste.types import Example, Message, Problem


class Row(NamedTuple):
    """What became of one JSON value. `example` is None exactly when `problems` is not empty."""

    example: Example | None
    problems: tuple[Problem, ...]
    ignored: tuple[str, ...] = ()
    """Keys that were left out, such as `prompt_id` or `messages[].reasoning_content`."""
    lost: tuple[str, ...] = ()
    """What was read but has no place in an example, in words a person understands."""
    places: Places | None = None
    """Where the parts of the example stand in the row; None where its own paths are true."""


@dataclass
class Notes:
    """Collects what is said about one row."""

    file: str
    line: int
    problems: list[Problem] = field(default_factory=list)
    ignored: dict[str, None] = field(default_factory=dict)
    lost: dict[str, None] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    others: dict[str, str] = field(default_factory=dict)
    """Where tools, text and labels stand, if not under these names."""
    bare_tools: bool = False

    def place(
        self, message: Message, whole: str, fields: Mapping[str, str] | None = None
    ) -> Message:
        """Remember where a message stands; `fields` as in `Place`."""
        return self.registry.put(message, Place(whole, fields))

    def call(self, part: str, place: str) -> None:
        """Remember where `tools`, `text` or a label stands."""
        if part != place:
            self.others[part] = place

    def say(
        self, path: str, code: str, message: str, hint: str | None = None, value: Any = None
    ) -> None:
        seen = None if value is None else shown(value)
        self.problems.append(
            Problem(self.file, self.line, path, code, message, value=seen, hint=hint)
        )

    def ignore(self, keys: Iterable[str], known: Collection[str | None], prefix: str = "") -> None:
        for key in keys:
            if key not in known:
                self.ignored[f"{prefix}{key}"] = None

    def lose(self, what: str) -> None:
        self.lost[what] = None

    def answer(self, example: Example) -> Row:
        if self.problems:
            return self.refused()
        return Row(example, (), tuple(self.ignored), tuple(self.lost), self._places(example))

    def _places(self, example: Example) -> Places | None:
        if not (self.registry or self.others or self.bare_tools):
            return None
        known = self.registry.places
        return Places(
            known(example.messages, "messages"),
            known(example.chosen, "chosen"),
            known(example.rejected, "rejected"),
            self.others,
            self.bare_tools,
        )

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


def as_object(value: Any, notes: Notes, hint: str) -> dict[str, Any] | None:
    """The row as an object; anything else is told."""
    if isinstance(value, dict):
        return value
    notes.say("", "row_not_object", f"the row is {type_name(value)}, expected an object", hint)
    return None


def text_field(
    value: dict[str, Any], key: str, notes: Notes, *, path: str | None = None, empty: bool = True
) -> str:
    """A field that must be text; numbers are written out, as tables hold them."""
    path = path or key
    found = value.get(key)
    if isinstance(found, int | float) and not isinstance(found, bool):
        found = str(found)
    if found is None:
        notes.say(path, "field_missing", f"{path} is missing")
    elif not isinstance(found, str):
        text = f"{path} is {type_name(found)}, expected a string"
        notes.say(path, "field_type", text, value=found)
    elif not found and not empty:
        notes.say(path, "field_empty", f"{path} is empty")
    else:
        return found
    return ""


def json_text(value: Any, path: str, notes: Notes) -> str:
    """A value as JSON text; one nested too deeply to be written is told."""
    if too_deep(value):
        notes.say(path, "arguments_too_deep", f"{path} is nested deeper than {MAX_JSON_DEPTH}")
        return "{}"
    return json.dumps(value, ensure_ascii=False)


def first_of(value: dict[str, Any], names: Sequence[str]) -> str | None:
    """The first of `names` that the row has."""
    return next((name for name in names if value.get(name) is not None), None)
