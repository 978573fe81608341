"""One model answers a suite: every item, every attempt, asked, graded, kept.

A sample is kept the moment it is whole, and what is kept is not asked again, so a run that was
killed goes on where it stopped. The order of a file of samples is the order they ended in; figures
do not depend on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from modiste.errors import InvalidInput, ModisteError, UpstreamTimeout
from modiste.evaluate.asking import Asking
from modiste.evaluate.attacker import talked
from modiste.evaluate.follow_ups import followed_up
from modiste.evaluate.items import (
    Answer,
    Failure,
    Item,
    Models,
    Prompt,
    Sample,
    Score,
    Status,
    unscored,
)
from modiste.evaluate.metric import Metric
from modiste.evaluate.scorer import Scorer, arranged, shaped, told
from modiste.evaluate.suite import Attacker

log = logging.getLogger(__name__)
AT_ONCE = 64
"""Samples asked, and as many graded; how many a server answers at a time is the pace's to say."""
MOST_UNGRADED = 256
"""Answers that wait for a slow scorer so that the model need not; a run that is killed asks them
again."""

Place = tuple[str, int]
"""Key of an item and number of an attempt: one sample of a run."""


@dataclass(frozen=True)
class Plan:
    """All that a run needs to know."""

    items: Sequence[Item]
    attempts: int
    asking: Asking
    scorers: Sequence[Scorer]
    attacker: Attacker | None = None

    @property
    def n_samples(self) -> int:
        return len(self.items) * self.attempts


async def run(
    plan: Plan,
    models: Models,
    keep: Callable[[Sample], None],
    *,
    done: Collection[Place] = (),
    at_once: int = AT_ONCE,
) -> None:
    """Ask and grade what is not `done`; each sample is given to `keep` as soon as it is whole.

    Asking goes on while earlier answers are graded, up to MOST_UNGRADED of them ahead.
    """
    todo = list(_todo(plan, done))
    places, left = iter(todo), iter(range(len(todo)))
    ungraded: asyncio.Queue[Sample] = asyncio.Queue(MOST_UNGRADED)

    async def ask() -> None:
        for item, attempt in places:
            await ungraded.put(await answered(plan, item, attempt, models))

    async def grade() -> None:
        for _ in left:
            keep(await graded(plan.scorers, await ungraded.get(), models))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(todo))):
            group.create_task(ask())
            group.create_task(grade())


async def answered(plan: Plan, item: Item, attempt: int, models: Models) -> Sample:
    """One attempt, from the prompt to the answer. What goes wrong with it is in its answer."""
    try:
        shown = arranged(plan.scorers, item, attempt)
        prompt = shaped(plan.scorers, plan.asking.prompt(shown, attempt))
        follow_ups = plan.asking.follow_ups(shown)
    except InvalidInput as error:
        failed = Answer(failure=Failure("prompt_invalid", error.message))
        return Sample(item, attempt, (), failed)
    if plan.attacker is not None and item.row.get("attacker") is True:
        said, answer = await talked(plan.attacker, plan.asking.model, prompt, shown, models)
        return Sample(shown, attempt, said, answer)
    if follow_ups:
        said, answer = await followed_up(plan.asking.model, prompt, follow_ups, models)
        last = replace(prompt, messages=said)
        return Sample(shown, attempt, said, await _wondered(plan, shown, last, answer, models))
    answer = await _answer(plan, shown, prompt, models)
    return Sample(shown, attempt, prompt.messages, answer)


async def graded(scorers: Sequence[Scorer], sample: Sample, models: Models) -> Sample:
    """The sample with what these scorers say of it, beside what others said before."""
    found: dict[str, Score] = dict(sample.scores)
    for scorer in scorers:
        found[scorer.name] = await _grade(scorer, sample, models)
    return replace(sample, scores=found)


async def _grade(scorer: Scorer, sample: Sample, models: Models) -> Score:
    """A scorer that breaks has not scored: one strange answer must not take a run along."""
    try:
        return await scorer.grade(sample.item, sample.answer, models)
    except ModisteError as error:
        late = isinstance(error, UpstreamTimeout)
        return unscored(Status.TIMEOUT if late else Status.ERROR, error.message)
    except Exception as error:
        log.warning("scorer %r broke on item %r", scorer.name, sample.item.key, exc_info=True)
        return unscored(Status.ERROR, f"the scorer broke with {type(error).__name__}: {error}")


async def rescored(
    scorers: Sequence[Scorer],
    samples: Sequence[Sample],
    models: Models,
    keep: Callable[[Sample], None],
    *,
    at_once: int = AT_ONCE,
) -> None:
    """Grade stored answers anew, with nothing generated; their old scores are dropped."""
    todo = iter(samples)

    async def work() -> None:
        for sample in todo:
            keep(await graded(scorers, replace(sample, scores={}), models))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(samples))):
            group.create_task(work())


def metrics_of(scorers: Sequence[Scorer], samples: Sequence[Sample]) -> tuple[Metric, ...]:
    """The figures of every scorer, in the suite's order."""
    in_order = sorted(samples, key=lambda sample: (sample.item.key, sample.attempt))
    return tuple(
        metric.told
        for scorer in scorers
        for metric in _noted(scorer.metrics(in_order), _reused(scorer.name, in_order))
    )


def _reused(scorer: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    """How much of what a judge said is of earlier runs."""
    there = (sample.scores[scorer] for sample in samples if scorer in sample.scores)
    used = [score.detail["usage"] for score in there if "usage" in score.detail]
    n_reused = sum(each.get("reused", 0) for each in used)
    if not n_reused:
        return ()
    n = n_reused + sum(each["calls"] for each in used)
    return (f"{n_reused} of {n} replies of judges had been given before, to the same prompts",)


def _noted(metrics: Sequence[Metric], notes: tuple[str, ...]) -> Iterator[Metric]:
    """Beside the first."""
    for at, metric in enumerate(metrics):
        yield replace(metric, notes=(*metric.notes, *notes)) if notes and not at else metric


def _todo(plan: Plan, done: Collection[Place]) -> Iterator[tuple[Item, int]]:
    """Attempt by attempt: a run that is cut short has seen as many items as it could."""
    for attempt in range(plan.attempts):
        for item in plan.items:
            if (item.key, attempt) not in done:
                yield item, attempt


async def _answer(plan: Plan, item: Item, prompt: Prompt, models: Models) -> Answer:
    model = plan.asking.model
    if any(scorer.reads_answer for scorer in plan.scorers):
        answer = await models.chat(model, prompt)
    else:
        answer = Answer()
    return await _wondered(plan, item, prompt, answer, models)


async def _wondered(
    plan: Plan, item: Item, prompt: Prompt, answer: Answer, models: Models
) -> Answer:
    """The answer with the likelihoods that scorers ask for at that place."""
    found = await told(plan.scorers, item, prompt, plan.asking.model, models)
    return replace(answer, told=found) if found else answer
