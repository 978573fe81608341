"""Where the parts of an example stand in the row they were read from.

Checks know chats: they speak of `messages[1].content`. Of a row in another format a person knows
`conversations[1].value`, `output` or `context + question`, and that is what problems name. Rows
that are chats already have no places: their paths are true as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from modiste.types import Message, Problem

_MESSAGE = re.compile(r"(messages|chosen|rejected)\[(\d+)\](?:\.(.*))?\Z", re.DOTALL)
_CALL = re.compile(r"tool_calls\[(\d+)\](?:\.function)?(.*)\Z", re.DOTALL)
_NAMED = re.compile(
    r"(?:messages|chosen|rejected)\[\d+\](?:\.\w+|\[\d+\])*|tools\b(?:\[\d+\](?:\.\w+)*)?"
)
_BEGINS = re.compile(rf"(?:(?<=\A)|(?<=; ))(?:{_NAMED.pattern})")
TOGETHER = " + "
"""Between the fields whose texts make one message."""
THE_ROW = "the row"
FIX = "`--fix`"
_OF_CHATS = ("messages[", "interactions[", "system_prompt")
_PLAIN = frozenset({"role", "from", "name", "id", "weight", "train", "loss", "tool_call_id"})


class Place(NamedTuple):
    """Where one message stands in its row."""

    whole: str
    """`conversations[1]`; `output` where the message is nothing but this text; empty for a row
    that is one message."""
    fields: Mapping[str, str] | None = None
    """What the message's fields are called there, if not by their own names; None where the
    message is one text. Fields that were made up are empty."""
    line: int | None = None
    """Of a message that stands on another line than its chat begins."""

    def of(self, rest: str) -> str:
        """A path inside the message, such as `content`, as a path inside the row."""
        if self.fields is None or not rest:
            return self.whole
        name = re.split(r"[.\[]", rest, maxsplit=1)[0]
        known = self.fields.get(name)
        if known is None:
            inside = rest
        elif name == "tool_calls" and (call := _CALL.match(rest)):
            inside = known.format(call[1]) + call[2].removesuffix(".id")
        else:
            inside = known + rest[len(name) :] if known else ""
        return ".".join(part for part in (self.whole, inside) if part)


AS_IT_IS: Mapping[str, str] = {}
"""The fields of messages that are written as in chats."""
WITH_TEXT: Mapping[str, str] = {"content": "text"}


@lru_cache(maxsize=64)
def turn_fields(who: str, said: str, weight: str | None, *, several_calls: bool) -> dict[str, str]:
    """What the fields of a message are called in a ShareGPT turn."""
    return {
        "role": who,
        "content": said,
        "weight": weight or "",
        "tool_calls": f"{said}[{{}}]" if several_calls else said,
        "tool_call_id": "",
        "name": "",
        "prefix": "",
    }


@dataclass(frozen=True)
class Places:
    """Where everything of one row stands."""

    messages: tuple[Place, ...] = ()
    chosen: tuple[Place, ...] = ()
    rejected: tuple[Place, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    """`tools`, `text` and labels (`labels.name`), where they are called otherwise."""
    bare_tools: bool = False
    """Tools stand without the `function` around each."""

    def of(self, path: str) -> str:
        """A path of the example as a path of the row."""
        if found := self._message(path):
            place, rest = found
            return place.of(rest)
        if path in self.others:
            return self.others[path]
        if path.startswith("tools"):
            renamed = self.others.get("tools", "tools") + path[len("tools") :]
            return renamed.replace("].function", "]", 1) if self.bare_tools else renamed
        return path

    def is_short(self, path: str) -> bool:
        """Whether the row holds no more than a name, a number or a role there, fit to be shown."""
        return self.of(path).rpartition(".")[2] in _PLAIN

    def problem(self, problem: Problem) -> Problem:
        """A problem of the example as a problem of the row."""
        found = self._message(problem.path)
        line = found[0].line if found else None
        return replace(
            problem,
            path=self.of(problem.path),
            message=self._begun(problem.message, problem.path),
            hint=self._hint(problem.hint),
            line=problem.line if line is None else line,
        )

    def _hint(self, hint: str | None) -> str | None:
        """Repairs know chats alone."""
        if not hint or FIX not in hint:
            return hint
        if self.chosen or self.rejected:
            return hint.partition("; " + FIX)[0] if "; " + FIX in hint else None
        if all(place.whole.startswith(_OF_CHATS) for place in self.messages):
            return hint
        return hint.replace(FIX, f"after `modiste data convert`, {FIX}")

    def text(self, said: str) -> str:
        """Words of our own, which repeat nothing of the row, with every path in them translated."""
        return _NAMED.sub(lambda found: self.of(found[0]) or THE_ROW, said)

    def opening(self, said: str) -> str:
        """Words that may repeat the row's: only the path they begin with is translated."""
        return _BEGINS.sub(lambda found: self.of(found[0]) or THE_ROW, said)

    def answer(self, name: str) -> Places:
        """Of the chat that a pair stands for: the prompt and the answer `chosen` or `rejected`."""
        more = {"chosen": self.chosen, "rejected": self.rejected}.get(name, ())
        return replace(self, messages=(*self.messages, *more))

    def _message(self, path: str) -> tuple[Place, str] | None:
        found = _MESSAGE.match(path)
        if found is None:
            return None
        listed: tuple[Place, ...] = getattr(self, found[1])
        at = int(found[2])
        return (listed[at], found[3] or "") if at < len(listed) else None

    def _begun(self, said: str, path: str) -> str:
        if path and said.startswith(path):
            return (self.of(path) or THE_ROW) + said[len(path) :]
        return self.opening(said)


class Registry:
    """Messages and their places while a row is read; messages are known by what they are, not by
    what they say, so that they may be cut, joined and moved."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Message, Place]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def put(self, message: Message, place: Place) -> Message:
        self._known[id(message)] = (message, place)
        return message

    def move(self, message: Message, new: Message) -> Message:
        """`new` stands where `message` stood."""
        known = self._known.get(id(message))
        return self.put(new, known[1]) if known else new

    def place(self, message: Message) -> Place | None:
        known = self._known.get(id(message))
        return known[1] if known else None

    def places(self, messages: Iterable[Message], name: str) -> tuple[Place, ...]:
        return tuple(
            self.place(message) or Place(f"{name}[{at}]", AS_IT_IS)
            for at, message in enumerate(messages)
        )


def together(*names: str) -> str:
    """Fields whose texts make one message."""
    return TOGETHER.join(names)
