"""Moderation: which policy counts for a request, and what it says of texts.

Detectors look at the same time; what one of them cannot say is decided by the policy. A name that
clients of a vendor send (`mistral-moderation-latest`, `omni-moderation-latest`) is answered by the
policy that is attached to everything, or else by the one that ships with the package, which has
rules alone and scores only what rules can find.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from modiste.actions import policies
from modiste.actions.detecting import Ask, Readings, readings
from modiste.actions.inference import Serving
from modiste.actions.keys import require
from modiste.actions.policies import Kept
from modiste.errors import InvalidInput, NotFound
from modiste.moderate.guard import Item
from modiste.moderate.policy import Place, Policy, from_json, read
from modiste.moderate.verdict import Judgement, Wanted, detectors_at, judge
from modiste.store.database import Tx
from modiste.types import Actor, Message, Role, Scope

MAX_TEXTS = 1000
VENDORS_NAMES = ("mistral-moderation", "omni-moderation", "text-moderation")
PLACE_OF = {
    Role.SYSTEM: Place.INPUT,
    Role.USER: Place.INPUT,
    Role.TOOL: Place.RETRIEVED,
    Role.ASSISTANT: Place.OUTPUT,
}


@cache
def shipped() -> Kept:
    """The policy of those who have none: rules for personal data, secrets and attacks on models."""
    file = resources.files("modiste.moderate") / "policies" / "default.yaml"
    return Kept(read(file.read_text(encoding="utf-8"), file="default.yaml"), 0)


def named(tx: Tx, actor: Actor, name: str | None) -> Kept:
    """The policy that answers to a name.

    Raises:
        Forbidden: the key may not infer.
        NotFound: no policy is called so.
    """
    require(actor, Scope.INFER)
    if name is not None:
        base, at, version = name.rpartition("@")
        try:
            if at and version.isdigit():
                return policies.kept(policies.get(tx, actor, base, version=int(version)))
            return policies.kept(policies.get(tx, actor, name))
        except NotFound:
            if name != shipped().policy.name and not name.startswith(VENDORS_NAMES):
                raise
    return policies.default(tx, actor) or shipped()


def tried(tx: Tx, actor: Actor, said: Any) -> Kept:
    """A policy that is not kept, to be tried out.

    Raises:
        Forbidden: not an admin: its endpoints are asked.
        InvalidInput: everything that is wrong with it.
    """
    policy = from_json(said, file="policy")
    policies.check(tx, actor, policy)
    return Kept(policy, 0)


async def judgements(
    serving: Serving,
    actor: Actor,
    policy: Policy,
    items: Sequence[Item],
    *,
    ask: Ask,
    place: Place | None = None,
    wanted: Wanted | None = None,
) -> list[Judgement]:
    """What the policy makes of each text.

    Raises:
        InvalidInput: none or too many.
    """
    if not 0 < len(items) <= MAX_TEXTS:
        raise InvalidInput(
            f"input has {len(items)} texts, expected 1 to {MAX_TEXTS}", param="input"
        )
    detectors = detectors_at(policy, place)
    told: list[Readings] = await asyncio.gather(
        *(readings(serving, actor, each, policy, items, place=place, ask=ask) for each in detectors)
    )
    by_item = zip(*told, strict=True) if told else [()] * len(items)
    return [
        judge(
            policy,
            place,
            {each.name: one for each, one in zip(detectors, of_item, strict=True)},
            wanted=wanted,
        )
        for of_item in by_item
    ]


Part = tuple[Place | None, Item]
"""One text, and where it stands."""


def parts_of(messages: Sequence[Message]) -> list[Part]:
    """Every text of a conversation, each with what was said before it."""
    return [part for at in range(len(messages)) for part in last_parts(messages[: at + 1])]


def last_parts(messages: Sequence[Message]) -> list[Part]:
    """The texts of the last message: what it says, thinks, and hands to tools.

    An answer that is begun for the model is the caller's own word, so it counts as input too.
    """
    last, before = messages[-1], tuple(messages[:-1])
    places = [PLACE_OF[last.role]]
    if last.prefix:
        places.append(Place.INPUT)
    said = [text for text in (last.content, last.thought) if text]
    found: list[Part] = [
        (place, Item(text, before, last.role)) for text in said for place in places
    ]
    found += [
        (Place.TOOL_ARGUMENTS, Item(call.arguments, before, last.role)) for call in last.tool_calls
    ]
    return found or [(places[0], Item("", before, last.role))]


async def of_many(
    serving: Serving,
    actor: Actor,
    policy: Policy,
    many: Sequence[Sequence[Part]],
    *,
    ask: Ask,
    wanted: Wanted | None = None,
) -> list[Judgement]:
    """One judgement for each list of parts, with the decisions about all of them.

    Raises:
        InvalidInput: as `judgements`.
    """
    flat = [(at, place, item) for at, parts in enumerate(many) for place, item in parts]
    found: dict[int, list[Judgement]] = {at: [] for at in range(len(many))}
    for place in dict.fromkeys(place for _, place, _ in flat):
        here = [(at, item) for at, where, item in flat if where is place]
        told = await judgements(
            serving, actor, policy, [item for _, item in here], ask=ask, place=place, wanted=wanted
        )
        for (at, _), judgement in zip(here, told, strict=True):
            found[at].append(judgement)
    return [
        Judgement(
            told[0].place if len(told) == 1 else None,
            tuple(decision for each in told for decision in each.decisions),
        )
        for told in found.values()
    ]
