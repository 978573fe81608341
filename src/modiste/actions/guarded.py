"""Requests under policies: what is asked, brought in and handed to tools is looked at.

Which policies hold (`Rail`), what they say of texts, and what becomes of those (`Guards`): they go
on, are changed, or end in `Blocked`. Answers are looked at by the same `Guards`, piece by piece
(`guarded_answers`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from modiste.actions import moderation, policies
from modiste.actions.detecting import Ask
from modiste.actions.inference import Serving
from modiste.actions.moderation import Part
from modiste.actions.policies import Kept
from modiste.errors import Forbidden, InvalidInput
from modiste.moderate.detectors import Injection, Words
from modiste.moderate.guard import Item
from modiste.moderate.policy import Action, Place
from modiste.moderate.verdict import Decision, Judgement, Wanted, redacted, rewritten
from modiste.moderate.window import Window
from modiste.types import Actor, Message, Model, Role

log = logging.getLogger(__name__)
CHANGES = frozenset({Action.REDACT, Action.REWRITE, Action.SAFE_COMPLETION})
WAITS_FOR_END = frozenset({Action.REWRITE, Action.SAFE_COMPLETION})
JOINT = 200
"""Characters on either side of where two messages meet that are looked at as one word."""
INSTRUCTION = "Answer helpfully, and without {category}."


class Blocked(Forbidden):
    """A policy blocked a request or its answer."""

    code = "content_blocked"

    def __init__(self, message: str, guardrails: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.guardrails = guardrails
        """`results` by the name of each policy or guardrail, as Mistral's bodies have it."""


class Guardrail(NamedTuple):
    """What one request asks for beside the policies that are attached."""

    name: str
    policy: str | None
    wanted: Wanted = Wanted()
    blocks: bool = True
    block_on_error: bool = False


@dataclass(frozen=True)
class Rail:
    """One policy that holds for a request."""

    name: str
    kept: Kept
    wanted: Wanted = field(default_factory=Wanted)
    asked: Guardrail | None = None

    def at(self, *places: Place) -> frozenset[Action]:
        if self.asked is not None:
            return frozenset({Action.BLOCK})
        specs = [each for place in places for each in self.kept.policy.at(place)]
        return frozenset(each.action for each in specs)

    def decided(self, judgement: Judgement) -> Judgement:
        """With the request's own word on what blocks."""
        if self.asked is None:
            return judgement
        action = Action.BLOCK if self.asked.blocks else Action.FLAG
        return replace(
            judgement,
            decisions=tuple(
                replace(
                    each,
                    action=action,
                    violated=self.asked.block_on_error if each.failure else each.violated,
                )
                for each in judgement.decisions
            ),
        )


async def held(
    serving: Serving,
    actor: Actor,
    model: Model,
    guardrails: Sequence[Guardrail] = (),
    *,
    instead: Sequence[str] | None = None,
) -> tuple[Rail, ...]:
    """Every policy that holds for a request.

    Args:
        instead: names of those that hold in place of the attached ones.

    Raises:
        NotFound: a guardrail names no policy. InvalidInput: or a category that its policy lacks.
    """
    return await asyncio.to_thread(_held, serving, actor, model, guardrails, instead)


def _held(
    serving: Serving,
    actor: Actor,
    model: Model,
    guardrails: Sequence[Guardrail],
    instead: Sequence[str] | None,
) -> tuple[Rail, ...]:
    with serving.database.transaction(write=False) as tx:
        if instead is None:
            attached = policies.guarding(tx, actor, model.id)
        else:
            attached = tuple(moderation.named(tx, actor, name) for name in instead)
        rails = [Rail(kept.policy.name, kept) for kept in attached]
        for asked in guardrails:
            kept = moderation.named(tx, actor, asked.policy)
            named = {*asked.wanted.thresholds, *(asked.wanted.only or ())}
            if strange := sorted(code for code in named if not kept.policy.has(code)):
                known = ", ".join(each.code for each in kept.policy.categories)
                raise InvalidInput(
                    f"guardrails name {strange[0]!r}, and policy {kept.policy.name} has {known}",
                    param="guardrails",
                )
            rails.append(Rail(asked.name, kept, asked.wanted, asked))
    return tuple(rails)


class Guards:
    """The policies of one request at work."""

    def __init__(self, serving: Serving, actor: Actor, rails: Sequence[Rail], ask: Ask) -> None:
        self._serving, self._actor, self._ask = serving, actor, ask
        self.rails = tuple(rails)

    def changes_input(self) -> bool:
        places = (Place.INPUT, Place.RETRIEVED, Place.TOOL_ARGUMENTS)
        return any(rail.at(*places) & CHANGES for rail in self.rails)

    def looks_at_answers(self) -> bool:
        return any(rail.at(Place.OUTPUT, Place.TOOL_ARGUMENTS) for rail in self.rails)

    def waits_for_end(self) -> bool:
        return any(rail.at(Place.OUTPUT) & WAITS_FOR_END for rail in self.rails)

    async def look(self, parts: Sequence[Part]) -> list[tuple[Rail, list[Judgement]]]:
        """What each policy says of each part, in their order.

        Raises:
            Blocked: one of them blocks.
        """
        told: list[tuple[Rail, list[Judgement]]] = []
        for rail in self.rails:
            found = await moderation.of_many(
                self._serving,
                self._actor,
                rail.kept.policy,
                [[part] for part in parts],
                ask=self._ask,
                wanted=rail.wanted,
            )
            told.append((rail, [rail.decided(each) for each in found]))
        for rail, found in told:
            for judgement in found:
                _record(rail, judgement)
        if any(each.action is Action.BLOCK for _, found in told for each in found):
            raise blocked(told)
        return told

    async def checked_input(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages as they may be asked.

        Raises:
            Blocked: they may not.
        """
        said = list(messages)
        instructions: list[str] = []
        for at in range(len(said)):
            for place in Place:  # In turn: a text that counts at two places is changed at both.
                parts = [p for p in moderation.sent_parts(said[: at + 1]) if p[0] is place]
                for part, change in zip(parts, await self._changes(parts), strict=True):
                    instructions += change.instructions
                    if change.text != part[1].text:
                        said[at] = _with_text(said[at], part, change.text)
            await self._unchanged(moderation.fixed_parts(said[: at + 1]))
        await self.look_across(said)
        return tuple(_instructed(said, dict.fromkeys(instructions)))

    async def look_across(self, messages: Sequence[Message]) -> None:
        """What is said in pieces, over several messages: looked at by the rules that go by words.

        Raises:
            Blocked: together they say what is blocked, or would have to be changed.
        """
        of_tools = [m.content for m in messages if m.role is Role.TOOL and m.content]
        asked = [m.content for m in messages if m.role in (Role.SYSTEM, Role.USER) and m.content]
        spoken = [m.content for m in messages if m.role is not Role.TOOL and m.content]
        texts = [(Place.RETRIEVED, each) for each in _together(of_tools)]
        texts += [(Place.INPUT, each) for each in (*_together(asked), "\n".join(spoken))]
        parts: list[Part] = [(place, Item(text)) for place, text in dict.fromkeys(texts)]
        by_words = [_by_words(rail) for rail in self.rails]
        rails = [rail for rail in by_words if rail.kept.policy.detectors]
        if len(messages) > 1 and rails:
            await Guards(self._serving, self._actor, rails, self._ask)._unchanged(parts)

    async def checked_texts(self, texts: Sequence[str], place: Place) -> list[str]:
        """Texts that are no conversation, as they may go on. What would have to be answered again
        is blocked: there is nobody to tell.

        Raises:
            Blocked: they may not.
        """
        parts: list[Part] = [(place, Item(text)) for text in texts]
        changes = await self.changes(parts)
        for change in changes:
            if change.instructions:
                raise blocked(change.told)
        return [change.text for change in changes]

    async def checked_answer(self, text: str, *, continues: str, leads_to: str) -> str:
        """An answer that is no conversation's, as it may be told; looked at alone, and with what is
        around it.

        Raises:
            Blocked: it may not.
        """
        (text,) = await self.checked_texts([text], Place.OUTPUT)
        if not continues and not leads_to:
            return text
        window = Window(whole=True, before=continues, behind=leads_to)
        window.add(text)
        seen = window.to_look_at(last=True)
        (change,) = await self.changes([(Place.OUTPUT, Item(seen))])
        if change.instructions:
            raise blocked(change.told)
        if any(each.action is Action.REWRITE for each in violated(change.told)):
            return change.text
        return window.passed(replaced(change.told), last=True)

    async def pass_as_they_are(self, texts: Iterable[str]) -> bool:
        """Whether all of these may be told without a change."""
        parts: list[Part] = [(Place.OUTPUT, Item(text)) for text in dict.fromkeys(texts) if text]
        try:
            await self._unchanged(parts)
        except Blocked:
            return False
        return True

    async def check_unchanged(self, texts: Sequence[str]) -> None:
        """What is part of the input and cannot be changed: tools and forms that are offered.

        Raises:
            Blocked: a policy blocks it, or would change it.
        """
        await self._unchanged([(Place.INPUT, Item(text)) for text in texts])

    async def _unchanged(self, parts: Sequence[Part]) -> None:
        for change, (_, item) in zip(await self._changes(parts), parts, strict=True):
            if change.instructions or change.text != item.text:
                raise blocked(change.told)

    async def _changes(self, parts: Sequence[Part]) -> list[Change]:
        return await self.changes(parts) if parts else []

    async def changes(self, parts: Sequence[Part]) -> list[Change]:
        """What becomes of each part.

        Raises:
            Blocked: one may not go on.
        """
        told = await self.look(parts)
        found = []
        for at, (_, item) in enumerate(parts):
            of_part = [(rail, [judgements[at]]) for rail, judgements in told]
            found.append(_changed(item.text, of_part))
        return found


def _together(said: Sequence[str]) -> list[str]:
    """Texts in a row as one: with a line between them, and each as the next one goes on with it."""
    joints = [one[-JOINT:] + other[:JOINT] for one, other in pairwise(said)]
    return ["\n".join(said), "".join(said), *joints] if len(said) > 1 else []


def _by_words(rail: Rail) -> Rail:
    """The same policy with those of its detectors alone that go by words."""
    policy = rail.kept.policy
    found = tuple(each for each in policy.detectors if isinstance(each, Words | Injection))
    kept = rail.kept._replace(policy=policy.model_copy(update={"detectors": found}))
    return replace(rail, kept=kept)


class Change(NamedTuple):
    """What becomes of one text."""

    text: str
    instructions: list[str]
    told: list[tuple[Rail, list[Judgement]]]


def _changed(text: str, told: list[tuple[Rail, list[Judgement]]]) -> Change:
    instructions: list[str] = []
    new = text
    for rail, (judgement,) in told:
        decision, policy = judgement.deciding, rail.kept.policy
        if decision is None:
            continue
        if decision.action is Action.SAFE_COMPLETION:
            instructions.append(_instruction(rail, decision))
        elif decision.action is Action.REWRITE:
            new = rewritten(policy, decision, new)
        elif any(each.action is Action.REDACT for each in judgement.violated):
            if new != text:
                raise blocked(told)  # Two policies change one text: places no longer fit.
            new = redacted(policy, judgement, text)
    return Change(new, instructions, told)


def instructed(messages: Sequence[Message], instruction: str) -> tuple[Message, ...]:
    """The conversation with one more word of the system's."""
    return tuple(_instructed(messages, [instruction]))


def _instructed(messages: Sequence[Message], instructions: Iterable[str]) -> list[Message]:
    said = "\n".join(instructions)
    if not said:
        return list(messages)
    if messages and messages[0].role is Role.SYSTEM:
        first = messages[0]
        return [replace(first, content=f"{first.content or ''}\n\n{said}"), *messages[1:]]
    return [Message(Role.SYSTEM, said), *messages]


def _instruction(rail: Rail, decision: Decision) -> str:
    policy = rail.kept.policy
    own = policy.category(decision.category).instruction
    return own or INSTRUCTION.format(category=policy.title(decision.category).lower())


def _with_text(message: Message, part: Part, text: str) -> Message:
    """The message with one of its texts replaced."""
    place, item = part
    if place is Place.TOOL_ARGUMENTS:
        calls = tuple(
            replace(call, arguments=text) if call.arguments == item.text else call
            for call in message.tool_calls
        )
        return replace(message, tool_calls=calls)
    if message.content == item.text:
        return replace(message, content=text)
    return replace(message, thought=text)


def violated(told: Sequence[tuple[Rail, list[Judgement]]]) -> list[Decision]:
    """By any of the policies."""
    return [each for _, found in told for judgement in found for each in judgement.violated]


def replaced(told: Sequence[tuple[Rail, list[Judgement]]]) -> list[tuple[int, int, str]]:
    """Where what was found begins and ends, and what takes its place."""
    return [
        (*find.span, f"[{rail.kept.policy.title(each.category)}]")
        for rail, found in told
        for judgement in found
        for each in judgement.violated
        if each.action is Action.REDACT
        for find in each.finds
    ]


def blocked(told: Sequence[tuple[Rail, list[Judgement]]]) -> Blocked:
    """To be raised, with every decision of every policy."""
    results: dict[str, Any] = {}
    message = ""
    for rail, found in told:
        decisions: dict[str, Any] = {}
        for each in sorted(
            (each for judgement in found for each in judgement.decisions),
            key=lambda each: (each.violated, each.score or 0.0),
        ):
            decisions[each.category] = {
                "threshold": each.threshold, "score": each.score, "violated": each.violated
            } | ({"failure": each.failure} if each.failure else {})  # fmt: skip
        if any(each.violated for judgement in found for each in judgement.decisions):
            message = message or rail.kept.policy.block_message
        policy = rail.kept.policy.name
        results[rail.name] = {
            "model_name": policy, "policy_version": rail.kept.version, "decisions": decisions
        }  # fmt: skip
    return Blocked(message or "Content blocked by guardrail", {"results": results})


def _record(rail: Rail, judgement: Judgement) -> None:
    """Decisions, never texts."""
    for each in judgement.decisions:
        if each.violated or each.failure:
            log.info(
                "policy %s version %d: %s at %s by %s: %s, score %s of %s%s",
                rail.kept.policy.name,
                rail.kept.version,
                each.category,
                each.place,
                each.detector,
                each.action if each.violated else "passed",
                each.score,
                each.threshold,
                f" ({each.failure})" if each.failure else "",
            )
