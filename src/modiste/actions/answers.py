"""An answer that was accepted: what the engine says, decoded, cut at its stop strings, counted.

Nothing ends in silence: a refusal or a dead engine is raised to whoever reads, with what to do.
Closing the stream aborts the sequences in the engine. Same seed, same text: choice 0 runs under the
seed itself, choice i under one derived from it. Usage counts the prompt once and every token that
was generated, those of a stop string included.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from modiste.actions.stop_strings import StopStrings
from modiste.errors import BadRequest, Busy, ModisteError, Unavailable
from modiste.prepare.render import Renderer
from modiste.serve.sequence import Failed, Finished, FinishReason, Generate, PromptLogprobs, Tokens
from modiste.serve.stream import EngineStream

E = TypeVar("E")


@dataclass(frozen=True)
class Delta:
    """A piece of the text of one choice; never a part of a character, never a stop string."""

    index: int
    text: str


@dataclass(frozen=True)
class Ended:
    index: int
    reason: FinishReason
    n_tokens: int


class Usage(NamedTuple):
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Choice:
    index: int
    text: str
    reason: FinishReason


class Completion(NamedTuple):
    choices: tuple[Choice, ...]
    usage: Usage


class Answer:
    """`n` continuations of one prompt. Read it once: `events()` or `whole()`."""

    def __init__(
        self,
        prompt: Generate,
        *,
        engine: EngineStream,
        renderer: Renderer,
        n: int = 1,
        stop: Sequence[str] = (),
        opening: str = "",
        continuing: bool = False,
    ) -> None:
        """
        Args:
            opening: text of the prompt that every choice shows first.
            continuing: the answer goes on within a text, so a space at its start belongs to it.
        """
        self._prompt = prompt
        self._engine = engine
        self._renderer = renderer
        self._n = n
        self._stop = stop
        self._opening = opening
        self._continuing = continuing

    async def events(self) -> AsyncGenerator[Delta | Ended | Usage]:
        """Deltas of all choices as they come, one Ended per choice, then the Usage.

        Raises:
            ModisteError: when the engine refuses, fails or goes away.
        """
        n_generated = 0
        async with aclosing(merged([self._choice(i) for i in range(self._n)])) as events:
            async for event in events:
                if isinstance(event, Ended):
                    n_generated += event.n_tokens
                yield event
        yield Usage(len(self._prompt.ids), n_generated)

    async def whole(self) -> Completion:
        return await collected(self.events(), n=self._n)

    async def _choice(self, index: int) -> AsyncGenerator[Delta | Ended]:
        """One sequence in the engine, decoded and cut at its stop strings."""
        if self._prompt.sampling.max_tokens == 0:
            if self._opening:
                yield Delta(index, self._opening)
            yield Ended(index, FinishReason.LENGTH, 0)
            return
        shown = self._opening  # Held until the engine speaks: a refusal comes before any text.
        decoder = self._renderer.stream_decoder(continuing=self._continuing)
        stops, n_tokens = StopStrings(self._stop), 0
        async with aclosing(self._engine.generate(self._sequence(index))) as told:
            async for event in told:
                match event:
                    case Tokens(ids=ids):
                        for token in ids:
                            n_tokens += 1
                            text, stopped = stops.push(decoder.push([token]))
                            if shown + text:
                                yield Delta(index, shown + text)
                                shown = ""
                            if stopped:
                                yield Ended(index, FinishReason.STOP, n_tokens)
                                return
                    case Finished(reason=FinishReason.CANCELLED):
                        raise Unavailable(
                            "the engine stopped this completion before it was done; send it again",
                            retry_after_s=1.0,
                        )
                    case Finished(reason=reason, n_generated=n_generated):
                        text, stopped = stops.push(decoder.flush())
                        text += "" if stopped else stops.flush()
                        if shown + text:
                            yield Delta(index, shown + text)
                        yield Ended(index, FinishReason.STOP if stopped else reason, n_generated)
                        return
                    case Failed():
                        raise refusal(event)
        raise Unavailable("the engine ended the stream without a word; send the request again")

    def _sequence(self, index: int) -> Generate:
        sampling = self._prompt.sampling
        return replace(
            self._prompt,
            id=f"{self._prompt.id}-{index}",
            sampling=replace(sampling, seed=seed_of_choice(sampling.seed, index)),
        )


def seed_of_choice(seed: int | None, index: int) -> int | None:
    if seed is None or index == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 2


def refusal(failed: Failed) -> ModisteError:
    """What the engine could not do, as the error its caller receives."""
    kind: type[ModisteError] = {"busy": Busy, "context_length_exceeded": BadRequest}.get(
        failed.code, Unavailable
    )
    code = "rate_limited" if kind is Busy else failed.code
    return kind(failed.message, code=code, retry_after_s=failed.retry_after_s)


async def told(
    engine: EngineStream, request: Generate
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


async def collected(events: AsyncGenerator[Delta | Ended | Usage], *, n: int) -> Completion:
    """All choices in whole, once the last has ended."""
    texts = [""] * n
    reasons = [FinishReason.STOP] * n
    usage = Usage(0, 0)
    async with aclosing(events):
        async for event in events:
            match event:
                case Delta(index, text):
                    texts[index] += text
                case Ended(index, reason, _):
                    reasons[index] = reason
                case Usage():
                    usage = event
    choices = [
        Choice(i, text, reason) for i, (text, reason) in enumerate(zip(texts, reasons, strict=True))
    ]
    return Completion(tuple(choices), usage)


async def merged(
    parts: Sequence[AsyncGenerator[E]], *, at_once: int | None = None
) -> AsyncGenerator[E]:
    """Events of all parts in the order they happen; the first failure ends them all.

    `at_once` parts run at the same time, the next when one has ended. The queue has no bound: a
    part can tell no more than its contexts hold.
    """
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
