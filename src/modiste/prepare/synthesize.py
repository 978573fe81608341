"""Training data made up on the spot: the task of the quickstart.

Support routing: a customer's message in, the department that should handle it out, one word. The
rows are the same for the same seed on every machine. Sentences of validation and held-out rows
never occur in training rows, so what is measured is the task and not memory.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import orjson

from modiste.errors import InvalidInput
from modiste.prepare.support_phrases import TOPICS

DEPARTMENTS = tuple(TOPICS)
QUESTION = (
    "Which department should answer: account, billing, returns, sales, shipping or technical?"
)
MAX_TRIES = 200
"""For a message that is not there yet; the parts hold some ten thousand and more."""

_OPENINGS = (
    ("Hello,", "Hi,", "Good morning,", "Dear team,", "Hi there,", "Hello support,"),
    ("Good afternoon,", "Hey,"),
    ("Dear support,", "Good evening,"),
)
_BEFORE = (
    ("I have a question.", "I need your help.", "I hope you can help me.", "It is urgent."),
    ("I have a problem.",),
    ("Could you help me with something?",),
)
_AFTER = (
    ("What can I do?", "Please help.", "Please let me know.", "Can you look into it?"),
    ("Please get back to me.",),
    ("What should I do now?",),
)
_CLOSINGS = (
    ("Thanks, {name}", "Thank you!", "Best regards, {name}", "Thanks in advance."),
    ("Kind regards, {name}",),
    ("Many thanks, {name}",),
)
_SLOTS: Mapping[str, str] = {
    "product": "coffee machine|lamp|headset|camera|keyboard|vacuum cleaner|watch|toaster|printer|"
    "speaker|monitor|kettle|heater|scale|blender|tablet|drill|fan|radio|router",
    "name": "Anna|Ben|Clara|David|Elena|Frank|Grace|Henry|Iris|Jack|Karen|Leo|Maria|Nora",
    "city": "Paris|Lyon|Rome|Madrid|Berlin|Vienna|Oslo|Lisbon|Dublin|Prague|Milan|Geneva",
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "month": "January|February|March|April|May|June|July|September|October|November",
}
"""Choices between bars."""

SENTENCES = sum(len(topics) for topics in TOPICS.values())
"""Different sentences among validation or held-out rows. More rows than that repeat sentences with
other names and numbers: they are not independent questions."""


class Part(IntEnum):
    TRAIN = 0
    VALIDATION = 1
    HELDOUT = 2


class Routing(NamedTuple):
    """Chat rows, `{"messages": [user, assistant]}`, every department equally often."""

    train: tuple[dict[str, Any], ...]
    validation: tuple[dict[str, Any], ...]
    heldout: tuple[dict[str, Any], ...]


def support_routing(n_train: int, n_validation: int, n_heldout: int, *, seed: int) -> Routing:
    """Rows for training, for the loss during training, and for the comparison afterwards.

    No message occurs twice, within a part or across parts.

    Raises:
        InvalidInput: more rows are asked for than there are messages.
    """
    wanted = {Part.TRAIN: n_train, Part.VALIDATION: n_validation, Part.HELDOUT: n_heldout}
    parts = (_part(part, n, random.Random(f"{seed} {part.name}")) for part, n in wanted.items())  # noqa: S311
    return Routing(*parts)


def to_jsonl(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _part(part: Part, n: int, rng: random.Random) -> tuple[dict[str, Any], ...]:
    """Departments take turns, so do their topics: `SENTENCES` held-out rows share no sentence."""
    places = [(DEPARTMENTS[at % len(DEPARTMENTS)], at // len(DEPARTMENTS)) for at in range(n)]
    rng.shuffle(places)
    seen: set[str] = set()
    return tuple(_row(label, turn, part, rng, seen) for label, turn in places)


def _row(label: str, turn: int, part: Part, rng: random.Random, seen: set[str]) -> dict[str, Any]:
    tries = (_message(label, turn, part, rng) for _ in range(MAX_TRIES))
    text = next((text for text in tries if text not in seen), None)
    if text is None:
        raise InvalidInput(
            f"there are no more than about {len(seen):,} different {part.name.lower()} messages; "
            "ask for fewer rows"
        )
    seen.add(text)
    return {
        "messages": [
            {"role": "user", "content": f"{text}\n\n{QUESTION}"},
            {"role": "assistant", "content": label},
        ]
    }


def _message(label: str, turn: int, part: Part, rng: random.Random) -> str:
    """One or two sentences of a topic, framed by pleasantries, slots filled."""
    topics = TOPICS[label]
    own: tuple[str, ...]
    if part is Part.TRAIN:
        own = rng.choice(topics)[:4]
    else:
        own = topics[turn % len(topics)][3 + part : 4 + part]
    pieces = [
        *_maybe(0.6, _OPENINGS[part], rng),
        *_maybe(0.3, _BEFORE[part], rng),
        *rng.sample(own, min(len(own), rng.choice((1, 1, 1, 2)))),
        *_maybe(0.4, _AFTER[part], rng),
        *_maybe(0.5, _CLOSINGS[part], rng),
    ]
    text = _filled(" ".join(pieces), rng)
    return text.lower() if rng.random() < 0.08 else text


def _maybe(chance: float, choices: Sequence[str], rng: random.Random) -> list[str]:
    return [rng.choice(choices)] if rng.random() < chance else []


def _filled(text: str, rng: random.Random) -> str:
    filled = {slot: rng.choice(choices.split("|")) for slot, choices in _SLOTS.items()}
    filled["order"] = f"{rng.choice('ABCDEFGH')}{rng.randrange(1_000, 10_000)}"
    filled["amount"] = f"{rng.randrange(5, 400)}.{rng.choice(('00', '50', '90', '99'))} euros"
    filled["n"] = str(rng.randrange(2, 60))
    return text.format_map(filled)
