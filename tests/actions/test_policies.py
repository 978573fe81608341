"""Policies: versions that never change, attachments that add up, writing for admins alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modiste.actions import policies
from modiste.errors import Conflict, Forbidden, InvalidInput, NotFound
from modiste.moderate.policy import Policy, from_json
from modiste.store.database import Database
from modiste.types import Actor, Guarded


def policy(name: str = "p", word: str = "x", **more: Any) -> Policy:
    category = {"code": "c", "definition": "d", **more}
    words = {"name": "w", "kind": "words", "category": "c", "words": [word]}
    return from_json({"name": name, "categories": [category], "detectors": [words]}, file="p")


def put(database: Database, actor: Actor, made: Policy, comment: str | None = None) -> int:
    with database.transaction() as tx:
        return policies.put(tx, actor, made, comment=comment).version


def test_a_change_is_a_version_and_saying_the_same_is_none(
    database: Database, admin: Actor, other: Actor
) -> None:
    assert put(database, admin, policy()) == 1
    assert put(database, admin, policy()) == 1
    assert put(database, admin, policy(threshold=0.9), "stricter") == 2
    with database.transaction(write=False) as tx:
        told = policies.versions(tx, other, "p")
        assert [(each.version, each.comment) for each in told] == [(2, "stricter"), (1, None)]
        found = policies.diff(tx, other, "p", before=None, after=None)
        assert (found.before, found.after) == (1, 2)
        assert [each.path for each in found.changes] == ["categories.c.threshold"]
        old = policies.kept(policies.get(tx, other, "p", version=1))
        assert old.policy.category("c").threshold == 0.5
        with pytest.raises(NotFound, match="in version 7"):
            policies.get(tx, other, "p", version=7)


def test_only_an_admin_writes(database: Database, other: Actor) -> None:
    with pytest.raises(Forbidden):
        put(database, other, policy())
    with database.transaction() as tx, pytest.raises(Forbidden):
        policies.attach(tx, other, "p", Guarded.EVERYTHING)


def test_policies_add_up_and_the_one_for_everything_steps_back(
    database: Database, admin: Actor, other: Actor
) -> None:
    for name in ("model", "key", "rest"):
        put(database, admin, policy(name))
    with database.transaction() as tx:
        policies.attach(tx, admin, "rest", Guarded.EVERYTHING)
        assert [k.policy.name for k in policies.guarding(tx, other, "modiste-tiny")] == ["rest"]
        policies.attach(tx, admin, "model", Guarded.MODEL, "modiste-tiny")
        policies.attach(tx, admin, "key", Guarded.KEY, other.key_id)
    with database.transaction() as tx:

        def names(who: Actor, model: str = "modiste-tiny") -> list[str]:
            return [each.policy.name for each in policies.guarding(tx, who, model)]

        assert names(other) == ["model", "key"]
        batch = replace(other, key_id=f"batch/{other.key_id}")
        assert names(batch) == ["model", "key"]
        assert names(admin) == ["model"]
        assert names(admin, "another") == ["rest"]
        put_again = policies.put(tx, admin, policy("model", threshold=0.9))
        assert policies.guarding(tx, admin, "modiste-tiny")[0].version == put_again.version == 2
        policies.detach(tx, admin, "model", Guarded.MODEL, "modiste-tiny")
        assert names(admin) == ["rest"]
        with pytest.raises(NotFound, match="is not attached to model modiste-tiny"):
            policies.detach(tx, admin, "model", Guarded.MODEL, "modiste-tiny")
        default = policies.default(tx, admin)
        assert default is not None
        assert default.policy.name == "rest"


def test_what_guards_something_is_not_taken_away(database: Database, admin: Actor) -> None:
    put(database, admin, policy())
    put(database, admin, policy("q"))
    with database.transaction() as tx:
        policies.attach(tx, admin, "p", Guarded.EVERYTHING)
    with database.transaction() as tx:
        with pytest.raises(Conflict, match="guards everything"):
            policies.delete(tx, admin, "p")
        with pytest.raises(Conflict, match="p is attached to everything"):
            policies.attach(tx, admin, "q", Guarded.EVERYTHING)
        policies.detach(tx, admin, "p", Guarded.EVERYTHING)
        policies.delete(tx, admin, "p")
        assert [each.name for each in policies.list_(tx, admin)] == ["q"]
        with pytest.raises(NotFound):
            policies.get(tx, admin, "p")
    assert put(database, admin, policy()) == 3  # the name comes back, its history stays


def test_nothing_is_attached_that_is_not_there(database: Database, admin: Actor) -> None:
    put(database, admin, policy())
    with database.transaction() as tx:
        for guarded, target in ((Guarded.MODEL, "nobody"), (Guarded.KEY, "key_0")):
            with pytest.raises(NotFound):
                policies.attach(tx, admin, "p", guarded, target)
        with pytest.raises(NotFound, match="No policy 'none'"):
            policies.attach(tx, admin, "none", Guarded.EVERYTHING)


def test_endpoints_are_held_to_the_addresses_that_may_be_asked(
    database: Database, admin: Actor
) -> None:
    given = {
        "name": "p",
        "categories": [{"code": "c", "definition": "d"}],
        "detectors": [
            {"name": "e", "kind": "endpoint", "url": "ftp://x", "model": "m",
             "categories": {"a": "c"}, "key_env": "MODISTE_API_KEY"}
        ],
    }  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        put(database, admin, from_json(given, file="p"))
    assert [each.path for each in refused.value.problems] == [
        "detectors.0.url", "detectors.0.key_env"
    ]  # fmt: skip
    given["detectors"][0] |= {"url": "http://169.254.169.254/v1", "key_env": None}  # type: ignore[index]
    with pytest.raises(Forbidden):
        put(database, admin, from_json(given, file="p"))
