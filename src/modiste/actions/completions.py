"""Completions: the one place where a prompt meets a model.

`begin` decides everything that can be refused (permission, model, prompt, length) before the
first token; the `Answer` it returns streams what the engine says. Nothing ends in silence: a
refusal or a dead engine is raised to whoever reads, with what to do. Closing the stream aborts
the sequences in the engine.

Same seed, same text: choice 0 runs under the seed itself, choice i under one derived from it.
Usage counts the prompt once and every token that was generated, those of a stop string included.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from modiste.actions import models, weights
from modiste.actions.keys import require
from modiste.actions.stop_strings import StopStrings
from modiste.actions.weights import Weights
from modiste.errors import BadRequest, Busy, ModisteError, Unavailable
from modiste.nn import servable
from modiste.prepare import render
from modiste.serve.sequence import Failed, Finished, FinishReason, Generate, Sampling, Tokens
from modiste.serve.stream import EngineStream
from modiste.store.database import Database
from modiste.types import Actor, Message, Model, Scope

DEFAULT_TEMPERATURE = 0.7
"""What an absent `temperature` means; every model card says so."""
MAX_CHOICES = 16


@dataclass(frozen=True)
class Ask:
    """One request for `n` continuations of a conversation, in our own words."""

    model: str
    messages: tuple[Message, ...]
    temperature: float = DEFAULT_TEMPERATURE
    top_p: float = 1.0
    max_tokens: int | None = None
    """None: as many as the context has room for."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    safe_prompt: bool = False


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


@dataclass(frozen=True)
class Serving:
    """What completions need of the process they run in."""

    database: Database
    engine: EngineStream
    renderers: Renderers


class Renderers:
    """One renderer per base folder, loaded on first use and kept."""

    def __init__(self) -> None:
        self._loaded: dict[Path, render.Renderer] = {}
        self._lock = asyncio.Lock()

    async def get(self, base: Path) -> render.Renderer:
        if base not in self._loaded:
            async with self._lock:
                if base not in self._loaded:
                    self._loaded[base] = await asyncio.to_thread(render.load, base)
        return self._loaded[base]


class Answer:
    """A completion that was accepted. Read it once: `events()` or `whole()`."""

    def __init__(
        self, ask: Ask, *, engine: EngineStream, renderer: render.Renderer, prompt: Generate
    ) -> None:
        self._ask = ask
        self._engine = engine
        self._renderer = renderer
        self._prompt = prompt

    async def events(self) -> AsyncGenerator[Delta | Ended | Usage]:
        """Deltas of all choices as they come, one Ended per choice, then the Usage.

        Raises:
            ModisteError: when the engine refuses, fails or goes away.
        """
        n_generated = 0
        async with aclosing(_merge([self._choice(i) for i in range(self._ask.n)])) as merged:
            async for event in merged:
                if isinstance(event, Ended):
                    n_generated += event.n_tokens
                yield event
        yield Usage(len(self._prompt.ids), n_generated)

    async def whole(self) -> Completion:
        texts = [""] * self._ask.n
        reasons = [FinishReason.STOP] * self._ask.n
        usage = Usage(len(self._prompt.ids), 0)
        async with aclosing(self.events()) as events:
            async for event in events:
                match event:
                    case Delta(index, text):
                        texts[index] += text
                    case Ended(index, reason, _):
                        reasons[index] = reason
                    case Usage():
                        usage = event
        choices = [
            Choice(i, text, reason)
            for i, (text, reason) in enumerate(zip(texts, reasons, strict=True))
        ]
        return Completion(tuple(choices), usage)

    async def _choice(self, index: int) -> AsyncGenerator[Delta | Ended]:
        """One sequence in the engine, decoded and cut at its stop strings."""
        if self._prompt.sampling.max_tokens == 0:
            if self._echo():
                yield Delta(index, self._echo())
            yield Ended(index, FinishReason.LENGTH, 0)
            return
        shown = self._echo()  # Held until the engine speaks: a refusal comes before any text.
        decoder = self._renderer.stream_decoder(continuing=self._ask.messages[-1].prefix)
        stops, n_tokens = StopStrings(self._ask.stop), 0
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
                        raise _refusal(event)
        raise Unavailable("the engine ended the stream without a word; send the request again")

    def _echo(self) -> str:
        """A prefix message opens the answer."""
        last = self._ask.messages[-1]
        return (last.content or "") if last.prefix else ""

    def _sequence(self, index: int) -> Generate:
        sampling = self._prompt.sampling
        return replace(
            self._prompt,
            id=f"{self._prompt.id}-{index}",
            sampling=replace(sampling, seed=_seed_of_choice(sampling.seed, index)),
        )


async def create(serving: Serving, actor: Actor, ask: Ask) -> Completion:
    """Answer at once, in whole."""
    return await (await begin(serving, actor, ask)).whole()


async def begin(serving: Serving, actor: Actor, ask: Ask) -> Answer:
    """Accept or refuse a request.

    Raises:
        Forbidden: the key may not infer.
        NotFound: no such model; the message says what to type.
        BadRequest: the engine cannot compute the model, the messages make no prompt, or the prompt
            leaves no room in the context.
    """
    require(actor, Scope.INFER)
    model = await asyncio.to_thread(_resolve, serving.database, actor, ask.model)
    renderer = await serving.renderers.get(Path(model.path))
    ids = await asyncio.to_thread(
        partial(renderer.prompt, ask.messages, safe_prompt=ask.safe_prompt)
    )
    room = model.max_context_length - len(ids)
    if room < 1:
        raise BadRequest(
            f"the prompt has {len(ids)} tokens and {model.id} reads at most "
            f"{model.max_context_length}, answer included; shorten the messages",
            code="context_length_exceeded",
            param="messages",
        )
    found = await asyncio.to_thread(_weights, serving.database, model)
    prompt = Generate(
        id=uuid4().hex,
        base=str(found.base),
        adapter=None if found.adapter is None else str(found.adapter),
        adapter_version=found.version,
        ids=tuple(ids),
        stop_ids=renderer.stop_ids,
        sampling=Sampling(
            temperature=ask.temperature,
            top_p=ask.top_p,
            max_tokens=room if ask.max_tokens is None else min(ask.max_tokens, room),
            seed=secrets.randbits(62) if ask.seed is None else ask.seed,
            presence_penalty=ask.presence_penalty,
            frequency_penalty=ask.frequency_penalty,
        ),
    )
    return Answer(ask, engine=serving.engine, renderer=renderer, prompt=prompt)


def _resolve(database: Database, actor: Actor, name: str) -> Model:
    with database.transaction(write=False) as tx:
        model = models.resolve(tx, actor, name)
    if model.parity is not None and not model.parity.served:
        reason = "its certificate says that the built-in engine cannot compute it"
    else:
        config = Path(model.path) / "config.json"
        changed = config.stat().st_mtime_ns if config.is_file() else 0
        reason = _why_not_served(model.path, changed) or ""
    if reason:
        raise BadRequest(
            f"{model.id} is not served here: {reason}. "
            f"`modiste models export {model.id} --form merged -o DIR` makes a folder for another "
            "server, such as vLLM.",
            code="model_not_served",
            param="model",
        )
    return model


@lru_cache(maxsize=64)
def _why_not_served(path: str, changed: int) -> str | None:
    """`changed` makes a base that was replaced count anew."""
    return servable.why_not(Path(path))


def _weights(database: Database, model: Model) -> Weights:
    cache = database.settings.cache_dir
    return weights.folders(database.blobs, cache, base=Path(model.path), made=model.adapter)


def _seed_of_choice(seed: int | None, index: int) -> int | None:
    if seed is None or index == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 2


def _refusal(failed: Failed) -> ModisteError:
    """What the engine could not do, as the error its caller receives."""
    kind: type[ModisteError] = {"busy": Busy, "context_length_exceeded": BadRequest}.get(
        failed.code, Unavailable
    )
    code = "rate_limited" if kind is Busy else failed.code
    return kind(failed.message, code=code, retry_after_s=failed.retry_after_s)


async def _merge(choices: list[AsyncGenerator[Delta | Ended]]) -> AsyncGenerator[Delta | Ended]:
    """Events of all choices in the order they happen; the first failure ends them all.

    The queue has no bound: a choice can tell no more than its context holds.
    """
    queue: asyncio.Queue[Delta | Ended | asyncio.Task[None]] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(choice, queue)) for choice in choices]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    running = len(tasks)
    try:
        while running:
            told = await queue.get()
            if isinstance(told, asyncio.Task):
                told.result()  # Raises what ended the choice early.
                running -= 1
            else:
                yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    choice: AsyncGenerator[Delta | Ended],
    queue: asyncio.Queue[Delta | Ended | asyncio.Task[None]],
) -> None:
    async with aclosing(choice) as events:
        async for event in events:
            queue.put_nowait(event)
