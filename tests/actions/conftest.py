"""An organisation with an admin, a base model and a way to upload rows."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from modiste.actions import files, jobs, keys, models
from modiste.store.database import Database
from modiste.types import Actor, File, Job, TrainingFile

Upload = Callable[..., File]
CreateJob = Callable[..., Job]


def chat(question: str = "Hi?", answer: str = "Hello.") -> dict[str, object]:
    turns = [("user", question), ("assistant", answer)]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture
def admin(database: Database) -> Actor:
    with database.transaction() as tx:
        secret = keys.bootstrap(tx)
        assert secret is not None
        models.ensure_shipped(tx)
        return keys.authenticate(tx, secret)


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
