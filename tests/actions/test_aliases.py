"""Aliases: names that switch, remembered with who and when, one mechanism beside the settings."""

from __future__ import annotations

import pytest

from modiste.actions import aliases, models
from modiste.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.types import Actor, Model, Scope


@pytest.fixture
def tuned(tune, upload) -> Model:  # type: ignore[no-untyped-def]
    return tune(upload())  # type: ignore[no-any-return]


def set_(database: Database, actor: Actor, name: str, model: str) -> None:
    with database.transaction() as tx:
        aliases.set_(tx, actor, name, model)


def answering(database: Database, actor: Actor, name: str) -> str:
    with database.transaction(write=False) as tx:
        return models.resolve(tx, actor, name).id


def test_a_switched_alias_answers_with_the_other_model_and_says_who_switched_it(
    database: Database, admin: Actor, other: Actor, tuned: Model
) -> None:
    set_(database, admin, "support-bot", "modiste-tiny")
    assert answering(database, other, "support-bot") == "modiste-tiny"
    set_(database, other, "support-bot", tuned.id)
    assert answering(database, admin, "support-bot") == tuned.id
    with database.transaction(write=False) as tx:
        told = aliases.history(tx, admin, "support-bot")
        assert [(a.model, a.set_by) for a in told] == [
            (tuned.id, other.key_id),
            ("modiste-tiny", admin.key_id),
        ]
        assert told[0].set_at >= told[1].set_at
        assert aliases.list_(tx, admin) == (told[0],)
        by_id = {model.id: model.aliases for model in models.list_(tx, admin)}
    assert by_id == {tuned.id: ("support-bot",), "modiste-tiny": ()}


def test_an_alias_for_an_alias_stands_for_the_model_behind_it_and_does_not_follow_it(
    database: Database, admin: Actor, tuned: Model
) -> None:
    set_(database, admin, "one", "modiste-tiny")
    set_(database, admin, "two", "one")
    set_(database, admin, "one", tuned.id)
    assert answering(database, admin, "two") == "modiste-tiny"


def test_a_name_that_was_set_wins_over_the_settings_until_it_is_taken_away(
    database: Database, admin: Actor, settings: Settings, tuned: Model
) -> None:
    defaults = {"open-mistral-7b": "modiste-tiny"}
    database.settings = settings.model_copy(update={"base_aliases": defaults})
    assert answering(database, admin, "open-mistral-7b") == "modiste-tiny"
    set_(database, admin, "open-mistral-7b", tuned.id)
    assert answering(database, admin, "open-mistral-7b") == tuned.id
    with database.transaction() as tx:
        aliases.remove(tx, admin, "open-mistral-7b")
    assert answering(database, admin, "open-mistral-7b") == "modiste-tiny"
    with database.transaction() as tx, pytest.raises(NotFound, match="modiste models alias"):
        aliases.remove(tx, admin, "open-mistral-7b")


@pytest.mark.parametrize(
    ("name", "model", "error", "says"),
    [
        ("ft:mine", "modiste-tiny", InvalidInput, "no colon"),
        ("", "modiste-tiny", InvalidInput, "alias is ''"),
        ("modiste-tiny", "modiste-tiny", Conflict, "the name of a model"),
        ("bot", "not-there", NotFound, "modiste models list"),
    ],
)
def test_what_cannot_be_an_alias_is_refused(
    database: Database, admin: Actor, name: str, model: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        set_(database, admin, name, model)


def test_a_model_that_an_alias_stands_for_is_not_deleted(
    database: Database, admin: Actor, tuned: Model
) -> None:
    set_(database, admin, "bot", tuned.id)
    with database.transaction() as tx, pytest.raises(Conflict, match="modiste models alias bot"):
        models.delete(tx, admin, tuned.id)
    set_(database, admin, "bot", "modiste-tiny")
    with database.transaction() as tx:
        models.delete(tx, admin, tuned.id)


def test_an_archived_model_gets_no_alias(database: Database, admin: Actor, tuned: Model) -> None:
    with database.transaction() as tx:
        models.archive(tx, admin, tuned.id)
    with pytest.raises(BadRequest, match="unarchive"):
        set_(database, admin, "bot", tuned.id)


def test_a_base_is_not_installed_under_the_name_of_an_alias(
    database: Database, admin: Actor
) -> None:
    set_(database, admin, "bot", "modiste-tiny")
    with database.transaction(write=False) as tx:
        folder = models.get(tx, admin, "modiste-tiny").path
    with pytest.raises(Conflict, match="--remove"):
        models.add_base(database, admin, name="bot", path=folder)


def test_a_key_that_may_not_train_may_not_switch(database: Database, admin: Actor) -> None:
    reader = Actor(admin.key_id, admin.org, frozenset({Scope.INFER}))
    with pytest.raises(Forbidden):
        set_(database, reader, "bot", "modiste-tiny")
