"""What is asked, what came back, and what a scorer makes of it: the nouns of an evaluation.

A failure is never a zero: a `Score` has a value only where its status is `scored`. One `Sample` is
one attempt at one item by one model, with everything that a later scorer, a report or a person
needs to judge it anew; samples are kept as JSON lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from modiste.types import Message, ToolCall


@dataclass(frozen=True)
class Item:
    """One row of a dataset, ready to be asked."""

    key: str
    """Pairs the same item between runs: the row's own id, or a hash of its content."""
    row: Mapping[str, Any]
    """As it is in the file."""
    reference: Any = None
    """What a right answer is, in whatever form the scorers expect; None where nothing is."""
    cluster: str | None = None
    """Items that share a source are not independent; intervals count clusters then."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """Parts of the dataset that a report shows apart: `{"topic": "law"}`."""
    arranged: Mapping[str, Any] = field(default_factory=dict)
    """What scorers added to the names that templates see, for this attempt alone: choices in the
    order they were shown in. JSON."""


class Status(StrEnum):
    SCORED = "scored"
    PARSE_FAILED = "parse_failed"
    """Whoever graded said nothing that can be read."""
    REFUSED = "refused"
    """Whoever graded would not."""
    ERROR = "error"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"
    """There was nothing to grade, and the reason says so."""


@dataclass(frozen=True)
class Score:
    """What one scorer says of one sample."""

    status: Status
    value: float | None = None
    """Higher is better unless the scorer says otherwise; None unless scored."""
    label: str | None = None
    """What was read from the answer: a class, a letter, a verdict."""
    reason: str = ""
    """For people: why this value, or why none."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What a report shows on demand: both orders of a judge, claims, what SQL returned. JSON."""

    def __post_init__(self) -> None:
        if (self.value is not None) != (self.status is Status.SCORED):
            raise ValueError(f"status is {self.status} and value {self.value}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"the score is {self.value}, which is no figure")


def scored(
    value: float | bool, *, label: str | None = None, reason: str = "", **detail: Any
) -> Score:
    return Score(Status.SCORED, float(value), label, reason, detail)


def unscored(status: Status, reason: str, **detail: Any) -> Score:
    return Score(status, None, None, reason, detail)


class TokenLogprob(NamedTuple):
    """One generated token, with the most likely ones in its place."""

    text: str
    logprob: float
    """Natural logarithm."""
    top: tuple[tuple[str, float], ...] = ()


class Likelihood(NamedTuple):
    """How likely one continuation of a text is."""

    logprob: float
    """Sum over its tokens, natural logarithm."""
    n_tokens: int
    greedy: bool
    """Every token of it is the most likely one."""


@dataclass(frozen=True)
class Failure:
    """Why there is no answer."""

    code: str
    """Of the error tree, or `timeout`."""
    message: str


@dataclass(frozen=True)
class Told:
    """How likely a model finds what one scorer asked about; or why it does not tell."""

    likelihoods: tuple[Likelihood, ...] = ()
    failure: Failure | None = None


class Exchange(NamedTuple):
    """One question of a conversation, and what the model under test answered."""

    question: str
    answer: str


@dataclass(frozen=True)
class Answer:
    """What a model said, and what it took; or why it said nothing."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    """`stop`, `length`, `tool_calls`."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float = 0.0
    """0.0: nobody measured it, as in an imported run, nor counted its tokens."""
    ttft_s: float | None = None
    """Time to the first token; None where the answer came in one piece."""
    cost_micro: int | None = None
    """Micro-units of the server's currency; None where no price is known."""
    logprobs: tuple[TokenLogprob, ...] = ()
    told: Mapping[str, Told] = field(default_factory=dict)
    """By scorer: likelihoods it asked for."""
    failure: Failure | None = None
    earlier: tuple[Exchange, ...] = ()
    """Its own answers before this one, where a suite lets it answer several times; tokens, seconds
    and cost are of all of them then."""
    reused: bool = False
    """A judge's reply to the same prompt, given in an earlier run; nothing was asked."""

    @property
    def n_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Prompt:
    """One request to a model."""

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    """The answer is JSON that follows it, enforced while it is written where the model is ours."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Function definitions as OpenAI's chat API takes them."""
    top_logprobs: int | None = None
    """Tell each token's log-probability, and so many alternatives."""
    stream: bool = False
    """Measure the time to the first token."""
    policies: tuple[str, ...] | None = None
    """Those that hold in place of the attached ones; None leaves it at these."""
    reuse: bool = False
    """What was replied to the same prompt before will do; of judges, never of models under test."""


class Models(Protocol):
    """How evaluations reach models: every prompt goes where a user's would.

    A model that does not answer is a `Failure` in the answer of `chat`; the two others raise
    ModisteError.
    """

    async def chat(self, model: str, prompt: Prompt) -> Answer: ...

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        """Of each continuation behind the plain `text`; with an empty `text`, of whole texts."""
        ...

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]: ...


@dataclass(frozen=True)
class Sample:
    """One attempt at one item, and what every scorer says of it."""

    item: Item
    attempt: int
    prompt: tuple[Message, ...]
    answer: Answer
    scores: Mapping[str, Score] = field(default_factory=dict)
    """By the scorer's name in the suite."""


SAMPLES: TypeAdapter[Sample] = TypeAdapter(Sample)


def line_of(sample: Sample) -> bytes:
    """The sample as one line of JSON, whatever models and scorers put into it.

    Half a character (a lone surrogate, as JSON that a model wrote may spell one) becomes U+FFFD,
    and what is no JSON in a scorer's `detail` its text.
    """
    try:
        return SAMPLES.dump_json(sample)
    except PydanticSerializationError:
        return SAMPLES.dump_json(SAMPLES.validate_python(_writable(SAMPLES.dump_python(sample))))


def _writable(value: Any) -> Any:
    match value:
        case str():
            return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
        case Mapping():
            return {_writable(str(name)): _writable(each) for name, each in value.items()}
        case list() | tuple():
            return [_writable(each) for each in value]
        case None | bool() | int() | float():
            return value
    return _writable(str(value))
