"""One question to a judge: what it said, what that took, or why there is no verdict.

A reply that cannot be read is shown to the judge once more, with what is wrong with it; after that
it is `parse_failed`. Nothing here ever turns a failure into a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from modiste.evaluate.items import Answer, Models, Prompt, Score, Status, unscored
from modiste.evaluate.judges.kept import KeptReplies
from modiste.evaluate.judges.reading import Read, Unreadable, is_refusal
from modiste.types import Message, Role

T = TypeVar("T")
SHOWN = 300
"""Characters of an unreadable reply that a reason repeats."""


@dataclass(frozen=True)
class Usage:
    """What asking took."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float = 0.0
    """Sum over the calls."""
    cost_micro: int | None = 0
    """None where a call has no known price."""
    reused: int = 0
    """Replies of earlier runs, which took nothing and are no calls."""

    def __add__(self, other: Usage) -> Usage:
        unknown = self.cost_micro is None or other.cost_micro is None
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.latency_s + other.latency_s,
            None if unknown else (self.cost_micro or 0) + (other.cost_micro or 0),
            self.reused + other.reused,
        )

    @classmethod
    def of(cls, answer: Answer) -> Usage:
        if answer.reused:
            return cls(reused=1)
        return cls(
            1,
            answer.prompt_tokens,
            answer.completion_tokens,
            answer.latency_s,
            answer.cost_micro,
        )

    def told(self) -> dict[str, Any]:
        """As a score's detail keeps it."""
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "latency_s": round(self.latency_s, 4),
            "cost_micro": self.cost_micro,
            "reused": self.reused,
        }


NOTHING = Usage()


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What came of one question. `value` is there exactly where the status is `scored`."""

    status: Status
    value: T | None
    reason: str
    usage: Usage
    answer: Answer
    """The last one."""

    def no_score(self, asked: str) -> Score:
        """A score that says why there is none.

        Args:
            asked: what the judge was asked to do.
        """
        return unscored(self.status, f"{asked}: {self.reason}", usage=self.usage.told())


async def ask(models: Models, model: str, prompt: Prompt, read: Read[T]) -> Reply[T]:
    """Ask, read, and once more where it cannot be read."""
    first = await _asked(models, model, prompt, read)
    if first.status is not Status.PARSE_FAILED:
        return first
    answer = first.answer
    again = (
        *prompt.messages,
        Message(Role.ASSISTANT, answer.text or "(nothing)"),
        Message(
            Role.USER,
            f"This reply cannot be read: {first.reason}. Give your verdict again, complete and in "
            "the form that was asked for, and nothing else.",
        ),
    )
    second = await _asked(models, model, replace(prompt, messages=again), read)
    return replace(second, usage=first.usage + second.usage)


async def _asked(models: Models, model: str, prompt: Prompt, read: Read[T]) -> Reply[T]:
    """Once; what could be read is kept where replies are."""
    answer = await models.chat(model, prompt)
    reply = _outcome(answer, prompt, read, Usage.of(answer))
    if isinstance(models, KeptReplies) and reply.status is Status.SCORED:
        await models.keep(model, prompt, answer)
    return reply


def _outcome(answer: Answer, prompt: Prompt, read: Read[T], usage: Usage) -> Reply[T]:
    if answer.failure is not None:
        late = answer.failure.code == "timeout"
        status = Status.TIMEOUT if late else Status.ERROR
        return Reply(status, None, answer.failure.message, usage, answer)
    try:
        return Reply(Status.SCORED, read(answer.text), "", usage, answer)
    except Unreadable as error:
        if is_refusal(answer.text):
            return Reply(Status.REFUSED, None, f"it refuses: {_shown(answer)}", usage, answer)
        why = str(error)
        if answer.finish == "length":
            why = f"{why} (it was cut off at max_tokens = {prompt.max_tokens})"
        return Reply(Status.PARSE_FAILED, None, f"{why}; it said: {_shown(answer)}", usage, answer)


def _shown(answer: Answer) -> str:
    text = " ".join(answer.text.split())
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + " …")
