"""Models elsewhere: registered by admins alone, keys kept out of sight, budgets by the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from modiste.actions import aliases, exports, jobs, models, upstreams
from modiste.actions.upstreams import Hosted
from modiste.errors import (
    BadRequest,
    Busy,
    Conflict,
    Forbidden,
    InvalidInput,
    UpstreamFailed,
)
from modiste.serve.hosted_wire import Used
from modiste.store.database import Database
from modiste.store.tables import Base
from modiste.types import Actor, Model, ModelKind, Spent, TrainingFile, UpstreamKind

SECRET = SecretStr("sk-very-secret")
BIG = Hosted("big", "https://api.openai.com/v1", model="gpt-9", key_env="OPENAI_KEY")


def add(database: Database, actor: Actor, asked: Hosted = BIG) -> Model:
    with database.transaction() as tx:
        return upstreams.add(tx, actor, asked)


def record(database: Database, model: Model, used: Used) -> None:
    with database.transaction() as tx:
        upstreams.record(tx, model, used)


def spent(database: Database) -> Spent:
    with database.transaction(write=False) as tx:
        return upstreams.spent_today(tx, "big")


def test_a_hosted_model_is_listed_resolved_and_described_anew(
    database: Database, admin: Actor, other: Actor
) -> None:
    made = add(database, admin)
    assert (made.kind, made.owned_by, made.path) == (ModelKind.HOSTED, "api.openai.com", "")
    with database.transaction(write=False) as tx:
        assert models.resolve(tx, other, "big") == made
        assert [m.id for m in models.list_(tx, other)] == ["modiste-tiny", "big"]
        assert models.bases(tx, admin) == (models.get(tx, admin, "modiste-tiny"),)
    moved = add(
        database,
        admin,
        replace(BIG, url="https://api.mistral.ai/v1/", kind=UpstreamKind.MISTRAL, model=None),
    )
    assert moved.upstream is not None
    assert (moved.upstream.url, moved.upstream.model) == ("https://api.mistral.ai/v1", "big")


def test_only_an_admin_registers_changes_or_deletes_one(
    database: Database, admin: Actor, other: Actor
) -> None:
    with pytest.raises(Forbidden):
        add(database, other)
    add(database, admin)
    with database.transaction() as tx:
        with pytest.raises(Forbidden):
            models.delete(tx, other, "big")
        models.delete(tx, admin, "big")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": "ft:big"}, "name"),
        ({"url": "ftp://x.test"}, "url"),
        ({"url": "https://sk-1@x.test"}, "url"),
        ({"key_env": "sk-not-a-name"}, "key_env"),
        ({"key_env": "MODISTE_API_KEY"}, "key_env"),
        ({"key": SECRET}, "key_env"),
        ({"key": SecretStr("a\nb"), "key_env": None}, "api_key"),
        ({"kind": UpstreamKind.VLLM}, "kind"),
        ({"daily_cost_micro": 1}, "daily_cost_micro"),
        ({"daily_tokens": -1}, "daily_tokens"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(
    database: Database, admin: Actor, change: dict[str, object], param: str
) -> None:
    with pytest.raises(InvalidInput) as told:
        add(database, admin, replace(BIG, **change))  # type: ignore[arg-type]
    assert told.value.param == param
    assert "sk-" not in told.value.message


def test_addresses_on_this_machine_need_the_settings_permission(
    database: Database, admin: Actor
) -> None:
    local = replace(BIG, url="http://127.0.0.1:8000/v1")
    with pytest.raises(Forbidden, match=r"MODISTE_UPSTREAM_HOSTS=public,127\.0\.0\.1:8000"):
        add(database, admin, local)
    hosts = ("public", "127.0.0.1:8000")
    database.settings = database.settings.model_copy(update={"upstream_hosts": hosts})
    add(database, admin, local)


def test_a_name_of_weights_or_of_an_alias_is_taken(database: Database, admin: Actor) -> None:
    with pytest.raises(Conflict, match="already names weights"):
        add(database, admin, replace(BIG, name="modiste-tiny"))
    with database.transaction() as tx:
        aliases.set_(tx, admin, "bot", "modiste-tiny")
    with pytest.raises(Conflict, match="alias"):
        add(database, admin, replace(BIG, name="bot"))


def test_a_hosted_model_has_no_files_and_is_not_tuned(
    database: Database, admin: Actor, upload
) -> None:  # type: ignore[no-untyped-def]
    add(database, admin)
    with database.transaction(write=False) as tx, pytest.raises(BadRequest, match="another server"):
        exports.files(tx, admin, "big")
    with pytest.raises(InvalidInput, match="its weights are not here"):  # noqa: SIM117
        with database.transaction() as tx:
            jobs.create(tx, admin, model="big", training_files=[TrainingFile(upload().id)])


def test_the_key_is_read_when_it_is_needed_and_its_absence_said_by_name(
    database: Database, admin: Actor
) -> None:
    model, settings = add(database, admin), database.settings
    key = upstreams.key_of(settings, model, {"OPENAI_KEY": " sk-1 "})
    assert key is not None
    assert key.get_secret_value() == "sk-1"
    with pytest.raises(UpstreamFailed, match=r"api\.openai\.com is read from OPENAI_KEY"):
        upstreams.key_of(settings, model, {})
    free = add(database, admin, replace(BIG, key_env=None))
    assert upstreams.key_of(settings, free, {}) is None


def test_a_key_that_was_given_is_sealed_and_nowhere_in_clear(
    database: Database, admin: Actor
) -> None:
    model = add(database, admin, replace(BIG, key_env=None, key=SECRET))
    key = upstreams.key_of(database.settings, model, {})
    assert key == SECRET
    assert "sk-very-secret" not in repr(model) + repr(key)
    with database.transaction(write=False) as tx:
        for table in Base.metadata.sorted_tables:
            for row in tx.session.execute(sa.select(sa.text("*")).select_from(table)):
                assert "sk-very-secret" not in repr(row)


def test_a_days_budget_of_tokens_ends_at_midnight(database: Database, admin: Actor) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    database.clock = lambda: noon
    model = add(database, admin, replace(BIG, daily_tokens=20))
    record(database, model, Used(10, 9))
    with database.transaction() as tx:
        upstreams.refuse_if_spent(tx, model)
    record(database, model, Used(5, 0, estimated=True))
    with database.transaction() as tx, pytest.raises(Busy, match="24 of 20 tokens") as told:
        upstreams.refuse_if_spent(tx, model)
    assert (told.value.error_code, told.value.retry_after_s) == ("budget_spent", 12 * 3600)
    assert spent(database) == Spent(2, 15, 9, 0, 1)
    database.clock = lambda: noon + timedelta(hours=12)
    with database.transaction() as tx:
        upstreams.refuse_if_spent(tx, model)
    assert spent(database) == Spent()


def test_a_days_budget_of_money_counts_prices_of_a_million_tokens(
    database: Database, admin: Actor
) -> None:
    priced = replace(
        BIG, daily_cost_micro=2_000_000, price_in_micro=1_000_000, price_out_micro=4_000_000
    )
    model = add(database, admin, priced)
    record(database, model, Used(1_000_000, 249_999))
    assert spent(database).cost_micro == 1_999_996
    with database.transaction() as tx:
        upstreams.refuse_if_spent(tx, model)
    record(database, model, Used(1, 1))
    assert spent(database).cost_micro == 2_000_001
    with database.transaction() as tx, pytest.raises(Busy, match=r"2\.00 of 2\.00 EUR"):
        upstreams.refuse_if_spent(tx, model)
