"""Plain conversations of many rows, tokenised together and written in one go.

A conversation is straight when its format writes it message after message and moves nothing: no
tools, no tool calls, questions and answers in turn. Its ids and mask are then those of
`turns.samples`, without writing every prompt anew to see where it ends. Whatever is not straight
(`plan` answers None) takes the long way; tests hold both ways to the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from modiste.prepare.turns import Rendered
from modiste.prepare.words import LONGEST_TEXT, Words
from modiste.types import Example, Message, Role, SampleType

JOIN = "\n\n"


@dataclass(frozen=True)
class Frames:
    """What stands around the text of each message; all are control tokens or settings."""

    start: list[int]
    first_user: list[int]
    user: list[int]
    assistant: list[int]
    """After a question, where the answer starts."""
    end: list[int]
    """After an answer."""
    system: tuple[list[int], list[int]] | None
    """Around the system prompt; None where it joins the last question (up to v3)."""


class Turn(NamedTuple):
    question: str
    answer: str
    wanted: bool


class Plan(NamedTuple):
    """A straight conversation, up to its last trained turn."""

    system: str
    turns: list[Turn]


def plan(example: Example) -> Plan | None:
    """The conversation's texts if it is straight and breaks no rule of any format."""
    messages = example.messages
    if example.sample_type is not SampleType.INSTRUCT or example.tools or len(messages) < 2:
        return None
    first = 1 if messages[0].role is Role.SYSTEM else 0
    if (len(messages) - first) % 2 or (first and not _is_text(messages[0])):
        return None
    turns: list[Turn] = []
    n_wanted = 0
    for at in range(first, len(messages), 2):
        question, answer = messages[at], messages[at + 1]
        if question.role is not Role.USER or answer.role is not Role.ASSISTANT:
            return None
        if not (_is_text(question) and _is_text(answer)) or answer.weight not in (None, 0, 1):
            return None
        turns.append(Turn(question.content or "", answer.content or "", answer.weight != 0))
        n_wanted = len(turns) if answer.weight != 0 else n_wanted
    return Plan(messages[0].content or "" if first else "", turns[:n_wanted])


def _is_text(message: Message) -> bool:
    """Text alone, that every tokenizer can read, and not more than is quickly encoded."""
    content = message.content
    return (
        content is not None
        and 0 < len(content) <= LONGEST_TEXT
        and (content.isascii() or _is_unicode(content))
        and not message.tool_calls
        and not message.prefix
        and message.name is None
        and message.tool_call_id is None
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_all(plans: Sequence[Plan], frames: Frames, words: Words) -> list[list[Rendered]]:
    """The samples of each conversation, as `turns.samples` makes them."""
    texts = [_texts(planned, frames) for planned in plans]
    ids = iter(words.encode_all(list(chain.from_iterable(texts))))
    return [
        _samples(planned, list(islice(ids, len(its_texts))), frames)
        for planned, its_texts in zip(plans, texts, strict=True)
    ]


def _texts(planned: Plan, frames: Frames) -> list[str]:
    """Question, answer, question, answer …, then the system prompt wherever it stands."""
    texts: list[str] = []
    for turn in planned.turns:
        texts += (turn.question, turn.answer.rstrip(" "))
    if planned.system and frames.system:
        texts.append(planned.system)
    elif planned.system:
        wanted = [turn for turn in planned.turns if turn.wanted]
        texts += [f"{planned.system}{JOIN}{turn.question}" for turn in wanted]
    return texts


def _samples(planned: Plan, ids: list[list[int]], frames: Frames) -> list[Rendered]:
    turns = planned.turns
    if not turns:
        return []
    wanted = [turn.wanted for turn in turns]
    if not planned.system:
        return [_write(ids, wanted, frames, frames.start)]
    if frames.system:
        before, after = frames.system
        return [_write(ids, wanted, frames, [*frames.start, *before, *ids[-1], *after])]
    # Each turn is asked for with the system prompt in its own question: a sample for each.
    samples = []
    joined = ids[2 * len(turns) :]
    for at in reversed(range(len(turns))):
        if wanted[at]:
            shown = [*ids[: 2 * at], joined.pop(), ids[2 * at + 1]]
            samples.append(_write(shown, [*[False] * at, True], frames, frames.start))
    return samples


def _write(
    texts: list[list[int]], trained: list[bool], frames: Frames, opening: list[int]
) -> Rendered:
    ids, mask = [*opening], [False] * len(opening)
    asked_by = frames.first_user
    for at, is_trained in enumerate(trained):
        ids += asked_by
        ids += texts[2 * at]
        ids += frames.assistant
        mask += [False] * (len(ids) - len(mask))
        ids += texts[2 * at + 1]
        ids += frames.end
        mask += [is_trained] * (len(ids) - len(mask))
        asked_by = frames.user
    return Rendered(ids, mask)
