"""Plain text continued: what OpenAI calls completions, for any number of prompts at once.

A prompt is text, which opens as every training text does, or token ids, which are taken as they
are. Choices are numbered prompt by prompt; each runs under its own prompt's seed, so that a prompt
gets the same text alone and in any company. With a suffix the text in between is written, by bases
that know how. Log-probabilities cover every token that was drawn, the one that ended the text
included, and with `echo` those of the prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from modiste.actions import completions, fim, inference
from modiste.actions.answers import Ended, Usage, merged, seed_of_choice, told
from modiste.actions.guarded import Guards
from modiste.actions.inference import Served, Serving
from modiste.actions.text_reading import Said, Shown, TextReading, echoed
from modiste.errors import InvalidInput
from modiste.moderate.policy import Place
from modiste.prepare.render import Renderer
from modiste.serve.sequence import (
    Finished,
    FinishReason,
    Generate,
    PromptLogprobs,
    Sampling,
    Tokens,
)
from modiste.serve.upstream import Engine
from modiste.types import Actor

AT_ONCE = 16
"""Sequences of one request in the engine at the same time; the others wait here, not there."""
MAX_SEQUENCES = 4096
"""Prompts times choices of one request."""

Prompt = str | tuple[int, ...]


@dataclass(frozen=True)
class TextAsk:
    """One request for `n` continuations of each prompt."""

    model: str
    prompts: tuple[Prompt, ...]
    suffix: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    """With `logprobs`, of the prompt too where it is echoed."""
    stop: tuple[str, ...] = ()
    n: int = 1
    best_of: int = 1
    """So many are made of each prompt, and the `n` most likely per token are told."""
    echo: bool = False
    """The prompt opens each choice."""


@dataclass(frozen=True)
class Piece:
    """What is new of one choice; tokens where log-probabilities were asked for."""

    index: int
    text: str
    tokens: tuple[Shown, ...] = ()


@dataclass(frozen=True)
class TextChoice:
    index: int
    text: str
    tokens: tuple[Shown, ...]
    reason: FinishReason


class TextCompletion(NamedTuple):
    choices: tuple[TextChoice, ...]
    usage: Usage
    fingerprint: str = ""


class Written(NamedTuple):
    """A prompt, ready for the engine."""

    ids: list[int]
    text: str
    """As it is echoed."""
    ends: frozenset[int]
    """Tokens that end what is written behind it."""


class TextAnswer:
    """The answers to all prompts of a request. Read it once: `events()` or `whole()`."""

    def __init__(
        self,
        ask: TextAsk,
        prompts: list[Generate],
        written: list[Written],
        *,
        engine: Engine,
        renderer: Renderer,
    ) -> None:
        self._ask = ask
        self._prompts = prompts
        self._written = written
        self._engine = engine
        self._renderer = renderer
        self._made = max(ask.n, ask.best_of)
        """Choices of each prompt."""

    async def events(self) -> AsyncGenerator[Piece | Ended | Usage]:
        """Pieces of all choices as they come, one Ended per choice, then the Usage.

        Raises:
            ModisteError: when the engine refuses, fails or goes away.
        """
        n_generated = 0
        parts = [self._choice(index) for index in range(len(self._prompts) * self._made)]
        async with aclosing(merged(parts, at_once=AT_ONCE)) as events:
            async for event in events:
                if isinstance(event, Ended):
                    n_generated += event.n_tokens
                yield event
        yield Usage(sum(len(prompt.ids) for prompt in self._prompts), n_generated)

    async def whole(self) -> TextCompletion:
        n_all = len(self._prompts) * self._made
        texts, reasons = [""] * n_all, [FinishReason.STOP] * n_all
        tokens: list[list[Shown]] = [[] for _ in range(n_all)]
        usage, fingerprint = Usage(0, 0), ""
        async with aclosing(self.events()) as events:
            async for event in events:
                match event:
                    case Piece():
                        texts[event.index] += event.text
                        tokens[event.index] += event.tokens
                    case Ended():
                        reasons[event.index] = event.reason
                        fingerprint = fingerprint or event.fingerprint
                    case Usage():
                        usage = event
        made = [
            TextChoice(index, texts[index], tuple(tokens[index]), reasons[index])
            for index in range(n_all)
        ]
        return TextCompletion(tuple(self._told(made)), usage, fingerprint)

    def _told(self, made: list[TextChoice]) -> list[TextChoice]:
        """The best of each prompt, likeliest per token first, numbered anew."""
        if self._made == self._ask.n:
            return made
        best = []
        for first in range(0, len(made), self._made):
            mine = made[first : first + self._made]
            prompt = self._prompts[first // self._made]
            n_echoed = 0 if prompt.prompt_logprobs is None else len(prompt.ids)
            mine.sort(key=lambda choice: (-_likely(choice.tokens[n_echoed:]), choice.index))
            best += mine[: self._ask.n]
        return [replace(choice, index=index) for index, choice in enumerate(best)]

    async def _choice(self, index: int) -> AsyncGenerator[Piece | Ended]:
        """One sequence in the engine, decoded and cut at its stop strings."""
        at, choice = divmod(index, self._made)
        prompt, written = self._prompts[at], self._written[at]
        echo = written.text if self._ask.echo else ""
        if prompt.sampling.max_tokens == 0 and prompt.prompt_logprobs is None:
            yield Piece(index, echo)
            yield Ended(index, FinishReason.LENGTH, 0)
            return
        opening: tuple[Shown, ...] = ()
        reading, n_tokens = TextReading(self._renderer, stop=self._ask.stop, offset=len(echo)), 0

        fingerprint = ""

        def piece(said: Said) -> Piece:
            nonlocal echo, opening
            shown = Piece(index, echo + said.text, (*opening, *said.tokens))
            echo, opening = "", ()
            return shown

        def ended(reason: FinishReason, n_tokens: int) -> Ended:
            return Ended(index, reason, n_tokens, fingerprint=fingerprint)

        async with aclosing(told(self._engine, _sequence(prompt, choice))) as events:
            async for event in events:
                match event:
                    case PromptLogprobs(logprobs=logprobs):
                        opening = echoed(self._renderer, prompt.ids, logprobs)
                    case Tokens(ids=ids, logprobs=logprobs):
                        fingerprint = fingerprint or event.fingerprint
                        for token, logprob in zip(ids, logprobs or (None,) * len(ids), strict=True):
                            n_tokens += 1
                            if token in written.ends:
                                yield piece(reading.end(token, logprob))
                                yield ended(FinishReason.STOP, n_tokens)
                                return
                            said = reading.push(token, logprob)
                            if echo + said.text or opening + said.tokens:
                                yield piece(said)
                            if said.stopped:
                                yield ended(FinishReason.STOP, n_tokens)
                                return
                    case Finished(reason=reason, n_generated=n_generated):
                        said = reading.end()
                        yield piece(said)
                        reason = FinishReason.STOP if said.stopped else reason
                        yield ended(reason, n_generated)


class GuardedText:
    """Answers of which nothing is told before all of each was looked at. Read it once."""

    def __init__(
        self, answer: TextAnswer, guards: Guards, ask: TextAsk, prompts: Sequence[str]
    ) -> None:
        """
        Args:
            ask: as it was looked at.
            prompts: its prompts as the texts they are.
        """
        self._answer, self._guards = answer, guards
        self._ask, self._prompts, self._n = ask, tuple(prompts), ask.n

    async def events(self) -> AsyncGenerator[Piece | Ended | Usage]:
        """As `TextAnswer.events`, each choice in one piece.

        Raises:
            Blocked: one of them may not be told.
        """
        told = await self.whole()
        for choice in told.choices:
            yield Piece(choice.index, choice.text, choice.tokens)
            yield Ended(choice.index, choice.reason, 0, fingerprint=told.fingerprint)
        yield told.usage

    async def whole(self) -> TextCompletion:
        told = await self._answer.whole()
        choices = [await self._looked_at(choice) for choice in told.choices]
        return told._replace(choices=tuple(choices))

    async def _looked_at(self, choice: TextChoice) -> TextChoice:
        prompt = self._prompts[choice.index // self._n]
        text = await self._guards.checked_answer(
            choice.text, continues="" if self._ask.echo else prompt, leads_to=self._ask.suffix or ""
        )
        drawn = "".join(token.text for token in choice.tokens)
        likeliest = "".join(token.top[0][0] for token in choice.tokens if token.top)
        if text == choice.text and await self._guards.pass_as_they_are((drawn, likeliest)):
            return choice
        return replace(choice, text=text, tokens=())


async def begin(serving: Serving, actor: Actor, ask: TextAsk) -> TextAnswer | GuardedText:
    """Accept or refuse a request, all its prompts at once, under the policies that hold for it.

    Raises:
        Blocked: a policy blocks one of the prompts.
        Forbidden, NotFound, BadRequest: as `inference.find` and `inference.prompts`.
        InvalidInput: no prompt or too many, an empty one, ids that the model does not know, or a
            suffix for a base that cannot fill in the middle.
    """
    n_each = max(ask.n, ask.best_of)
    if not 0 < len(ask.prompts) * n_each <= MAX_SEQUENCES:
        raise InvalidInput(
            f"{len(ask.prompts)} prompts with {n_each} answers each are asked for, expected 1 to "
            f"{MAX_SEQUENCES} in all; send several requests, or a batch",
            param="prompt",
        )
    served = await inference.find(serving, actor, ask.model)
    guards = await completions.guards_of(serving, actor, served.model)
    if guards is None:
        return await _unguarded(serving, served, ask)
    ask = await _checked(served, guards, ask)
    texts = [_as_text(served, each) for each in ask.prompts]
    return GuardedText(await _unguarded(serving, served, ask), guards, ask, texts)


def _as_text(served: Served, prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else served.renderer.decode(prompt)


async def _checked(served: Served, guards: Guards, ask: TextAsk) -> TextAsk:
    """With every prompt as it may be asked; ids are looked at as the text they are."""
    texts = [_as_text(served, each) for each in ask.prompts]
    passed = await guards.checked_texts([*texts, ask.suffix or ""], Place.INPUT)
    prompts = tuple(
        was if text == now else now
        for was, text, now in zip(ask.prompts, texts, passed, strict=False)
    )
    return replace(ask, prompts=prompts, suffix=passed[-1] if ask.suffix else ask.suffix)


async def _unguarded(serving: Serving, served: Served, ask: TextAsk) -> TextAnswer:
    written = await asyncio.to_thread(_written, served, ask)
    logprobs = ask.sampling.logprobs
    if logprobs is None and ask.best_of > ask.n:
        logprobs = 0  # To tell which are the best.
    prompts = await inference.prompts(
        serving,
        served,
        [each.ids for each in written],
        replace(ask.sampling, logprobs=logprobs),
        param="prompt",
    )
    prompts = [
        # Where log-probabilities are told, so is that of the token that ends the text.
        replace(
            prompt,
            stop_ids=each.ends if logprobs is None else frozenset(),
            prompt_logprobs=ask.sampling.logprobs if ask.echo else None,
        )
        for prompt, each in zip(prompts, written, strict=True)
    ]
    return TextAnswer(ask, prompts, written, engine=serving.engine, renderer=served.renderer)


def _sequence(prompt: Generate, choice: int) -> Generate:
    seed = seed_of_choice(prompt.sampling.seed, choice)
    return replace(prompt, id=f"{prompt.id}-{choice}", sampling=replace(prompt.sampling, seed=seed))


def _likely(tokens: Sequence[Shown]) -> float:
    """Mean log-probability of what was drawn."""
    drawn = [token.logprob for token in tokens if token.logprob is not None]
    return sum(drawn) / len(drawn) if drawn else 0.0


def _written(served: Served, ask: TextAsk) -> list[Written]:
    ends = served.renderer.stop_ids
    if not ask.suffix:
        return [Written(*_prompt(served, at, each), ends) for at, each in enumerate(ask.prompts)]
    infill = fim.infill_of(served)
    texts = [prompt for prompt in ask.prompts if isinstance(prompt, str)]
    if len(texts) < len(ask.prompts):
        raise InvalidInput(
            "suffix is set and a prompt is token ids; send the prompt as text", param="suffix"
        )
    if ask.echo and ask.sampling.logprobs is not None:
        raise InvalidInput(
            "suffix, echo and logprobs are set: what is asked is not what is echoed, so it has no "
            "log-probabilities; leave one out",
            param="suffix",
        )
    return [Written(infill.prompt(text, ask.suffix), text, ends | infill.marks) for text in texts]


def _prompt(served: Served, at: int, prompt: Prompt) -> tuple[list[int], str]:
    """Its ids and how it is echoed."""
    renderer = served.renderer
    if isinstance(prompt, str):
        opening = [] if renderer.bos_id is None else [renderer.bos_id]
        ids, text = [*opening, *renderer.encode(prompt)], prompt
    else:
        ids, text = list(prompt), renderer.decode(prompt)
    if not ids:
        raise InvalidInput(
            f"prompt {at} is empty; there is nothing for {served.model.id} to go on from",
            param="prompt",
        )
    inference.check_ids(served, ids, where=f"prompt {at}", param="prompt")
    return ids, text
