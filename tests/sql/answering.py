"""A speaker whose engine answers by what it is asked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from scripted import TINY, ScriptedEngine
from speaking import Speaker

from modiste.prepare import render
from modiste.serve.sequence import Event, Generate
from modiste.types import Actor, Scope

QUESTIONS = (
    "SELECT chat_id AS id, CONCAT('c', chat_id) AS content, 'yes' AS actual FROM shop.chats "
    "WHERE message_id = 0"
)
"""50 rows, `c0` to `c49`."""


def answering(speaker: Speaker, say: Callable[[str, int], str]) -> None:
    """Let the engine answer with `say(prompt, number behind the c in it)`, until the test ends."""
    renderer, engine = render.load(TINY), speaker.engine

    async def tell(request: Generate) -> AsyncIterator[Event]:
        prompt = renderer.decode(list(request.ids))
        number = re.search(r"c(\d+)", prompt)
        engine.ids = tuple(renderer.encode(say(prompt, int(number[1]) if number else -1)))
        async for event in ScriptedEngine._tell(engine, request):
            yield event

    engine._tell = tell  # type: ignore[method-assign]


def speaking_as(speaker: Speaker, *scopes: Scope, org: str | None = None) -> Speaker:
    """The same place, spoken to with another key."""
    caller = speaker.session.caller
    actor = Actor(f"key_{'_'.join(scopes)}", org or caller.org, frozenset(scopes))
    return Speaker(replace(speaker.session, caller=actor, notes=[]), speaker.engine)
