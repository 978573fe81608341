"""Plain text continued: what OpenAI calls completions, for any number of prompts at once.

A prompt is text, which opens as every training text does, or token ids, which are taken as they
are. Choices are numbered prompt by prompt; each runs under its own prompt's seed, so that a prompt
gets the same text alone and in any company. With a suffix the text in between is written, by bases
that know how.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from modiste.actions import fim, inference
from modiste.actions.answers import Answer, Completion, Delta, Ended, Usage, collected, merged
from modiste.actions.inference import Served, Serving
from modiste.errors import InvalidInput
from modiste.serve.sequence import Sampling
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
    stop: tuple[str, ...] = ()
    n: int = 1
    echo: bool = False
    """The prompt opens each choice."""


class TextAnswer:
    """The answers to all prompts of a request. Read it once: `events()` or `whole()`."""

    def __init__(self, answers: list[Answer], *, n: int) -> None:
        self._answers = answers
        self._n = n

    @property
    def n_choices(self) -> int:
        return len(self._answers) * self._n

    async def events(self) -> AsyncGenerator[Delta | Ended | Usage]:
        """As `Answer.events`; the usage is that of all prompts."""
        total = Usage(0, 0)
        parts = [self._numbered(at) for at in range(len(self._answers))]
        async with aclosing(merged(parts, at_once=max(1, AT_ONCE // self._n))) as events:
            async for event in events:
                if isinstance(event, Usage):
                    total = Usage(*map(sum, zip(total, event, strict=True)))
                else:
                    yield event
        yield total

    async def whole(self) -> Completion:
        return await collected(self.events(), n=self.n_choices)

    async def _numbered(self, at: int) -> AsyncGenerator[Delta | Ended | Usage]:
        async with aclosing(self._answers[at].events()) as events:
            async for event in events:
                if isinstance(event, Usage):
                    yield event
                else:
                    yield replace(event, index=at * self._n + event.index)


async def begin(serving: Serving, actor: Actor, ask: TextAsk) -> TextAnswer:
    """Accept or refuse a request, all its prompts at once.

    Raises:
        Forbidden, NotFound, BadRequest: as `inference.find` and `inference.prompt`.
        InvalidInput: no prompt or too many, an empty one, ids that the model does not know, or a
            suffix for a base that cannot fill in the middle.
    """
    if not 0 < len(ask.prompts) * ask.n <= MAX_SEQUENCES:
        raise InvalidInput(
            f"{len(ask.prompts)} prompts with n = {ask.n} are asked for, expected 1 to "
            f"{MAX_SEQUENCES} together; send several requests, or a batch",
            param="prompt",
        )
    served = await inference.find(serving, actor, ask.model)
    written = await asyncio.to_thread(_written, served, ask)
    prompts = await inference.prompts(
        serving, served, [ids for ids, _ in written], ask.sampling, param="prompt"
    )
    answers = [
        Answer(
            prompt,
            engine=serving.engine,
            renderer=served.renderer,
            n=ask.n,
            stop=ask.stop,
            opening=text if ask.echo else "",
            continuing=True,
        )
        for prompt, (_, text) in zip(prompts, written, strict=True)
    ]
    return TextAnswer(answers, n=ask.n)


class Written(NamedTuple):
    ids: list[int]
    text: str
    """The prompt as it is echoed."""


def _written(served: Served, ask: TextAsk) -> list[Written]:
    if ask.suffix:
        infill = fim.infill_of(served)
        texts = [prompt for prompt in ask.prompts if isinstance(prompt, str)]
        if len(texts) < len(ask.prompts):
            raise InvalidInput(
                "suffix is set and a prompt is token ids; send the prompt as text", param="suffix"
            )
        return [Written(infill.prompt(text, ask.suffix), text) for text in texts]
    return [_prompt(served, at, prompt) for at, prompt in enumerate(ask.prompts)]


def _prompt(served: Served, at: int, prompt: Prompt) -> Written:
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
    strange = next((token for token in ids if not 0 <= token < renderer.vocab_size), None)
    if strange is not None:
        raise InvalidInput(
            f"prompt {at} holds {strange}; the tokens of {served.model.id} are 0 to "
            f"{renderer.vocab_size - 1}",
            param="prompt",
        )
    return Written(ids, text)
