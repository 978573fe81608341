"""A job may go on from a fine-tuned model, and what it needs of it stays with the job."""

from __future__ import annotations

import json
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

CONFIG = json.dumps({"r": 4, "peft_type": "LORA"}).encode()


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
        ("modiste-tiny", "/no/such/folder", "holds no adapter_config.json"),
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
    assert start == (str(tmp_path), {}, 4)
    with pytest.raises(InvalidInput, match=r"for admins|not installed"):
        look(database, other, "modiste-tiny", str(tmp_path))


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
