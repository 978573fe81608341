"""Keys, bases and the steps of a job."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from scripted import TINY, Front, chat_row, jsonl

from modiste.store.database import Database
from modiste.store.tables import JobRow, MetricRow
from modiste.types import Progress

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def job_id(mistral: httpx.Client) -> str:
    part = {"file": ("train.jsonl", jsonl(chat_row("q", "a")))}
    file_id = mistral.post("/v1/files", files=part).json()["id"]
    body = {"model": "modiste-tiny", "training_files": [file_id], "hyperparameters": {}}
    made = str(mistral.post(JOBS, json=body).json()["id"])
    mistral.post(f"{JOBS}/{made}/cancel").raise_for_status()
    return made


def test_a_key_shows_its_secret_once_and_works_until_it_is_revoked(front: Front) -> None:
    with front.client() as admin:
        made = admin.post("/v1/keys", json={"name": "ci", "scopes": ["data", "infer"]}).json()
        assert made["object"] == "key"
        assert made["scopes"] == ["data", "infer"]
        assert made["secret"].startswith(made["prefix"])
        with front.client(made["secret"]) as client:
            assert client.get("/v1/files").status_code == 200
            forbidden = client.get(JOBS)
            assert forbidden.status_code == 403
            assert "train" in forbidden.json()["detail"]
            listed = {key["id"]: key for key in admin.get("/v1/keys").json()["data"]}
            assert listed[made["id"]]["revoked_at"] is None
            assert "secret" not in listed[made["id"]]
            revoked = admin.delete(f"/v1/keys/{made['id']}").json()
            assert isinstance(revoked["revoked_at"], int)
            assert client.get("/v1/files").status_code == 401


def test_the_last_admin_key_cannot_be_revoked(front: Front) -> None:
    with front.client() as admin:
        keys = admin.get("/v1/keys").json()["data"]
        [key] = [each for each in keys if "admin" in each["scopes"] and not each["revoked_at"]]
        assert admin.delete(f"/v1/keys/{key['id']}").status_code == 409


def test_wrong_keys_are_told(front: Front) -> None:
    with front.client() as admin:
        wrong = admin.post("/v1/keys", json={"name": 3, "scope": ["infer"]})
        assert wrong.status_code == 422
        named = {entry["loc"][1] for entry in wrong.json()["detail"]}
        assert named == {"name", "scope", "scopes"}
        assert admin.post("/v1/keys", json={"name": "x", "scopes": ["fly"]}).status_code == 422
        assert admin.delete("/v1/keys/key_none").status_code == 404


def test_a_base_is_installed_from_a_folder(front: Front, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with front.client() as admin:
        added = admin.post("/v1/models/bases", json={"name": "my-base", "path": str(folder)})
        assert added.status_code == 200, added.text
        assert (added.json()["id"], added.json()["type"]) == ("my-base", "base")
        assert admin.get("/v1/models/my-base").json() == added.json()
        missing = admin.post("/v1/models/bases", json={"name": "b", "path": str(tmp_path)})
        assert missing.status_code == 422
        assert str(tmp_path) in missing.json()["message"]


def test_folders_of_bases_are_for_admins(front: Front) -> None:
    with front.client() as admin:
        bases = admin.get("/v1/models/bases").json()["data"]
        (base,) = (each for each in bases if each["id"] == "modiste-tiny")
        assert (Path(base["path"]) / "tokenizer.json").is_file()
        assert base["tokens_per_s"] is None, "nothing was trained here yet"
        made = admin.post("/v1/keys", json={"name": "ci", "scopes": ["train"]}).json()
    with front.client(key=made["secret"]) as other:
        assert other.get("/v1/models/bases").status_code == 403


@pytest.fixture
def steps(front: Front, job_id: str) -> None:
    """Two recorded steps; the second one without a validation."""
    database = Database(front.settings)
    with database.transaction() as tx:
        row = tx.session.scalar(sa.select(JobRow).where(JobRow.id == job_id))
        assert row is not None
        row.progress = Progress(2, 10, 1.5, 1e-4, 100.0, 50.0, 8.0, 200)
        for step in (1, 2):
            tx.session.add(
                MetricRow(
                    job_id=job_id,
                    step=step,
                    created_at=tx.now(),
                    loss=2.0 / step,
                    n_tokens=100 * step,
                    valid_loss=3.0 if step == 1 else None,
                    measures={"reward_margin": 0.5} if step == 1 else None,
                    valid_measures={"reward_margin": 0.25} if step == 1 else None,
                )
            )
    database.close()


@pytest.mark.usefixtures("steps")
def test_metrics_tell_every_step_and_null_where_nothing_was_measured(
    mistral: httpx.Client, job_id: str
) -> None:
    told = mistral.get(f"{JOBS}/{job_id}/metrics").json()
    assert [(row["step"], row["loss"], row["valid_loss"]) for row in told["data"]] == [
        (1, 2.0, 3.0),
        (2, 1.0, None),
    ]
    first, second = told["data"]
    assert first["measures"] == {"reward_margin": 0.5}
    assert first["valid_measures"] == {"reward_margin": 0.25}
    assert (second["measures"], second["valid_measures"]) == (None, None)
    assert told["progress"]["total_steps"] == 10
    assert told["progress"]["eta_s"] == 8.0
    later = mistral.get(f"{JOBS}/{job_id}/metrics", params={"after_step": 1}).json()
    assert [row["step"] for row in later["data"]] == [2]


@pytest.mark.usefixtures("steps")
def test_progress_streams_the_whole_story_and_ends_with_the_job(
    mistral: httpx.Client, job_id: str
) -> None:
    answer = mistral.get(f"{JOBS}/{job_id}/progress")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told: list[tuple[str, Any]] = []
    for event in answer.text.strip().split("\n\n"):
        name, data = event.split("\n")
        told.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    assert [name for name, _ in told] == ["status", "status", "step", "step", "progress", "job"]
    assert [data["data"]["status"] for name, data in told if name == "status"] == [
        "QUEUED",
        "CANCELLED",
    ]
    assert told[-1][1]["id"] == job_id
    assert mistral.get(f"{JOBS}/none/progress").status_code == 404
