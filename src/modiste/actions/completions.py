"""Completions: the one place where a conversation meets a model.

`begin` decides everything that can be refused (permission, model, prompt, length) before the
first token; the `Answer` it returns streams what the engine says.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from modiste.actions import hosted, inference
from modiste.actions.answers import Answer, Completion
from modiste.actions.hosted import Told
from modiste.actions.inference import AnsweredElsewhere, Served, Serving
from modiste.serve.sequence import Sampling
from modiste.types import Actor, Message, Model

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


async def create(serving: Serving, actor: Actor, ask: Ask) -> Completion:
    """Answer at once, in whole."""
    return await (await begin(serving, actor, ask)).whole()


async def begin(serving: Serving, actor: Actor, ask: Ask) -> Answer | Told:
    """Accept or refuse a request.

    Raises:
        Forbidden: the key may not infer.
        NotFound: no such model; the message says what to type.
        BadRequest: the engine cannot compute the model, the messages make no prompt, or the prompt
            leaves no room in the context.
    """
    try:
        served = await inference.find(serving, actor, ask.model)
    except AnsweredElsewhere as elsewhere:
        return await _elsewhere(serving, actor, ask, elsewhere.model)
    ids = await asyncio.to_thread(prompt_ids, served, ask)
    sampling = Sampling(
        temperature=ask.temperature,
        top_p=ask.top_p,
        max_tokens=ask.max_tokens,
        seed=ask.seed,
        presence_penalty=ask.presence_penalty,
        frequency_penalty=ask.frequency_penalty,
    )
    last = ask.messages[-1]
    return Answer(
        await inference.prompt(serving, served, ids, sampling, param="messages"),
        engine=serving.engine,
        renderer=served.renderer,
        n=ask.n,
        stop=ask.stop,
        opening=(last.content or "") if last.prefix else "",
        continuing=last.prefix,
    )


def prompt_ids(served: Served, ask: Ask) -> list[int]:
    """The ids behind which the model answers.

    Raises:
        BadRequest: the messages make no prompt.
    """
    return served.renderer.prompt(ask.messages, safe_prompt=ask.safe_prompt)


async def _elsewhere(serving: Serving, actor: Actor, ask: Ask, model: Model) -> Told:
    answer = await hosted.begin(
        serving.database,
        serving.upstreams,
        actor,
        model,
        name=ask.model,
        body=hosted.body_of(ask),
    )
    return Told(answer, n=ask.n)
