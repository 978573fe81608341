"""One request to the engine, and what comes back: frozen values that cross the process boundary.

Every `Generate` ends in exactly one `Finished` or `Failed`, after one `PromptLogprobs` where it
asked for them and any number of `Tokens`; every `Score` ends in one `Scored` or `Failed`, every
`Embed` in one `Embedded` or `Failed`. Nothing here imports torch, so any process may speak of
requests without being able to serve them.

Stop tokens are never part of `Tokens`; `Finished.n_generated` counts them. All log-probabilities
are natural logarithms of what the model itself gives each token of the vocabulary: temperature,
cuts, penalties, biases and grammars change what is drawn, never what is reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from modiste.errors import Busy, InvalidInput, ModisteError, Unavailable
from modiste.types import Upstream

SEED_LIMIT = 2**64
TOKEN_LIMIT = 2**31
MOST_ALTERNATIVES = 20


class FinishReason(StrEnum):
    STOP = "stop"
    """A stop token was drawn, or the grammar is complete."""
    LENGTH = "length"
    """`max_tokens` or the end of the context was reached."""
    CANCELLED = "cancelled"


class FailureCode(StrEnum):
    BUSY = "busy"
    """No place in the queue; `retry_after_s` says when one is expected."""
    RESTARTING = "engine_restarting"
    """The engine is draining, gone, or not there yet."""
    TOO_LONG = "context_length_exceeded"
    INVALID = "invalid_request"
    BASE = "base_unusable"
    ADAPTER = "adapter_unusable"
    INTERNAL = "engine_error"


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Raises:
        InvalidInput: naming every value out of range.
    """

    temperature: float = 1.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens that holds this much probability."""
    max_tokens: int | None = None
    """None means up to the end of the context."""
    min_tokens: int = 0
    """No token that ends the answer is drawn before there are so many."""
    seed: int | None = None
    """Same seed, same tokens, whatever else is being served. None draws a seed."""
    presence_penalty: float = 0.0
    """Taken from the logit of each token generated at least once."""
    frequency_penalty: float = 0.0
    """Taken from the logit of a token for each time it was generated."""
    repetition_penalty: float = 1.0
    """Logits of tokens that the prompt or the answer has already are divided by it where they are
    above zero, and multiplied elsewhere (arXiv:1909.05858)."""
    top_k: int | None = None
    """Draw from this many of the most likely tokens only."""
    min_p: float = 0.0
    """Draw only from tokens at least this many times as likely as the most likely one."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these tokens before anything is drawn."""
    logprobs: int | None = None
    """Tell each token's log-probability, with this many of the most likely tokens beside it."""

    def __post_init__(self) -> None:
        problems = []
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 10):
            problems.append(f"temperature is {self.temperature}, expected 0 to 10")
        if not 0 <= self.top_p <= 1:
            problems.append(f"top_p is {self.top_p}, expected 0 to 1")
        if self.max_tokens is not None and not (_whole(self.max_tokens) and self.max_tokens >= 0):
            problems.append(f"max_tokens is {self.max_tokens}, expected a whole number, 0 or more")
        if not (_whole(self.min_tokens) and self.min_tokens >= 0):
            problems.append(f"min_tokens is {self.min_tokens}, expected a whole number, 0 or more")
        elif self.max_tokens is not None and self.min_tokens > self.max_tokens:
            problems.append(f"min_tokens is {self.min_tokens}, more than max_tokens")
        if self.seed is not None and not (_whole(self.seed) and 0 <= self.seed < SEED_LIMIT):
            problems.append(f"seed is {self.seed}, expected a whole number, 0 to 2^64 - 1")
        for name in ("presence_penalty", "frequency_penalty"):
            if not -2 <= getattr(self, name) <= 2:
                problems.append(f"{name} is {getattr(self, name)}, expected -2 to 2")
        if not 0 < self.repetition_penalty <= 10:
            problems.append(f"repetition_penalty is {self.repetition_penalty}, expected 0 to 10")
        if self.top_k is not None and not (_whole(self.top_k) and self.top_k >= 1):
            problems.append(f"top_k is {self.top_k}, expected a whole number, 1 or more")
        if not 0 <= self.min_p <= 1:
            problems.append(f"min_p is {self.min_p}, expected 0 to 1")
        for token, bias in self.logit_bias.items():
            if not (_whole(token) and 0 <= token < TOKEN_LIMIT and -100 <= bias <= 100):
                problems.append(f"logit_bias of {token} is {bias}, expected -100 to 100 of a token")
        problems += _wrong_count("logprobs", self.logprobs)
        if problems:
            raise InvalidInput("; ".join(problems))


class GrammarKind(StrEnum):
    JSON_SCHEMA = "json_schema"
    LARK = "lark"
    """llguidance's dialect: `<[5]>` is token 5, `%json {...}` a JSON schema."""
    REGEX = "regex"


@dataclass(frozen=True)
class Grammar:
    """What an answer must match, from its first token to its end.

    An answer that can only end here ends without a stop token. One that is cut by `max_tokens` is
    the beginning of a match.
    """

    kind: GrammarKind
    text: str
    after: int | None = None
    """Nothing is asked of the answer up to and including the first token of this id."""
    schema: str | None = None
    """The same as a JSON schema, where that is all it is: for servers elsewhere, which know no
    grammar of token ids."""
    begun: str = ""
    """What of the answer the prompt has already: the grammar goes on behind it."""


@dataclass(frozen=True)
class Generate:
    """Continue `ids` on the base in folder `base`, through the PEFT adapter in folder `adapter`."""

    id: str
    base: str
    ids: tuple[int, ...]
    adapter: str | None = None
    adapter_version: str | None = None
    """Changes when any byte of the adapter changes; a known folder of a new version is reread."""
    stop_ids: frozenset[int] = frozenset()
    sampling: Sampling = field(default_factory=Sampling)
    grammar: Grammar | None = None
    prompt_logprobs: int | None = None
    """As `Sampling.logprobs`, for each of `ids[1:]` given those before it."""
    owner: str = ""
    """Who asked; the engine shares its time fairly among owners. Opaque."""
    upstream: Upstream | None = None
    """The server that computes it. None: the engine of this machine, which never sees this."""

    def __post_init__(self) -> None:
        _check_ids(self.ids)
        if problems := _wrong_count("prompt_logprobs", self.prompt_logprobs):
            raise InvalidInput(problems[0], param="prompt_logprobs")
        if self.grammar is not None and self.sampling.min_tokens:
            raise InvalidInput(
                "min_tokens is set, and the answer's form decides where it ends; leave one out",
                param="min_tokens",
            )


@dataclass(frozen=True)
class Score:
    """Log-probability of each of `ids[1:]` given the tokens before it (teacher forced)."""

    id: str
    base: str
    ids: tuple[int, ...]
    adapter: str | None = None
    adapter_version: str | None = None
    owner: str = ""

    def __post_init__(self) -> None:
        _check_ids(self.ids)


class Pooling(StrEnum):
    MEAN = "mean"
    LAST = "last"
    HEADS = "heads"
    """As the classifier in the adapter's folder pools; its vector are the probabilities of all its
    labels, those of the first target first."""


@dataclass(frozen=True)
class Embed:
    """One vector for `ids`: the last hidden states of a base, pooled, brought to length 1.

    A base that was made for embeddings pools its own way.
    """

    id: str
    base: str
    ids: tuple[int, ...]
    adapter: str | None = None
    adapter_version: str | None = None
    owner: str = ""
    pooling: Pooling = Pooling.MEAN

    def __post_init__(self) -> None:
        _check_ids(self.ids)


Request = Generate | Score | Embed


class Logprob(NamedTuple):
    """How likely one token was, and which were the most likely at its place."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """Token ids and their log-probabilities, most likely first, ties by id."""


@dataclass(frozen=True)
class PromptLogprobs:
    """One fewer than the prompt has ids: the first follows nothing."""

    id: str
    logprobs: tuple[Logprob, ...]


@dataclass(frozen=True)
class Tokens:
    """New tokens of one request, in order. Never empty, never a stop token."""

    id: str
    ids: tuple[int, ...]
    logprobs: tuple[Logprob, ...] = ()
    """One per token where `Sampling.logprobs` asks for them, else none."""
    fingerprint: str = ""
    """With the first tokens of an answer: names what its bits depend on besides request and model.
    Empty with the others, and where the engine is not ours."""


@dataclass(frozen=True)
class Finished:
    id: str
    reason: FinishReason
    n_generated: int = 0
    """Tokens drawn, a final stop token included."""
    n_cached: int = 0
    """Tokens of the prompt that were not computed again: they were known from earlier requests."""


@dataclass(frozen=True)
class Scored:
    id: str
    logprobs: tuple[float, ...]
    """Natural logarithms; one fewer than the request has ids."""


@dataclass(frozen=True)
class Embedded:
    id: str
    vector: tuple[float, ...]


@dataclass(frozen=True)
class Failed:
    id: str
    code: str
    message: str
    retry_after_s: float | None = None

    def error(self) -> ModisteError:
        """The same failure as an error to raise."""
        if self.code == FailureCode.BUSY:
            return Busy(self.message, retry_after_s=self.retry_after_s)
        if self.code == FailureCode.RESTARTING:
            return Unavailable(self.message, code=self.code, retry_after_s=self.retry_after_s)
        if self.code in (FailureCode.TOO_LONG, FailureCode.INVALID):
            return InvalidInput(self.message, code=self.code)
        return ModisteError(self.message, code=self.code)


Event = PromptLogprobs | Tokens | Finished | Scored | Embedded | Failed


def _whole(value: object) -> bool:
    """Frames may bring any number; a fraction would surface only in the middle of a step."""
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong_count(name: str, value: int | None) -> list[str]:
    if value is None or (_whole(value) and 0 <= value <= MOST_ALTERNATIVES):
        return []
    return [f"{name} is {value}, expected a whole number, 0 to {MOST_ALTERNATIVES}"]


def _check_ids(ids: tuple[int, ...]) -> None:
    if not ids:
        raise InvalidInput("ids is empty; a request needs at least one token", param="ids")
    for worst in (min(ids), max(ids)):
        if not 0 <= worst < TOKEN_LIMIT:
            raise InvalidInput(f"ids holds {worst}, which is no token id", param="ids")
