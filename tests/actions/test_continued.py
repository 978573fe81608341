"""A job may go on from a fine-tuned model, and what it needs of it stays with the job."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modiste.actions import continued, models, sweep
from modiste.actions.continued import resolved, with_start
from modiste.errors import InvalidInput
from modiste.store.database import Database
from modiste.store.tables import JobRow, ModelRow
from modiste.types import Actor, Adapter, Hyperparameters, Model

CONFIG = json.dumps({"r": 4, "lora_alpha": 8, "peft_type": "LORA"}).encode()


@pytest.fixture
def tuned(database: Database, tune: Any, upload: Any) -> Model:
    """A fine-tuned model with an adapter of rank 4."""
    model: Model = tune(upload())
    files = {
        "adapter_config.json": database.blobs.put_bytes(CONFIG).sha256,
        "adapter_model.safetensors": database.blobs.put_bytes(b"weights").sha256,
    }
    with database.transaction() as tx:
        row = tx.session.get(ModelRow, model.id)
        assert row is not None
        row.adapter = Adapter(files, "v")
    return model


def look(database: Database, actor: Actor, model: str, start: str | None = None):
    with database.transaction(write=False) as tx:
        return resolved(tx, actor, model, start)


def test_a_fine_tuned_model_means_its_base_and_its_adapter(
    database: Database, admin: Actor, tuned: Model
) -> None:
    for base, start in (
        look(database, admin, tuned.id),
        look(database, admin, tuned.base, tuned.id),
    ):
        assert base.id == tuned.base
        assert start is not None
        assert (start.name, start.rank) == (tuned.id, 4)
        names = ("adapter_config.json", "adapter_model.safetensors")
        assert set(start.blobs) == {f"{continued.PREFIX}{name}" for name in names}
        assert with_start(Hyperparameters(), start).lora_rank == 4
        asked = with_start(Hyperparameters(lora_rank=8), start)
        assert asked.lora_rank == 8, "what was asked for is refused where it contradicts"


def test_a_base_alone_starts_anew(database: Database, admin: Actor) -> None:
    base, start = look(database, admin, "modiste-tiny")
    assert (base.id, start) == ("modiste-tiny", None)


@pytest.mark.parametrize(
    ("model", "start", "says"),
    [
        ("modiste-tiny", "ft:no-such", "No model 'ft:no-such'"),
        ("modiste-tiny", "modiste-tiny", "is a base model"),
        ("modiste-tiny", "/no/such/folder", "holds no adapter_config.json and no lora.safetensors"),
        ("ft:no-such", None, "No model 'ft:no-such'"),
    ],
)
def test_what_cannot_be_continued_is_refused(
    database: Database, admin: Actor, model: str, start: str | None, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        look(database, admin, model, start)


def test_a_folder_of_the_server_is_for_admins(
    database: Database, admin: Actor, other: Actor, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_bytes(CONFIG)
    _, start = look(database, admin, "modiste-tiny", str(tmp_path))
    assert start is not None
    assert (start.name, start.blobs, start.rank) == (str(tmp_path), {}, 4)
    with pytest.raises(InvalidInput, match=r"for admins|not installed"):
        look(database, other, "modiste-tiny", str(tmp_path))


def test_an_adapter_in_mistrals_layout_is_a_start_too(
    database: Database, admin: Actor, create: Any, tmp_path: Path
) -> None:
    folder = mistral_adapter(tmp_path)
    _, start = look(database, admin, "modiste-tiny", str(folder))
    assert start is not None
    assert (start.name, start.rank) == (str(folder), 2)
    job = create(hyperparameters=Hyperparameters(continue_from=str(folder)))
    assert (job.hyperparameters.continue_from, job.hyperparameters.lora_rank) == (str(folder), 2)
    (folder / "params.json").unlink()
    with pytest.raises(InvalidInput, match="does not say the adapter's scaling"):
        look(database, admin, "modiste-tiny", str(folder))


def mistral_adapter(folder: Path) -> Path:
    """Of rank 2, as mistral-finetune leaves it."""
    entry = {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}
    header = json.dumps({"layers.0.attention.wq.lora_A.weight": entry}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(8)
    (folder / "lora.safetensors").write_bytes(content)
    (folder / "params.json").write_text(json.dumps({"lora": {"rank": 2, "scaling": 2.0}}))
    return folder


def test_what_contradicts_the_adapter_is_told_before_there_is_a_job(
    database: Database, admin: Actor, tuned: Model, create: Any
) -> None:
    wish = Hyperparameters(lora_rank=8, lora_alpha=3.0, lora_targets=("q_proj",), lora_dora=True)
    for options in (
        {"model": tuned.id, "hyperparameters": wish},
        {"hyperparameters": replace(wish, continue_from=tuned.id)},
    ):
        with pytest.raises(InvalidInput) as told:
            create(**options)
        assert told.value.error_code == "continue_from"
        assert "lora.rank is 8, the adapter has 4" in told.value.message
        assert "lora.alpha is 3.0, the adapter has 8" in told.value.message
        assert "lora.dora is True" in told.value.message
    with pytest.raises(InvalidInput, match="method full has none"):
        create(model=tuned.id, hyperparameters=Hyperparameters(method="full"))
    with database.transaction(write=False) as tx:
        assert tx.session.query(JobRow).count() == 1, "that of the model"
    same = Hyperparameters(lora_rank=4, lora_alpha=8.0)
    assert create(model=tuned.id, hyperparameters=same).hyperparameters.lora_rank == 4


def test_deleting_the_model_does_not_pull_it_from_under_the_job(
    database: Database, admin: Actor, tuned: Model, create: Any, tmp_path: Path
) -> None:
    job = create(model=tuned.id)
    with database.transaction() as tx:
        models.delete(tx, admin, tuned.id)
    sweep.sweep(database, grace=sweep.BLOB_GRACE * 0)
    with database.transaction(write=False) as tx:
        row = tx.session.scalar(sa.select(JobRow).where(JobRow.id == job.id))
        assert row is not None
        assert row.asked.continue_from == tuned.id
        kept = dict(row.blobs)
    folder = continued.folder(database.blobs, kept, tuned.id, tmp_path)
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
