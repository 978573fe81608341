"""Fill-in-the-middle: what stands between two texts, written by a base that was trained for it.

The prompt is that of `prepare.infill`, which training with `fim_ratio` uses too. A base whose
tokenizer has no tokens for it is refused: it would write something, and nobody could tell that it
was never asked in its own words.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from modiste.actions import completions, inference
from modiste.actions.answers import Answer
from modiste.actions.guarded_answers import GuardedAnswer
from modiste.actions.inference import Served, Serving
from modiste.errors import InvalidInput
from modiste.moderate.policy import Place
from modiste.prepare.infill import Infill
from modiste.serve.sequence import Sampling
from modiste.types import Actor


@dataclass(frozen=True)
class Gap:
    """One request for the text between `prompt` and `suffix`."""

    model: str
    prompt: str
    suffix: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    n: int = 1


async def begin(serving: Serving, actor: Actor, gap: Gap) -> Answer | GuardedAnswer:
    """Accept or refuse a request, under the policies that hold for model and key.

    Raises:
        Blocked: a policy blocks one of the texts.
        Forbidden, NotFound, BadRequest: as `inference.find` and `inference.prompt`.
        InvalidInput: the base knows no fill-in-the-middle.
    """
    served = await inference.find(serving, actor, gap.model)
    guards = await completions.guards_of(serving, actor, served.model)
    if guards is None:
        return await _unguarded(serving, served, gap)
    prompt, suffix = await guards.checked_texts((gap.prompt, gap.suffix), Place.INPUT)
    answer = await _unguarded(serving, served, replace(gap, prompt=prompt, suffix=suffix))
    return GuardedAnswer(answer.events(), guards, n=gap.n, continues=prompt, leads_to=suffix)


async def _unguarded(serving: Serving, served: Served, gap: Gap) -> Answer:
    infill = infill_of(served)
    ids = await asyncio.to_thread(infill.prompt, gap.prompt, gap.suffix)
    prompt = await inference.prompt(serving, served, ids, gap.sampling, param="prompt")
    return Answer(
        # A mark would begin another text: the middle ends there.
        replace(prompt, stop_ids=prompt.stop_ids | infill.marks),
        engine=serving.engine,
        renderer=served.renderer,
        n=gap.n,
        stop=gap.stop,
        continuing=True,
    )


def infill_of(served: Served) -> Infill:
    """How the model is asked for a middle.

    Raises:
        InvalidInput: it cannot be asked.
    """
    if (infill := served.renderer.fim) is None:
        raise InvalidInput(
            f"{served.model.id} cannot fill in the middle: its tokenizer has no tokens for it. Use "
            "a base that has them, such as Codestral, Qwen-Coder or StarCoder, or a model tuned "
            "on one",
            code="fim_unknown",
            param="model",
        )
    return infill
