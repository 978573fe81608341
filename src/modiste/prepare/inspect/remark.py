"""What inspectors speak: remarks about a row, made from the passages of text it holds.

An inspector is a pure function from a row's passages to remarks. A remark is a problem without its
file and line, which the check that reads the file knows. Nothing found in private is ever repeated
whole: `mask` is the only way a secret or a personal detail gets into a remark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from modiste.types import Example, Message, Problem, Role, SampleType, Severity

BRIEF = 60
"""Characters of a row's text that a remark repeats."""


class Remark(NamedTuple):
    path: str
    """JSON path inside the row; empty for the whole row or file."""
    code: str
    message: str
    value: str | None = None
    hint: str | None = None
    severity: Severity = Severity.WARNING
    line: int | None = None
    """Only of remarks about a file that point at one row."""

    def problem(self, file: str, line: int | None = None) -> Problem:
        """The remark as a problem of one file, at `line` unless it has its own."""
        return Problem(
            file,
            line if self.line is None else self.line,
            self.path,
            self.code,
            self.message,
            value=self.value,
            hint=self.hint,
            severity=self.severity,
        )


class Passage(NamedTuple):
    """One text of a row."""

    path: str
    text: str
    role: Role | None
    """None for text that nobody says: a classifier's input, a text to continue training on."""
    learned: bool
    """Whether a model would be trained to write it."""


Inspector = Callable[[Sequence[Passage]], Iterable[Remark]]


def passages(example: Example) -> list[Passage]:
    """All texts of a row, in order, empty ones left out; tool calls by their arguments."""
    found: list[Passage] = []
    if example.messages:
        _add(found, example.messages, "messages")
    if example.text:
        learned = example.sample_type is SampleType.PRETRAIN
        found.append(Passage("text", example.text, None, learned))
    if example.chosen or example.rejected:
        _add(found, example.chosen, "chosen")
        _add(found, example.rejected, "rejected")
    return found


def answers(passages: Sequence[Passage]) -> list[Passage]:
    """What a model would be trained to say; tool calls are not among it."""
    return [p for p in passages if p.learned and p.role is not None and p.path[-1] == "t"]


_SHORT = 32
_PATHS = {
    name: tuple(f"{name}[{at}].content" for at in range(_SHORT))
    for name in ("messages", "chosen", "rejected")
}
_passage = tuple.__new__
"""Every text of a file goes through here; the constructor of a named tuple takes twice as long."""


def _add(found: list[Passage], messages: Sequence[Message], name: str) -> None:
    paths = _PATHS[name]
    for at, message in enumerate(messages):
        role, content = message.role, message.content
        learned = role is Role.ASSISTANT and message.weight != 0 and name != "rejected"
        if content:
            path = paths[at] if at < _SHORT else f"{name}[{at}].content"
            found.append(_passage(Passage, (path, content, role, learned)))
        if not message.tool_calls:
            continue
        for number, call in enumerate(message.tool_calls):
            path = f"{name}[{at}].tool_calls[{number}].function.arguments"
            found.append(Passage(path, call.arguments, role, learned))


def mask(text: str) -> str:
    """A private text with its first four and last two characters, fewer when it is short."""
    if len(text) >= 12:
        return f"{text[:4]}…{text[-2:]}"
    return f"{text[:1]}…" if len(text) > 3 else "…"


def brief(text: str) -> str:
    """The start of a text, on one line."""
    line = " ".join(text[: 2 * BRIEF].split())
    return line if len(line) <= BRIEF else f"{line[: BRIEF - 1]}…"
