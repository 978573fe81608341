"""Detectors at work: texts in, a reading of each out, whatever looks at them.

Rules run here, endpoints are asked over checked addresses, guards and classifiers through this
server's own inference, unguarded: a guard that were guarded itself would never answer. What cannot
say anything about a text says why; nobody here decides what that means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from modiste.actions import classifications, shipped_classifier
from modiste.actions.answers import Completion
from modiste.actions.classifications import ClassifyAsk
from modiste.actions.inference import Serving
from modiste.errors import ModisteError
from modiste.moderate import guard as guards
from modiste.moderate import rules
from modiste.moderate.detectors import Classifier, Detector, Endpoint, Guard, Rule
from modiste.moderate.guard import Item, Question, Said
from modiste.moderate.policy import Place, Policy
from modiste.moderate.verdict import Failure, Reading
from modiste.serve.upstream import named_key
from modiste.types import Actor, Message

log = logging.getLogger(__name__)
AT_ONCE = 8
"""Questions to one guard model at the same time."""
ENDPOINT_BATCH = 32
"""Texts in one request to an endpoint."""

Ask = Callable[[str, Sequence[Message], int], Awaitable[Completion]]
"""A model's name, messages and most tokens to its answer, log-probabilities told."""
Readings = list[Reading | Failure]


async def all_readings(
    serving: Serving,
    actor: Actor,
    detectors: Sequence[Detector],
    policy: Policy,
    items: Sequence[Item],
    *,
    place: Place | None,
    ask: Ask,
) -> list[Readings]:
    """Of each detector, in their order. Rules share a thread: one takes less than its thread."""
    ruled = [each for each in detectors if isinstance(each, Rule)]

    async def looked_up() -> list[Readings]:
        if not ruled:
            return []
        return await asyncio.to_thread(lambda: [_rule(each, items) for each in ruled])

    others = (
        readings(serving, actor, each, policy, items, place=place, ask=ask)
        for each in detectors
        if not isinstance(each, Rule)
    )
    found = await asyncio.gather(looked_up(), asyncio.gather(*others))
    of_rules, of_others = map(iter, found)
    return [next(of_rules if isinstance(each, Rule) else of_others) for each in detectors]


async def readings(
    serving: Serving,
    actor: Actor,
    detector: Detector,
    policy: Policy,
    items: Sequence[Item],
    *,
    place: Place | None,
    ask: Ask,
) -> Readings:
    """One of each text, in their order. Never raises what a detector can answer for."""
    try:
        match detector:
            case Endpoint():
                return await _endpoint(serving, detector, items)
            case Guard():
                return await _guard(ask, detector, policy, items, place)
            case Classifier():
                return await _classifier(serving, actor, detector, items)
            case _:
                return await asyncio.to_thread(_rule, detector, items)
    except TimeoutError:
        return _failed(detector, items, f"did not answer in {_timeout_s(detector):g} s")
    except ModisteError as error:
        return _failed(detector, items, f"failed: {error.message}")


def _rule(rule: Rule, items: Sequence[Item]) -> Readings:
    found: Readings = []
    for item in items:
        try:
            finds = rules.finds(rule, item.text)
        except rules.RuleFailed as error:
            found.append(Failure(f"failed: {error.message}"))
        else:
            found.append(Reading({rule.category: 1.0 if finds else 0.0}, finds))
    return found


async def _endpoint(serving: Serving, endpoint: Endpoint, items: Sequence[Item]) -> Readings:
    client = serving.upstreams.moderations(
        endpoint.url, key_name=endpoint.key_env or "none", limit_s=endpoint.timeout_s
    )
    key = named_key(endpoint.key_env, endpoint.url)
    found: Readings = []
    for at in range(0, len(items), ENDPOINT_BATCH):
        texts = [item.text for item in items[at : at + ENDPOINT_BATCH]]
        async with asyncio.timeout(endpoint.timeout_s):
            answer = await client.whole({"model": endpoint.model, "input": texts}, key)
        results = answer["results"]
        if len(results) != len(texts):
            why = f"answered {len(results)} results for {len(texts)} texts"
            found += [Failure(why)] * len(texts)
        else:
            found += [_scored(result) for result in results]
    return found


def _scored(result: Any) -> Reading | Failure:
    """An endpoint's result for one text, in OpenAI's or Mistral's shape."""
    scores = result.get("category_scores") if isinstance(result, Mapping) else None
    if not isinstance(scores, Mapping) or not scores:
        return Failure("answered a result without category_scores")
    read = {
        str(name): float(score)
        for name, score in scores.items()
        if isinstance(score, int | float) and not isinstance(score, bool)
    }
    categories = result.get("categories")
    if isinstance(categories, Mapping):  # What it calls a violation is one, whatever its score.
        for name, violated in categories.items():
            if violated is True and name not in read:
                read[str(name)] = 1.0
    return Reading(read)


async def _guard(
    ask: Ask, guard: Guard, policy: Policy, items: Sequence[Item], place: Place | None
) -> Readings:
    places = asyncio.Semaphore(AT_ONCE)

    async def answered(question: Question) -> Said:
        async with places, asyncio.timeout(guard.timeout_s):
            told = await ask(guard.model, question.messages, question.max_tokens)
        return _said(told)

    async def one(item: Item) -> Reading | Failure:
        asked = guards.questions(guard, policy, item, place)
        try:
            said = await asyncio.gather(*(answered(question) for question in asked))
        except TimeoutError:
            return Failure(f"did not answer in {guard.timeout_s:g} s")
        except ModisteError as error:
            return Failure(f"failed: {error.message}")
        return guards.reading(guard, policy, asked, said)

    return list(await asyncio.gather(*(one(item) for item in items)))


def _said(told: Completion) -> Said:
    choice = told.choices[0]
    drawn = next((each for each in choice.drawn if each.likely.text.strip()), None)
    first = {} if drawn is None else {each.text: each.logprob for each in drawn.top}
    return Said(choice.text, first)


async def _classifier(
    serving: Serving, actor: Actor, classifier: Classifier, items: Sequence[Item]
) -> Readings:
    texts = [(at, part) for at, item in enumerate(items) for part in _parts(classifier, item.text)]
    told: list[dict[str, dict[str, float]]] = []
    async with asyncio.timeout(classifier.timeout_s):
        for begin in range(0, len(texts), classifications.MAX_INPUTS):
            some = tuple(part for _, part in texts[begin : begin + classifications.MAX_INPUTS])
            answer = await classifications.create(
                serving, actor, ClassifyAsk(classifier.model, some)
            )
            told += answer.by_name()
    found: dict[int, Reading | Failure] = {}
    for (at, _), each in zip(texts, told, strict=True):
        found[at] = _higher(found.get(at), _labelled(classifier, each))
    return [found[at] for at in range(len(items))]


def _parts(classifier: Classifier, text: str) -> list[str]:
    if classifier.model != shipped_classifier.NAME:
        return [text]
    return list(shipped_classifier.pieces(text))


def _higher(one: Reading | Failure | None, other: Reading | Failure) -> Reading | Failure:
    """What is violated in a part of a text is violated in the text."""
    if one is None or isinstance(other, Failure):
        return other
    if isinstance(one, Failure):
        return one
    return Reading({name: max(one.scores[name], score) for name, score in other.scores.items()})


def _labelled(
    classifier: Classifier, targets: Mapping[str, Mapping[str, float]]
) -> Reading | Failure:
    wanted = classifier.target
    if wanted is None and len(targets) == 1:
        return Reading(next(iter(targets.values())))
    if wanted in targets:
        return Reading(targets[str(wanted)])
    return Failure(f"has the targets {', '.join(targets)}, and target is {wanted!r}")


def _failed(detector: Detector, items: Sequence[Item], why: str) -> Readings:
    log.warning("detector %s %s", detector.name, why)
    return [Failure(why)] * len(items)


def _timeout_s(detector: Detector) -> float:
    seconds: float = getattr(detector, "timeout_s", 0.0)
    return seconds
