"""An answer that was accepted: what the engine says, read as text, thoughts and calls, counted.

Nothing ends in silence: a refusal or a dead engine is raised to whoever reads, with what to do.
Closing the stream aborts the sequences in the engine. Same seed, same text: choice 0 runs under the
seed itself, choice i under one derived from it. Usage counts the prompt once and every token that
was generated, those of a stop string included.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple, TypeVar

from modiste.actions.reading import Chat, Drawn, Heard, Reading, drawn, id_seed
from modiste.errors import BadRequest, Busy, InvalidInput, ModisteError, Unavailable
from modiste.prepare.answer import Text, Thought
from modiste.prepare.render import Renderer
from modiste.serve.sequence import (
    Failed,
    FailureCode,
    Finished,
    FinishReason,
    Generate,
    PromptLogprobs,
    Tokens,
)
from modiste.serve.upstream import Engine
from modiste.types import ToolCall

E = TypeVar("E")


@dataclass(frozen=True)
class Delta:
    """A piece of the text of one choice; never a part of a character, never a stop string."""

    index: int
    text: str
    drawn: tuple[Drawn, ...] = ()
    """Where log-probabilities were asked for: the tokens since the last such piece, those of
    thoughts and calls among them."""


@dataclass(frozen=True)
class Thinks:
    """A piece of what one choice thinks before it answers."""

    index: int
    text: str


@dataclass(frozen=True)
class Calls:
    """One choice calls a function: told once, when the call is whole."""

    index: int
    call: ToolCall


@dataclass(frozen=True)
class Ended:
    index: int
    reason: FinishReason
    n_tokens: int
    n_thought: int = 0
    """How many of the tokens were thoughts."""
    n_cached: int = 0
    """How many of the prompt's tokens were not computed for it."""
    called: bool = False
    """It called a function, and was not cut off."""
    fingerprint: str = ""
    """As the engine's `Tokens` tell it."""


@dataclass(frozen=True)
class Prompted:
    """The tokens of the prompt but the first, where their log-probabilities were asked for: told
    once, with choice 0, before any text."""

    drawn: tuple[Drawn, ...]
    index: int = 0


Event = Prompted | Delta | Thinks | Calls | Ended


class Usage(NamedTuple):
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    """How many of `completion_tokens` were thoughts."""
    cached_tokens: int = 0
    """How many of `prompt_tokens` were known from earlier requests."""


@dataclass(frozen=True)
class Choice:
    index: int
    text: str
    reason: FinishReason
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    called: bool = False
    drawn: tuple[Drawn, ...] = ()
    prompted: tuple[Drawn, ...] = ()
    """Of the prompt; of the first choice only."""


class Completion(NamedTuple):
    choices: tuple[Choice, ...]
    usage: Usage
    fingerprint: str = ""


class Answer:
    """`n` continuations of one prompt. Read it once: `events()` or `whole()`."""

    def __init__(
        self,
        prompt: Generate,
        *,
        engine: Engine,
        renderer: Renderer,
        n: int = 1,
        stop: Sequence[str] = (),
        opening: str = "",
        continuing: bool = False,
        chat: Chat | None = None,
    ) -> None:
        """
        Args:
            opening: text of the prompt that every choice shows first.
            continuing: the answer goes on within a text, so a space at its start belongs to it.
            chat: thoughts and calls are told from text; without, everything is text.
        """
        self._prompt = prompt
        self._engine = engine
        self._renderer = renderer
        self._n = n
        self._stop = stop
        self._opening = opening
        self._continuing = continuing
        self._chat = chat

    async def events(self) -> AsyncGenerator[Event | Usage]:
        """Deltas of all choices as they come, one Ended per choice, then the Usage.

        Raises:
            ModisteError: when the engine refuses, fails or goes away.
        """
        n_generated, n_thought, n_cached = 0, 0, len(self._prompt.ids)
        async with aclosing(merged([self._choice(i) for i in range(self._n)])) as events:
            async for event in events:
                if isinstance(event, Ended):
                    n_generated += event.n_tokens
                    n_thought += event.n_thought
                    n_cached = min(n_cached, event.n_cached)
                yield event
        yield Usage(len(self._prompt.ids), n_generated, n_thought, n_cached)

    async def whole(self) -> Completion:
        return await collected(self.events(), n=self._n)

    async def _choice(self, index: int) -> AsyncGenerator[Event]:
        """One sequence in the engine, decoded and cut at its stop strings."""
        sequence = self._sequence(index)
        if sequence.sampling.max_tokens == 0 and sequence.prompt_logprobs is None:
            if self._opening:
                yield Delta(index, self._opening)
            yield Ended(index, FinishReason.LENGTH, 0)
            return
        reading = Reading(
            self._renderer,
            self._chat,
            stop=self._stop,
            continuing=self._continuing,
            id_seed=id_seed(self._prompt.ids, self._prompt.sampling.seed, index),
        )
        fingerprint = ""
        shown = False  # The opening waits for the engine: a refusal comes before any text.
        async with aclosing(told(self._engine, sequence)) as events:
            async for event in events:
                match event:
                    case PromptLogprobs(logprobs=logprobs):
                        pairs = zip(sequence.ids[1:], logprobs, strict=True)
                        yield Prompted(tuple(drawn(self._renderer, *pair) for pair in pairs), index)
                    case Tokens(ids=ids, logprobs=logprobs):
                        fingerprint = fingerprint or event.fingerprint
                        for token, logprob in zip_longest(ids, logprobs):
                            heard = reading.push(token, logprob)
                            for each in _events(index, self._opened(shown, heard)):
                                shown = True
                                yield each
                            if reading.ended:
                                yield _ended(index, reading, None, fingerprint)
                                return
                    case Finished():
                        for each in _events(index, self._opened(shown, reading.flush(), last=True)):
                            yield each
                        yield _ended(index, reading, event, fingerprint)

    def _opened(self, shown: bool, heard: Heard, *, last: bool = False) -> Heard:
        """What is told, behind the opening where that is still to be shown."""
        said = heard.said
        if shown or not self._opening or not (said or last):
            return heard
        if said and isinstance(said[0], Text):
            said = [Text(self._opening + said[0].text), *said[1:]]
        else:
            said = [Text(self._opening), *said]
        return heard._replace(said=said)

    def _sequence(self, index: int) -> Generate:
        sampling = self._prompt.sampling
        return replace(
            self._prompt,
            id=f"{self._prompt.id}-{index}",
            prompt_logprobs=None if index else self._prompt.prompt_logprobs,
            sampling=replace(sampling, seed=seed_of_choice(sampling.seed, index)),
        )


def _events(index: int, heard: Heard) -> Iterator[Event]:
    """The tokens go with the last text, or on their own where nothing can be shown of them."""
    owed = tuple(heard.drawn)
    for at, said in enumerate(heard.said, start=1):
        match said:
            case Text(text):
                last = at == len(heard.said)
                yield Delta(index, text, owed if last else ())
                owed = () if last else owed
            case Thought(text):
                yield Thinks(index, text)
            case ToolCall():
                yield Calls(index, said)
    if owed:
        yield Delta(index, "", owed)


def _ended(index: int, reading: Reading, finished: Finished | None, fingerprint: str) -> Ended:
    """`finished` is None where the answer ends before the sequence does."""
    reason = FinishReason.STOP if reading.ended or finished is None else finished.reason
    return Ended(
        index,
        reason,
        reading.n_tokens if finished is None else finished.n_generated,
        reading.n_thought,
        0 if finished is None else finished.n_cached,
        called=reading.called and reason is FinishReason.STOP,
        fingerprint=fingerprint,
    )


def _choice(index: int, told: list[Event]) -> Choice:
    ended = next(event for event in told if isinstance(event, Ended))
    return Choice(
        index,
        "".join(event.text for event in told if isinstance(event, Delta)),
        ended.reason,
        "".join(event.text for event in told if isinstance(event, Thinks)),
        tuple(event.call for event in told if isinstance(event, Calls)),
        ended.called,
        tuple(each for event in told if isinstance(event, Delta) for each in event.drawn),
        tuple(each for event in told if isinstance(event, Prompted) for each in event.drawn),
    )


def seed_of_choice(seed: int | None, index: int) -> int | None:
    if seed is None or index == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 2


def refusal(failed: Failed) -> ModisteError:
    """What the engine could not do, as the error its caller receives."""
    kinds: dict[str, type[ModisteError]] = {
        FailureCode.BUSY: Busy,
        FailureCode.TOO_LONG: BadRequest,
        FailureCode.INVALID: InvalidInput,
    }
    kind = kinds.get(failed.code, Unavailable)
    code = "rate_limited" if kind is Busy else failed.code
    return kind(failed.message, code=code, retry_after_s=failed.retry_after_s)


async def told(
    engine: Engine, request: Generate
) -> AsyncGenerator[PromptLogprobs | Tokens | Finished]:
    """What the engine says of one sequence, to its end.

    Raises:
        ModisteError: when it refuses, fails, goes away or stops before the end.
    """
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            match event:
                case Failed():
                    raise refusal(event)
                case Finished(reason=FinishReason.CANCELLED):
                    raise Unavailable(
                        "the engine stopped this completion before it was done; send it again",
                        retry_after_s=1.0,
                    )
                case Finished():
                    yield event
                    return
                case PromptLogprobs() | Tokens():
                    yield event
    raise Unavailable("the engine ended the stream without a word; send the request again")


async def collected(events: AsyncGenerator[Event | Usage], *, n: int) -> Completion:
    """All choices in whole, once the last has ended."""
    told: list[list[Event]] = [[] for _ in range(n)]
    usage = Usage(0, 0)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Usage):
                usage = event
            else:
                told[event.index].append(event)
    ended = (event for of_one in told for event in of_one if isinstance(event, Ended))
    fingerprint = next((event.fingerprint for event in ended if event.fingerprint), "")
    choices = tuple(_choice(i, of_one) for i, of_one in enumerate(told))
    return Completion(choices, usage, fingerprint)


async def merged(
    parts: Sequence[AsyncGenerator[E]], *, at_once: int | None = None
) -> AsyncGenerator[E]:
    """Events of all parts in the order they happen; the first failure ends them all.

    `at_once` parts run at the same time, the next when one has ended. The queue has no bound: a
    part can tell no more than its contexts hold.
    """
    if len(parts) == 1:  # Most answers: every event is spared a task and a queue.
        async with aclosing(parts[0]) as events:
            async for event in events:
                yield event
        return
    queue: asyncio.Queue[E | asyncio.Task[None]] = asyncio.Queue()
    places = asyncio.Semaphore(at_once or max(1, len(parts)))
    tasks = [asyncio.create_task(_pump(part, queue, places)) for part in parts]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    running = len(tasks)
    try:
        while running:
            told = await queue.get()
            if isinstance(told, asyncio.Task):
                told.result()  # Raises what ended the part early.
                running -= 1
            else:
                yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    part: AsyncGenerator[E], queue: asyncio.Queue[E | asyncio.Task[None]], places: asyncio.Semaphore
) -> None:
    async with places, aclosing(part) as events:
        async for event in events:
            queue.put_nowait(event)
