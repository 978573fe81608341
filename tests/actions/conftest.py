"""An organisation with an admin, a base model and a way to upload rows."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from modiste.actions import files, jobs, keys, runs
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import ModelRow
from modiste.types import (
    Actor,
    File,
    Hyperparameters,
    Job,
    JobEstimate,
    Model,
    Parity,
    TrainingFile,
)

Upload = Callable[..., File]
CreateJob = Callable[..., Job]
Tune = Callable[..., Model]
Continuable = Callable[[Model], Model]
HERE = WorkerId.of_this_process()
PARITY = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.")


def chat(question: str = "Hi?", answer: str = "Hello.") -> dict[str, object]:
    turns = [("user", question), ("assistant", answer)]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture
def other(database: Database, admin: Actor) -> Actor:
    """A key that may do everything but administer."""
    with database.transaction() as tx:
        made = keys.create(tx, admin, name="other", scopes=["infer", "data", "train"])
        return keys.authenticate(tx, made.secret)


@pytest.fixture
def upload(database: Database, admin: Actor) -> Upload:
    """`upload(rows, actor=…, filename=…)`; each row is a value or the bytes of a line."""

    def send(
        *rows: object, actor: Actor = admin, filename: str = "a.jsonl", **options: object
    ) -> File:
        lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in rows or [chat()]]
        chunks = [line + b"\n" for line in lines]
        return files.add(database, actor, filename=filename, chunks=chunks, **options)  # type: ignore[arg-type]

    return send


@pytest.fixture
def create(database: Database, admin: Actor, upload: Upload) -> CreateJob:
    """`create(**options)` is a job on the shipped base with one training file."""

    def make(actor: Actor = admin, **options: object) -> Job:
        wanted = {"model": "modiste-tiny", "training_files": [TrainingFile(upload().id)], **options}
        with database.transaction() as tx:
            return jobs.create(tx, actor, **wanted)  # type: ignore[arg-type]

    return make


@pytest.fixture
def tune(database: Database, create: CreateJob) -> Tune:
    """`tune(*training_files, skip_lines=…, **options)` is the model of a job that went well."""

    def make(
        *training: File, skip_lines: dict[str, list[int]] | None = None, **options: object
    ) -> Model:
        wanted = [TrainingFile(file.id) for file in training]
        create(training_files=wanted, auto_start=True, **options)
        with database.transaction() as tx:
            validating = runs.take(tx, HERE)
            assert validating is not None
            runs.record_data(
                tx,
                validating.claim,
                rows=validating.rows,
                report_sha256=None,
                preview_sha256=None,
            )
            runs.record_validated(
                tx,
                validating.claim,
                spec={},
                estimate=JobEstimate(),
                hyperparameters=Hyperparameters(),
                skip_lines=skip_lines or {},
            )
        with database.transaction() as tx:
            training_now = runs.take(tx, HERE)
            assert training_now is not None
            adapter = adapter_of({"adapter_model.safetensors": "f" * 64})
            runs.record_trained(tx, training_now.claim, adapter=adapter, trained_tokens=9)
            model = runs.record_success(tx, training_now.claim, parity=PARITY)
            assert model is not None
            return model

    return make


@pytest.fixture
def continuable(database: Database) -> Continuable:
    """`continuable(model)` gives it an adapter of rank 4 that a job can go on from."""

    def give(model: Model) -> Model:
        config = json.dumps({"r": 4, "lora_alpha": 8, "peft_type": "LORA"}).encode()
        files = {
            "adapter_config.json": database.blobs.put_bytes(config).sha256,
            "adapter_model.safetensors": database.blobs.put_bytes(b"weights").sha256,
        }
        with database.transaction() as tx:
            row = tx.session.get(ModelRow, model.id)
            assert row is not None
            row.adapter = adapter_of(files)
        return model

    return give
