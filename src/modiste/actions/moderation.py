"""Moderation: which policy counts for a request, and what it says of texts.

Detectors look at the same time; what one of them cannot say is decided by the policy. A name that
clients of a vendor send (`mistral-moderation-latest`, `omni-moderation-latest`) is answered by the
policy that is attached to everything, or else by the one that ships with the package: rules, and
the classifier that ships with it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import orjson

from modiste.actions import policies
from modiste.actions.detecting import Ask, all_readings
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
WORDS_OF_NAME = re.compile(r"[^\w]+|_+|(?<=[a-z])(?=[A-Z])")
ID = re.compile(
    r"[A-Za-z0-9]{0,16}|(?:call|chatcmpl-tool|toolu|functions)[_.:\-][\w.:\-]{1,64}|[0-9a-f-]{36}"
)
PLACE_OF = {
    Role.SYSTEM: Place.INPUT,
    Role.USER: Place.INPUT,
    Role.TOOL: Place.RETRIEVED,
    Role.ASSISTANT: Place.OUTPUT,
}


@cache
def shipped() -> Kept:
    """The policy of those who have none: rules, and the shipped classifier."""
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
    told = await all_readings(serving, actor, detectors, policy, items, place=place, ask=ask)
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
    """Every text of a request, each with what was said before it."""
    return [
        part
        for at in range(len(messages))
        for part in (*sent_parts(messages[: at + 1]), *fixed_parts(messages[: at + 1]))
    ]


def last_parts(messages: Sequence[Message]) -> list[Part]:
    """The texts of the last message: what it says, thinks, and hands to tools. An answer that is
    begun for the model is the caller's own word, so it counts as input too."""
    last, before = messages[-1], tuple(messages[:-1])
    places = [PLACE_OF[last.role], *([Place.INPUT] if last.prefix else [])]
    said = [text for text in (last.content, last.thought) if text]
    found: list[Part] = [
        (place, Item(text, before, last.role)) for text in said for place in places
    ]
    for call in last.tool_calls:
        for text in (call.arguments, *hidden_in(call.arguments), readable(call.name)):
            found.append((Place.TOOL_ARGUMENTS, Item(text, before, last.role)))
    return found or [(PLACE_OF[last.role], Item("", before, last.role))]


def sent_parts(messages: Sequence[Message]) -> list[Part]:
    """The texts of the last message of a request that a policy may change.

    Answers in a request are the caller's own word, whoever is said to have given them: they count
    as input too.
    """
    last, before = messages[-1], tuple(messages[:-1])
    places = [PLACE_OF[last.role]]
    if last.role is Role.ASSISTANT:
        places.append(Place.INPUT)
    found: list[Part] = [
        (place, Item(text, before, last.role))
        for text in (last.content, last.thought)
        if text
        for place in places
    ]
    found += [
        (Place.TOOL_ARGUMENTS, Item(call.arguments, before, last.role)) for call in last.tool_calls
    ]
    return found


def fixed_parts(messages: Sequence[Message]) -> list[Part]:
    """What the last message of a request says beside that, and cannot be changed: names, what
    escapes in arguments stand for, and turns of one role in a row as the one turn they are."""
    last, before = messages[-1], tuple(messages[:-1])
    said: list[tuple[Place, str]] = []
    for call in last.tool_calls:
        said += [(Place.TOOL_ARGUMENTS, text) for text in hidden_in(call.arguments)]
        for text in filter(None, (readable(call.name), _strange_id(call.id))):
            said += [(Place.TOOL_ARGUMENTS, text), (Place.INPUT, text)]
    for text in filter(None, (readable(last.name or ""), _strange_id(last.tool_call_id))):
        said += [(place, text) for place in dict.fromkeys((PLACE_OF[last.role], Place.INPUT))]
    found: list[Part] = [(place, Item(text, before, last.role)) for place, text in said]
    row = [last.content or ""]
    while before and before[-1].role is last.role:
        row.insert(0, before[-1].content or "")
        before = before[:-1]
    if len(row) > 1:
        found.append((PLACE_OF[last.role], Item("\n\n".join(row), before, last.role)))
    return found


def readable(name: str) -> str:
    """A name of code as words: `buyAt_Globex` is read as `buy At Globex`."""
    return " ".join(WORDS_OF_NAME.sub(" ", name).split())


def hidden_in(arguments: str) -> list[str]:
    """The strings of a JSON text as whoever parses it reads them, if escapes make them differ."""
    if "\\" not in arguments:
        return []
    try:
        return ["\n".join(strings_in(orjson.loads(arguments)))]
    except orjson.JSONDecodeError:
        return []


def strings_in(value: Any) -> Iterator[str]:
    """Every name and text of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from strings_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings_in(each)


def _strange_id(call_id: str | None) -> str:
    """An id that could say something; those that programs make do not."""
    return "" if call_id is None or ID.fullmatch(call_id) else readable(call_id)


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
