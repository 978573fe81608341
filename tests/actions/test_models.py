"""Names become models; what is not installed says what to type; bases stay as they are."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modiste.actions import models
from modiste.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from modiste.settings import Settings
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.tables import JobRow, ModelRow
from modiste.types import Abilities, Actor, Model, ModelKind, Parity, Upstream, UpstreamKind

PARITY = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "fine")


@pytest.fixture
def tiny(database: Database, admin: Actor) -> Model:
    with database.transaction(write=False) as tx:
        return models.get(tx, admin, "modiste-tiny")


@pytest.fixture
def tuned(database: Database, admin: Actor, create) -> Model:  # type: ignore[no-untyped-def]
    """Registered as the end of a job registers it."""
    create(suffix="mine")
    with database.transaction() as tx:
        return models.register(
            tx, tx.session.query(JobRow).one(), adapter=adapter_of({"a": "1"}), parity=PARITY
        )


def resolve(database: Database, actor: Actor, name: str) -> Model:
    with database.transaction(write=False) as tx:
        return models.resolve(tx, actor, name)


def test_the_shipped_base_is_there_and_follows_the_package(
    database: Database, tiny: Model, admin: Actor
) -> None:
    assert (tiny.kind, tiny.owned_by) == (ModelKind.BASE, "modiste")
    assert tiny.max_context_length >= 512
    assert (Path(tiny.path) / "model.safetensors").is_file()
    with database.transaction() as tx:
        models.ensure_shipped(tx)
        assert len(models.list_(tx, admin)) == 1


def test_a_tuned_model_is_named_after_base_day_suffix_and_job(
    database: Database, admin: Actor, tuned: Model, tiny: Model
) -> None:
    job8 = (tuned.job_id or "")[:8]
    day = tuned.created_at.strftime("%Y%m%d")
    assert tuned.id == f"ft:modiste-tiny:{admin.org}:{day}:mine:{job8}"
    assert (tuned.root, tuned.base, tuned.path) == ("modiste-tiny", "modiste-tiny", tiny.path)
    assert (tuned.max_context_length, tuned.parity) == (tiny.max_context_length, PARITY)
    assert resolve(database, admin, tuned.id) == tuned


def test_names_have_the_vendors_parts() -> None:
    day = datetime(2026, 2, 11, tzinfo=UTC)
    name = models.fine_tuned_name("ministral-3b-latest", "843dc3f7", day, None, "ccbc3b2d-1-2")
    assert name == "ft:ministral-3b-latest:843dc3f7:20260211:ccbc3b2d"
    name = models.fine_tuned_name("m", "843dc3f7", day, "le-suffix", "ccbc3b2d-1-2")
    assert name == "ft:m:843dc3f7:20260211:le-suffix:ccbc3b2d"


def test_registering_a_job_twice_makes_one_model(
    database: Database, admin: Actor, tuned: Model
) -> None:
    with database.transaction() as tx:
        again = models.register(
            tx, tx.session.query(JobRow).one(), adapter=adapter_of({"a": "1"}), parity=PARITY
        )
        assert again == tuned
        assert len(models.list_(tx, admin)) == 2


def test_settings_let_a_base_answer_to_vendors_names(
    database: Database, admin: Actor, settings: Settings
) -> None:
    aliases = {"open-mistral-7b": "modiste-tiny", "codestral-latest": "not-there"}
    database.settings = settings.model_copy(update={"base_aliases": aliases})
    assert resolve(database, admin, "open-mistral-7b").id == "modiste-tiny"
    with database.transaction(write=False) as tx:
        base = models.get(tx, admin, "open-mistral-7b")
    assert (base.id, base.aliases) == ("modiste-tiny", ("open-mistral-7b",))
    with pytest.raises(NotFound, match=r"stands for 'not-there'.*modiste models add not-there"):
        resolve(database, admin, "codestral-latest")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        (
            "open-mistral-7b",
            "modiste models add open-mistral-7b --path hub:mistralai/Mistral-7B-Instruct-v0.3",
        ),
        ("gpt-4o-mini", "MODISTE_BASE_ALIASES=gpt-4o-mini=modiste-tiny"),
        ("ft:modiste-tiny:x", "modiste models list"),
    ],
)
def test_a_name_that_is_not_installed_says_what_to_type(
    database: Database, admin: Actor, name: str, advice: str
) -> None:
    with pytest.raises(NotFound) as told:
        resolve(database, admin, name)
    assert advice in told.value.message
    assert told.value.error_code == "model_not_found"


def test_a_model_can_be_renamed_described_and_keeps_its_id(
    database: Database, admin: Actor, tuned: Model
) -> None:
    with database.transaction() as tx:
        models.update(tx, admin, tuned.id, name="Mine")
        changed = models.update(tx, admin, tuned.id, description="Routes mail.")
    assert (changed.id, changed.name, changed.description) == (tuned.id, "Mine", "Routes mail.")


def test_an_archived_model_is_listed_and_does_not_answer(
    database: Database, admin: Actor, tuned: Model
) -> None:
    with database.transaction() as tx:
        assert models.archive(tx, admin, tuned.id).archived
    with pytest.raises(BadRequest, match=r"archived.*modiste models unarchive"):
        resolve(database, admin, tuned.id)
    with database.transaction() as tx:
        assert models.get(tx, admin, tuned.id).archived
        assert not models.unarchive(tx, admin, tuned.id).archived
    assert resolve(database, admin, tuned.id) == tuned


def test_a_deleted_model_is_gone(database: Database, admin: Actor, tuned: Model) -> None:
    with database.transaction() as tx:
        assert models.delete(tx, admin, tuned.id).id == tuned.id
    with pytest.raises(NotFound):
        resolve(database, admin, tuned.id)


def test_a_base_is_neither_renamed_nor_archived_nor_deleted(
    database: Database, admin: Actor
) -> None:
    for verb in (models.update, models.archive, models.unarchive, models.delete):
        with pytest.raises(Forbidden, match="base model"), database.transaction() as tx:
            verb(tx, admin, "modiste-tiny")


def test_an_own_base_is_added_from_a_folder(
    database: Database, admin: Actor, tiny: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny.path, folder)
    added = models.add_base(database, admin, name="org/mine-1.0", path=str(folder))
    assert (added.id, added.path, added.owned_by) == ("org/mine-1.0", str(folder), "local")
    assert added.max_context_length == tiny.max_context_length
    assert resolve(database, admin, "org/mine-1.0") == added
    again = models.add_base(database, admin, name="org/mine-1.0", path=str(folder))
    assert again == added


@pytest.fixture
def thinker_base(coder_base: Path, tmp_path: Path) -> Path:
    """A base that thinks, fills in the middle, and knows no tools."""
    folder = tmp_path / "thinker"
    shutil.copytree(coder_base, folder)
    definition = (folder / "tokenizer.json").read_text()
    for slash in ("", "/"):
        definition = definition.replace(f"[{slash}AVAILABLE_TOOLS]", f"<{slash}think>")
    (folder / "tokenizer.json").write_text(definition)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}{# <think> #}"
    )
    return folder


def test_what_a_bases_format_can_do_is_read_when_it_is_installed(
    database: Database, admin: Actor, tiny: Model, coder_base: Path, thinker_base: Path
) -> None:
    assert tiny.abilities == Abilities(tools=True)
    coder = models.add_base(database, admin, name="coder", path=str(coder_base))
    assert coder.abilities == Abilities(fim=True, tools=True)
    thinker = models.add_base(database, admin, name="thinker", path=str(thinker_base))
    assert thinker.abilities == Abilities(fim=True, thoughts=True)
    assert resolve(database, admin, "thinker").abilities == thinker.abilities


def test_an_embedder_can_do_nothing_of_the_kind(
    database: Database, admin: Actor, sentence_base: Path
) -> None:
    pytest.importorskip("torch", reason="pip install 'modiste[local]'")
    added = models.add_base(database, admin, name="sentences", path=str(sentence_base))
    assert added.abilities == Abilities()


def test_a_base_without_a_chat_format_does_not_chat(
    database: Database, admin: Actor, coder_base: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(
        coder_base, tmp_path / "plain", ignore=shutil.ignore_patterns("chat_template.jinja")
    )
    models.add_base(database, admin, name="plain", path=str(base))
    assert resolve(database, admin, "plain").abilities == Abilities(chats=False, fim=True)


def test_a_base_added_again_is_read_again_with_the_models_made_of_it(
    database: Database, admin: Actor, create: Any, thinker_base: Path
) -> None:
    models.add_base(database, admin, name="thinker", path=str(thinker_base))
    create(model="thinker")
    with database.transaction() as tx:
        job = tx.session.query(JobRow).one()
        made = models.register(tx, job, adapter=adapter_of({"a": "1"}), parity=PARITY)
    assert made.abilities == Abilities(fim=True, thoughts=True)
    template = thinker_base / "chat_template.jinja"
    template.write_text(template.read_text().replace("{# <think> #}", ""))
    models.add_base(database, admin, name="thinker", path=str(thinker_base))
    assert resolve(database, admin, "thinker").abilities == Abilities(fim=True)
    assert resolve(database, admin, made.id).abilities == Abilities(fim=True)


def test_what_older_versions_did_not_keep_is_filled_in_at_the_next_start(
    database: Database, admin: Actor, tuned: Model, coder_base: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    models.add_base(database, admin, name="coder", path=str(coder_base))
    away = tmp_path / "away"
    shutil.copytree(coder_base, away)
    models.add_base(database, admin, name="away", path=str(away))
    forget_abilities(database)
    away.rename(tmp_path / "elsewhere")
    models.tell_abilities(database)
    told = {name: resolve(database, admin, name).abilities for name in (tuned.id, "coder", "away")}
    assert told == {
        tuned.id: Abilities(tools=True),
        "coder": Abilities(fim=True, tools=True),
        "away": None,
    }
    assert f"models on {away}" in caplog.text
    (tmp_path / "elsewhere").rename(away)
    models.tell_abilities(database)
    assert resolve(database, admin, "away").abilities == Abilities(fim=True, tools=True)


def test_a_list_opens_no_tokenizer_and_neither_does_a_start_that_misses_nothing(
    database: Database, admin: Actor, tuned: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(folder: Path) -> None:
        raise AssertionError(f"{folder} was opened")

    monkeypatch.setattr(models.render, "load", load)
    models.tell_abilities(database)
    with database.transaction(write=False) as tx:
        assert {model.abilities for model in models.list_(tx, admin)} == {Abilities(tools=True)}


def forget_abilities(database: Database) -> None:
    """As a database is behind the migration."""
    with database.transaction() as tx:
        tx.session.execute(sa.update(ModelRow).values(abilities=None))


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_folder_that_lacks_something_is_refused_by_name(
    database: Database, admin: Actor, tiny: Model, tmp_path: Path, missing: str
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny.path, folder, ignore=shutil.ignore_patterns(missing))
    with pytest.raises(InvalidInput, match=missing.replace(".", r"\.")):
        models.add_base(database, admin, name="mine", path=str(folder))
    with pytest.raises(NotFound):
        resolve(database, admin, "mine")


def test_weights_that_others_build_on_are_not_swapped(
    database: Database, admin: Actor, tuned: Model, tiny: Model, tmp_path: Path
) -> None:
    shutil.copytree(tiny.path, tmp_path / "other")
    with pytest.raises(Conflict, match="1 models and 1 unfinished jobs build on them"):
        models.add_base(database, admin, name="modiste-tiny", path=str(tmp_path / "other"))


@pytest.mark.parametrize("name", ["", "ft:mine", "a b", "../x", "-x", "x" * 201])
def test_a_bases_name_is_plain(database: Database, admin: Actor, tiny: Model, name: str) -> None:
    with pytest.raises(InvalidInput, match="no colon"):
        models.add_base(database, admin, name=name, path=tiny.path)


def test_only_admins_add_bases(database: Database, other: Actor, tiny: Model) -> None:
    with pytest.raises(Forbidden):
        models.add_base(database, other, name="x", path=tiny.path)


def test_the_hub_offline_says_what_to_do(
    database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub", reason="pip install 'modiste[data]' or 'modiste[local]'")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="copy the model's folder here and give --path DIR"):
        models.add_base(database, admin, name="x", path="hub:nobody/nothing")


def test_models_made_of_a_base_move_with_it_to_another_server_and_back(
    database: Database, admin: Actor, tuned: Model, tiny: Model
) -> None:
    there = Upstream(UpstreamKind.VLLM, "http://127.0.0.1:8000")
    for served_by in (there, None):
        models.add_base(database, admin, name=tiny.id, path=tiny.path, served_by=served_by)
        assert resolve(database, admin, tuned.id).upstream == served_by
        assert resolve(database, admin, tiny.id).upstream == served_by
        with database.transaction() as tx:
            models.ensure_shipped(tx)
        assert resolve(database, admin, tiny.id).upstream == served_by


def test_a_whole_model_stands_on_its_own_files_wherever_its_base_is_served(
    database: Database, admin: Actor, tuned: Model, tiny: Model
) -> None:
    with database.transaction() as tx:
        job = tx.session.query(JobRow).one()
        models.register(tx, job, adapter=adapter_of({"config.json": "1"}), parity=PARITY)
    there = Upstream(UpstreamKind.VLLM, "http://127.0.0.1:8000")
    models.add_base(database, admin, name=tiny.id, path=tiny.path, served_by=there)
    assert resolve(database, admin, tuned.id).upstream is None
