"""Plain conversations of many rows, tokenised together and written in one go.

A conversation is straight when its format writes it message after message and moves nothing: no
tools, no tool calls, questions and answers in turn. Its ids and mask are then those of
`turns.samples`, without writing every prompt anew to see where it ends. Whatever is not straight
(`plan` answers None) takes the long way; tests hold both ways to the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from modiste.prepare.rendered import Rendered, Span
from modiste.prepare.words import Words, Written
from modiste.types import Example, Role, SampleType

JOIN = "\n\n"
LONGEST = 1 << 16
"""Letters of a conversation; what is longer gains nothing."""

START, START_SYSTEM, AFTER_SYSTEM, QUESTION, ANSWER, END = range(6)
"""Frames: before the first question; before and after a system prompt that opens; before a later
question; before and after an answer."""

_USER, _ASSISTANT, _SYSTEM = Role.USER, Role.ASSISTANT, Role.SYSTEM
_FIELDS = attrgetter("role", "content", "tool_calls", "tool_call_id", "name", "weight", "prefix")
_WEIGHTS = (None, 0, 1)


class Format(NamedTuple):
    words: Words
    """With the six frames."""
    system_joins: bool
    """The system prompt stands in the last question (up to v3), not in a message of its own."""


class Plan(NamedTuple):
    """A straight conversation, up to its last trained answer."""

    system: str
    texts: list[str]
    """Question and answer in turn."""
    wanted: list[bool]
    """Of each answer."""


def plan(example: Example) -> Plan | None:
    """The conversation's texts if it is straight and breaks no rule of any format."""
    if example.sample_type is not SampleType.INSTRUCT or example.tools:
        return None
    system = ""
    texts: list[str] = []
    wanted: list[bool] = []
    n_letters = 0
    for role, content, calls, call_id, name, weight, prefix in map(_FIELDS, example.messages):
        if not content or calls or prefix or call_id is not None or name is not None:
            return None
        if not content.isascii() and not _is_unicode(content):
            return None
        n_letters += len(content)
        if role is _SYSTEM and not (texts or system):
            system = content
            continue
        if role is not (_ASSISTANT if len(texts) % 2 else _USER) or weight not in _WEIGHTS:
            return None
        if role is _ASSISTANT:
            wanted.append(weight != 0)
        texts.append(content)
    if not texts or len(texts) % 2 or n_letters > LONGEST:
        return None
    while wanted and not wanted[-1]:
        wanted.pop()
    return Plan(system, texts[: 2 * len(wanted)], wanted)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_all(plans: Sequence[Plan], format: Format) -> list[list[Rendered]]:
    """The samples of each conversation, as `turns.samples` makes them.

    Raises:
        ValueError: the tokenizer gives up on one of the texts.
    """
    found: list[list[Rendered]] = []
    pieces: list[list[str | int]] = []
    due: list[tuple[list[Rendered], list[bool]]] = []
    for system, texts, wanted in plans:
        samples: list[Rendered] = []
        found.append(samples)
        if system and format.system_joins:
            # Each answer is asked for with the system prompt in its own question.
            last = [at for at in reversed(range(len(wanted))) if wanted[at]]
            pieces += [_joined(system, texts[: 2 * at + 2]) for at in last]
            due += [(samples, [*[False] * at, True]) for at in last]
        elif texts:
            pieces.append(_pieces(system, texts))
            due.append((samples, wanted))
    for written, (samples, trained) in zip(format.words.write(pieces), due, strict=True):
        samples.append(_rendered(written, trained))
    return found


def _joined(system: str, texts: list[str]) -> list[str | int]:
    asked, answer = texts[-2:]
    return _pieces("", [*texts[:-2], f"{system}{JOIN}{asked}", answer])


def _pieces(system: str, texts: list[str]) -> list[str | int]:
    pieces: list[str | int] = [START_SYSTEM, system, AFTER_SYSTEM] if system else [START]
    for at in range(0, len(texts), 2):
        if at:
            pieces.append(QUESTION)
        pieces += (texts[at], ANSWER, texts[at + 1].rstrip(" "), END)
    return pieces


def _rendered(written: Written, trained: list[bool]) -> Rendered:
    """An answer is trained from behind its opening frame to the end of its closing one."""
    ids, ends = written
    # Frames stand as they were put: one or two that open, then three for each answer.
    opened = len(ends) - 3 * len(trained) + 1
    spans = [
        Span(ends[opened + 3 * at], ends[opened + 3 * at + 1])
        for at, is_trained in enumerate(trained)
        if is_trained
    ]
    return Rendered.of_spans(ids, spans)
