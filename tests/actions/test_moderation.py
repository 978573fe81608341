"""Which policy answers to a name, and which texts of a conversation stand where."""

from __future__ import annotations

import pytest

from modiste.actions import moderation, policies
from modiste.errors import Forbidden, NotFound
from modiste.moderate.policy import Place, from_json
from modiste.store.database import Database
from modiste.types import Actor, Guarded, Message, Role, ToolCall


def test_vendors_names_mean_the_policy_of_everything_or_the_shipped_one(
    database: Database, admin: Actor, other: Actor
) -> None:
    said = {
        "name": "mine",
        "categories": [{"code": "c", "definition": "d"}],
        "detectors": [{"name": "l", "kind": "length", "category": "c", "max_characters": 1}],
    }
    with database.transaction() as tx:
        for name in (None, "omni-moderation-latest", "mistral-moderation-2411", "default"):
            assert moderation.named(tx, other, name) is moderation.shipped()
        with pytest.raises(NotFound):
            moderation.named(tx, other, "mine")
        policies.put(tx, admin, from_json(said, file="p"))
        policies.attach(tx, admin, "mine", Guarded.EVERYTHING)
        assert moderation.named(tx, other, "omni-moderation-latest").policy.name == "mine"
        assert moderation.named(tx, other, "mine@1").version == 1
        with pytest.raises(NotFound):
            moderation.named(tx, other, "mine@2")
        with pytest.raises(Forbidden):
            moderation.tried(tx, other, said)
        assert moderation.tried(tx, admin, said).version == 0


def test_every_text_of_a_conversation_has_its_place() -> None:
    call = ToolCall("a", "send", '{"to": 1}')
    chat = [
        Message(Role.SYSTEM, "rules"),
        Message(Role.USER, "ask"),
        Message(Role.ASSISTANT, None, tool_calls=(call,), thought="hm"),
        Message(Role.TOOL, "found"),
        Message(Role.ASSISTANT, "So", prefix=True),
    ]
    parts = [(place, item.text, len(item.before)) for place, item in moderation.parts_of(chat)]
    assert parts == [
        (Place.INPUT, "rules", 0),
        (Place.INPUT, "ask", 1),
        (Place.OUTPUT, "hm", 2),
        (Place.INPUT, "hm", 2),
        (Place.TOOL_ARGUMENTS, '{"to": 1}', 2),
        (Place.TOOL_ARGUMENTS, "send", 2),
        (Place.INPUT, "send", 2),
        (Place.RETRIEVED, "found", 3),
        (Place.OUTPUT, "So", 4),
        (Place.INPUT, "So", 4),
    ]
