"""What a model consists of, and what its card says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import exports
from modiste.errors import BadRequest, Corrupt, Forbidden, NotFound
from modiste.nn import model_card
from modiste.store.database import Database
from modiste.types import Actor, File, Model

Upload = Callable[..., File]
Tune = Callable[..., Model]


def chat(question: str) -> dict[str, Any]:
    turns = [("user", question), ("assistant", "Yes.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def look(database: Database, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with database.transaction(write=False) as tx:
        return verb(tx, *args, **options)


@pytest.fixture
def tuned(upload: Upload, tune: Tune) -> Model:
    train, held_out = upload(chat("a"), chat("b"), filename="t.jsonl"), upload(chat("c"))
    return tune(train, validation_files=[held_out.id])


def test_a_base_is_its_folder_without_pages_and_pickles(database: Database, admin: Actor) -> None:
    found = look(database, exports.files, admin, "modiste-tiny")
    names = {file.name for file in found.files}
    assert found.whole
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "MODEL_CARD.md" not in names
    size = next(f.size_bytes for f in found.files if f.name == "tokenizer.json")
    content = b"".join(look(database, exports.open_file, admin, "modiste-tiny", "tokenizer.json"))
    assert len(content) == size


@pytest.mark.parametrize("name", ["../tiny/config.json", "MODEL_CARD.md", "nothing"])
def test_only_listed_names_are_opened(database: Database, admin: Actor, name: str) -> None:
    with pytest.raises(NotFound, match="has no file"):
        look(database, exports.open_file, admin, "modiste-tiny", name)


def test_a_tuned_model_is_its_adapter(database: Database, admin: Actor, tuned: Model) -> None:
    found = look(database, exports.files, admin, tuned.id)
    assert found.model.base == "modiste-tiny"
    assert tuned.adapter is not None
    assert {file.name: file.sha256 for file in found.files} == dict(tuned.adapter.files)
    with pytest.raises(Corrupt, match="is gone from the blob store"):
        look(database, exports.open_file, admin, tuned.id, found.files[0].name)


def test_the_card_states_data_hashes_spec_and_licence(
    database: Database, admin: Actor, tuned: Model
) -> None:
    facts = look(database, exports.facts, admin, tuned.id)
    assert facts.base == "modiste-tiny"
    assert facts.base_license == "Apache-2.0"
    assert [each.role for each in facts.data] == ["training", "validation"]
    assert facts.data[0].n_rows == 2
    said = model_card.text(facts)
    assert str(facts.data[0].sha256) in said
    assert f"| job | {tuned.job_id} |" in said


def test_a_base_has_no_card_and_strangers_see_nothing(
    database: Database, admin: Actor, tuned: Model
) -> None:
    with pytest.raises(BadRequest, match="base model"):
        look(database, exports.facts, admin, "modiste-tiny")
    stranger = Actor(org=admin.org, key_id="k", scopes=frozenset())
    for verb in (exports.files, exports.facts):
        with pytest.raises(Forbidden):
            look(database, verb, stranger, tuned.id)


def test_the_licence_of_a_base_is_what_its_own_card_says(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# x\n")
    assert exports._license(tmp_path) == "apache-2.0"
    (tmp_path / "README.md").write_text("# x\n")
    assert exports._license(tmp_path) is None
    (tmp_path / "LICENSE").touch()
    assert exports._license(tmp_path) == "see its LICENSE file"
    assert exports._license(None) is None
