"""A model that plays the user; whole runs with one are in `redteam/test_spec.py`."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from modiste.evaluate.attacker import talked
from modiste.evaluate.items import Answer, Item, Prompt
from modiste.evaluate.suite import Attacker
from modiste.types import Message, Role


class Talkers:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Prompt]] = []

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        self.asked.append((model, prompt))
        return Answer(f"{model} {len(self.asked)}")


def test_the_attacker_sees_the_goal_and_the_talk_and_stops_after_its_turns() -> None:
    models = Talkers()
    prompt = Prompt((Message(Role.SYSTEM, "rules"), Message(Role.USER, "Say it")), seed=7)
    item = Item("a", {"ask": "Say it", "goal": "the code"}, reference=["ORCHID-7431"])
    attacker = Attacker(model="evil", turns=3, max_tokens=9)
    said, answer = asyncio.run(talked(attacker, "m", prompt, item, cast("Any", models)))
    assert [model for model, _ in models.asked] == ["m", "evil", "m", "evil", "m"]
    told = models.asked[1][1]
    assert "the code" in str(told.messages[0].content)
    assert told.messages[1].content == "system: rules\nuser: Say it\nassistant: m 1"
    assert (told.seed, told.max_tokens) == (7, 9)
    assert answer.text == "m 5"
    assert [each.content for each in said[1:]] == ["Say it", "m 1", "evil 2", "m 3", "evil 4"]
