"""Datasets over HTTP, and jobs that are given one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from scripted import chat_row, jsonl

from modiste.prepare.records import row_id


def upload(client: httpx.Client, name: str, *rows: Any) -> str:
    answer = client.post("/v1/files", files={"file": (name, jsonl(*rows))})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_dataset_is_made_listed_looked_into_and_deleted(mistral: httpx.Client) -> None:
    rows = [chat_row(f"dataset {n}", "yes") for n in range(3)]
    train, held_out = upload(mistral, "t.jsonl", *rows), upload(mistral, "v.jsonl", rows[0])
    body = {
        "name": "made",
        "description": "three questions",
        "files": [train, {"file_id": held_out, "part": "validation"}],
    }
    made = mistral.post("/v1/datasets", json=body).json()
    (version,) = made["versions"]
    assert (version["name"], version["status"], version["error"]) == ("made@1", "READY", None)
    assert [(f["part"], f["filename"], f["rows"]) for f in version["files"]] == [
        ("train", "t.jsonl", 3),
        ("validation", "v.jsonl", 1),
    ]
    assert mistral.get("/v1/datasets/made").json() == made
    assert made in mistral.get("/v1/datasets").json()["data"]
    page = mistral.get("/v1/datasets/made/versions/1/rows", params={"limit": 2}).json()
    assert [(row["id"], row["line"]) for row in page["data"]] == [
        (row_id(rows[0]), 1),
        (row_id(rows[1]), 2),
    ]
    assert (page["data"][0]["value"], page["has_more"]) == (rows[0], True)
    again = mistral.post("/v1/datasets", json=body)
    assert again.status_code == 409
    second = mistral.post("/v1/datasets/made/versions", json={"files": [train]}).json()
    assert second["name"] == "made@2"
    refused = mistral.delete(f"/v1/files/{train}")
    assert refused.status_code == 409
    assert "part of made@1, made@2" in refused.text
    assert mistral.delete("/v1/datasets/made").json()["deleted"] is True
    assert mistral.get("/v1/datasets/made").status_code == 404
    assert mistral.delete(f"/v1/files/{train}").status_code == 200


def test_a_version_with_stages_waits_for_a_worker(mistral: httpx.Client) -> None:
    train = upload(mistral, "staged.jsonl", chat_row("staged", "yes"))
    body = {"name": "staged", "files": [train], "stages": ["dedup", {"sample": {"n": 1}}]}
    (version,) = mistral.post("/v1/datasets", json=body).json()["versions"]
    assert (version["status"], version["files"]) == ("QUEUED", [])
    assert version["stages"] == [{"dedup": None}, {"sample": {"n": 1}}]
    for what in ("manifest", "report"):
        answer = mistral.get(f"/v1/datasets/staged/versions/1/{what}")
        assert answer.status_code == 404
        assert "QUEUED" in answer.text
    mistral.delete("/v1/datasets/staged")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"files": []}, "files"),
        ({"files": ["none"]}, "no file"),
        ({"stages": ["dedupe"]}, "did you mean dedup"),
        ({"name": "a b"}, "name"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused(
    mistral: httpx.Client, change: dict[str, Any], says: str
) -> None:
    file_id = upload(mistral, "refused.jsonl", chat_row("refused", "yes"))
    answer = mistral.post("/v1/datasets", json={"name": "refused", "files": [file_id], **change})
    assert answer.status_code == 422
    assert says in answer.text


def test_a_job_takes_a_version_and_remembers_it(mistral: httpx.Client) -> None:
    train = upload(mistral, "jt.jsonl", *[chat_row(f"job {n}", "yes") for n in range(3)])
    held_out = upload(mistral, "jv.jsonl", chat_row("held out", "yes"))
    test = upload(mistral, "jx.jsonl", chat_row("test", "yes"))
    parts = [("train", train), ("validation", held_out), ("test", test)]
    files = [{"file_id": file_id, "part": part} for part, file_id in parts]
    mistral.post("/v1/datasets", json={"name": "for-job", "files": files}).raise_for_status()
    body = {"model": "modiste-tiny", "dataset": "for-job", "hyperparameters": {}}
    job = mistral.post("/v1/fine_tuning/jobs", json=body).json()
    assert (job["dataset"], job["training_files"]) == ("for-job@1", [train])
    assert job["validation_files"] == [held_out], "a test set is for later"
    mistral.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": "nowhere"}, "no dataset"),
        ({"dataset": "only-test"}, "no part 'train', only test"),
        ({"dataset": "only-test@7"}, "not ready"),
        ({"dataset": "only-test", "training_files": ["x"]}, "give one of them"),
    ],
)
def test_a_job_without_a_usable_version_is_refused(
    mistral: httpx.Client, change: dict[str, Any], says: str
) -> None:
    file_id = upload(mistral, "ot.jsonl", chat_row("only test", "yes"))
    files = [{"file_id": file_id, "part": "test"}]
    mistral.post("/v1/datasets", json={"name": "only-test", "files": files})
    body = {"model": "modiste-tiny", "hyperparameters": {}, **change}
    answer = mistral.post("/v1/fine_tuning/jobs", json=body)
    assert answer.status_code == 422
    assert says in answer.text
