"""How one subject of a suite asks about an item: system prompt, examples, question, in one prompt.

Every subject gets the same question and the same seeds, so that what differs between two runs is
the model and what is said before the question, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modiste.errors import InvalidInput
from modiste.evaluate.conversation import messages_of
from modiste.evaluate.items import Item, Prompt
from modiste.evaluate.suite import SamplingSpec, Subject, Suite
from modiste.evaluate.template import Template
from modiste.types import Message, Role

SEED_BITS = 31
"""Every vendor's seeds hold so many."""


@dataclass(frozen=True)
class Asking:
    """One subject's way of asking."""

    model: str
    system: Template | None
    turns: tuple[tuple[Role, Template], ...]
    """The suite's, without its system prompt."""
    shots: tuple[Message, ...]
    sampling: SamplingSpec
    tools: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any] | None
    conversation: str | None = None
    """The field of a row that holds its messages; `turns` is empty then."""
    policies: tuple[str, ...] | None = None
    later: tuple[tuple[tuple[Role, Template], ...], ...] = ()
    """What is said after each answer of the model's own but the last."""

    def prompt(self, item: Item, attempt: int) -> Prompt:
        """
        Raises:
            InvalidInput: a template names what the row lacks.
        """
        names = {**_reference(item), **item.arranged}
        messages = [
            *([] if self.system is None else [_said(Role.SYSTEM, self.system, item.row, names)]),
            *self.shots,
            *(_said(role, template, item.row, names) for role, template in self.turns),
            *self._own_messages(item),
        ]
        return Prompt(
            messages=tuple(messages),
            max_tokens=self.sampling.max_tokens,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            seed=seed_of(self.sampling.seed, item.key, attempt),
            stop=self.sampling.stop,
            schema=self.schema,
            tools=self.tools,
            policies=self.policies,
        )

    def follow_ups(self, item: Item) -> tuple[tuple[Message, ...], ...]:
        """What follows on each answer but the last; empty where one answer is all.

        Raises:
            InvalidInput: as `prompt`.
        """
        names = {**_reference(item), **item.arranged}
        return tuple(
            tuple(_said(role, template, item.row, names) for role, template in said)
            for said in self.later
        )

    def _own_messages(self, item: Item) -> list[Message]:
        """Those of the row; a system prompt of the subject takes the place of theirs."""
        if self.conversation is None:
            return []
        said = messages_of(item.row, self.conversation)
        return [each for each in said if self.system is None or each.role is not Role.SYSTEM]


def asking_of(suite: Suite, subject: Subject, shots: Sequence[Item] = ()) -> Asking:
    """
    Args:
        shots: the items that `subject.shots` may draw from.

    Raises:
        InvalidInput: a text that is no template, examples without a reference, a subject's sampling
            that names what there is not.
    """
    turns, *later = suite.rounds
    system = next((template for role, template in turns if role is Role.SYSTEM), None)
    if subject.system is not None:
        system = Template(subject.system, param="models.*.system")
    questions = tuple((role, template) for role, template in turns if role is not Role.SYSTEM)
    return Asking(
        model=subject.model,
        system=system,
        turns=questions,
        shots=_shots(subject, questions, shots),
        sampling=subject.sampling_over(suite.sampling),
        tools=suite.tools,
        schema=suite.response_schema,
        conversation=suite.conversation,
        policies=subject.policies,
        later=tuple(later),
    )


def prompt_sha256(suite: Suite, subject: Subject) -> str:
    """Of all that a subject says besides the rows themselves."""
    told: dict[str, Any] = {
        "turns": [[role, template.source] for role, template in suite.turns],
        "system": subject.system,
        "shots": None if subject.shots is None else subject.shots.model_dump(mode="json"),
        "tools": [dict(tool) for tool in suite.tools],
        "schema": suite.response_schema,
    }
    if later := suite.rounds[1:]:
        told["later"] = [[[role, text.source] for role, text in said] for said in later]
    if suite.conversation is not None:
        told["conversation"] = suite.conversation
    if suite.attacker is not None:
        told["attacker"] = suite.attacker.model_dump(mode="json")
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def seed_of(seed: int, key: str, attempt: int) -> int:
    """The same for every model; another for every item and attempt."""
    digest = hashlib.blake2b(f"{seed}:{attempt}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - SEED_BITS)


def _shots(
    subject: Subject, turns: Sequence[tuple[Role, Template]], pool: Sequence[Item]
) -> tuple[Message, ...]:
    if subject.shots is None:
        return ()
    wanted = subject.shots.n
    if len(pool) < wanted:
        raise InvalidInput(
            f"shots.n is {wanted}, and the file of examples has {len(pool)} rows that are not "
            "asked themselves",
            param="shots.n",
        )
    drawn = random.Random(subject.shots.seed).sample(list(pool), wanted)  # noqa: S311
    messages: list[Message] = []
    for item in drawn:
        if item.reference is None:
            raise InvalidInput(
                "shots are given, and dataset.reference does not say what a right answer is",
                param="dataset.reference",
            )
        names = _reference(item)
        messages += [_said(role, template, item.row, names) for role, template in turns]
        shown = item.reference
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
        messages.append(Message(Role.ASSISTANT, text))
    return tuple(messages)


def _reference(item: Item) -> dict[str, Any]:
    """What templates see beside the row; a field of that name is the row's own."""
    here = item.reference is not None and "reference" not in item.row
    return {"reference": item.reference} if here else {}


def _said(
    role: Role, template: Template, row: Mapping[str, Any], names: Mapping[str, Any]
) -> Message:
    return Message(role, template.render(row, **names))
