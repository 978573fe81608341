"""Calls of tools as a base writes them, read letter by letter.

A reader takes over at the mark that opens calls and gives each call as soon as it is whole and
sound: JSON, a name that may be a function's, arguments that are an object. Whatever is not becomes
text again, marks included, as it was written: nothing is guessed, nothing is lost. So a call that
is given can always be sent back in a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from modiste.prepare.conversation import FUNCTION_NAME, SHORT_CALL_ID, too_deep
from modiste.prepare.manner import ARGS, CALL_ID, END_TAG, PYTHON_TAG, CallStyle
from modiste.prepare.marks import Mark

LONGEST_NAME = 64


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str
    """A JSON object, spelt as calls of a conversation are rendered."""
    id: str | None = None
    """As the model wrote it, where it is nine letters or digits."""


class Broken(NamedTuple):
    text: str
    """All that was read since the last call: it is no call."""


class Over(NamedTuple):
    """The calls ended before this letter or mark."""


Told = Call | Broken | Over | None


class CallReader:
    """Takes one letter or mark at a time; done after `Broken` or `Over`."""

    def __init__(self, style: CallStyle, opened_by: Mark | None) -> None:
        """`opened_by` is None where the calls begin without a mark (BARE)."""
        self._style = style
        self._seen = opened_by.name if opened_by else ""
        self._object = JsonObject()
        self._name, self._id = "", ""
        first = {CallStyle.LIST: self._list, CallStyle.NAMED: self._reading_name}
        self._state: Callable[[str | Mark], Told] = first.get(style, self._opening)
        self._at_rest = False
        """Nothing is begun: an end here loses nothing."""

    def step(self, item: str | Mark) -> Told:
        told = self._state(item)
        if not isinstance(told, Over):
            self._seen += item.name if isinstance(item, Mark) else item
        if isinstance(told, Broken):
            return Broken(self._seen)
        if isinstance(told, Call):
            self._seen = ""
        return told

    def end(self) -> Broken | None:
        """The answer ended here."""
        return None if self._at_rest else Broken(self._seen)

    def _list(self, item: str | Mark) -> Told:
        if item == "[":
            self._state = self._element
        return None if _blank(item) or item == "[" else Broken("")

    def _element(self, item: str | Mark) -> Told:
        if item == "]" and self._at_rest:
            self._state = self._behind
            return None
        return None if item == "," else self._opening(item)

    def _reading_name(self, item: str | Mark) -> Told:
        if isinstance(item, str):
            self._name += item
            return None if len(self._name) <= LONGEST_NAME else Broken("")
        if item.name == CALL_ID:
            self._state = self._reading_id
        elif item.name == ARGS:
            self._state = self._opening
        return None if item.name in (CALL_ID, ARGS) else Broken("")

    def _reading_id(self, item: str | Mark) -> Told:
        if isinstance(item, str):
            self._id += item
            return None if len(self._id) <= LONGEST_NAME else Broken("")
        self._state = self._opening
        return None if item.name == ARGS else Broken("")

    def _opening(self, item: str | Mark) -> Told:
        if _blank(item):
            return None
        if item != "{":
            return Broken("")
        self._at_rest = False
        self._object = JsonObject()
        self._state = self._within
        return self._within(item)

    def _within(self, item: str | Mark) -> Told:
        if isinstance(item, Mark) and not item.spelt:
            return Broken("")
        if not self._object.push(item.name if isinstance(item, Mark) else item):
            return None
        if (call := self._call(self._object.text)) is None:
            return Broken("")
        self._at_rest = True
        self._state = {
            CallStyle.LIST: self._element,
            CallStyle.TAGGED: self._closing,
            CallStyle.BARE: self._again,
        }.get(self._style, self._behind)
        return call

    def _closing(self, item: str | Mark) -> Told:
        if isinstance(item, Mark) and item.name == END_TAG:
            self._state = self._behind
            return None
        return self._behind(item)

    def _again(self, item: str | Mark) -> Told:
        """Llama sets several calls apart by `; `."""
        if item == "{" or (isinstance(item, Mark) and item.name == PYTHON_TAG):
            return self._opening(item) if item == "{" else None
        return None if item == ";" else self._behind(item)

    def _behind(self, item: str | Mark) -> Told:
        return None if _blank(item) else Over()

    def _call(self, text: str) -> Call | None:
        value = read_object(text)
        if value is None:
            return None
        if self._style is CallStyle.NAMED:
            return _sound(self._name.strip(), value, self._id.strip())
        arguments = value.get("parameters") if self._style is CallStyle.BARE else None
        if arguments is None:
            arguments = value.get("arguments")
        return _sound(value.get("name"), arguments, value.get("id"))


class JsonObject:
    """Finds the end of a JSON object; whether it is one is another question."""

    def __init__(self) -> None:
        self._letters: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False

    @property
    def text(self) -> str:
        return "".join(self._letters)

    def push(self, letters: str) -> bool:
        """Whether the object is complete; ask no further then."""
        for letter in letters:
            self._letters.append(letter)
            if self._in_string:
                self._in_string = self._escaped or letter != '"'
                self._escaped = letter == "\\" and not self._escaped
            elif letter == '"':
                self._in_string = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
        return self._depth <= 0


def read_object(text: str) -> dict[str, Any] | None:
    """A JSON object by the letter of the standard, or None: no NaN, not too deep."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and not too_deep(value) else None


def _sound(name: object, arguments: object, call_id: object) -> Call | None:
    if isinstance(arguments, str):  # Some models write the object as a text of JSON.
        arguments = read_object(arguments)
    if not isinstance(name, str) or not FUNCTION_NAME.match(name):
        return None
    if not isinstance(arguments, dict):
        return None
    written = json.dumps(arguments, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which no conversation can hold
        return None
    known = isinstance(call_id, str) and SHORT_CALL_ID.match(call_id)
    return Call(name, written, str(call_id) if known else None)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _blank(item: str | Mark) -> bool:
    return isinstance(item, str) and item.isspace()
