"""Lineage over HTTP: from a model to its rows, from a row to its models, and forgetting."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from scripted import Front, chat_row, jsonl

from modiste.actions import runs
from modiste.prepare.records import row_id
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.types import Hyperparameters, JobEstimate, Parity


def upload(client: httpx.Client, name: str, *rows: Any) -> str:
    answer = client.post("/v1/files", files={"file": (name, jsonl(*rows))})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def tuned(front: Front, client: httpx.Client, file_id: str) -> str:
    """A model made from the file; nothing was trained."""
    body = {
        **{"model": "modiste-tiny", "training_files": [file_id], "hyperparameters": {}},
        **{"auto_start": True, "suffix": file_id[:8]},
    }
    client.post("/v1/fine_tuning/jobs", json=body).raise_for_status()
    database = Database(front.settings)
    worker = WorkerId.of_this_process("tester")
    with database.transaction() as tx:
        job = runs.take(tx, worker)
        assert job is not None
        blobs = {"report_sha256": None, "preview_sha256": None}
        runs.record_data(tx, job.claim, rows=job.rows, **blobs)
        runs.record_validated(
            tx,
            job.claim,
            spec={},
            estimate=JobEstimate(),
            hyperparameters=Hyperparameters(),
            skip_lines={},
        )
    with database.transaction() as tx:
        job = runs.take(tx, worker)
        assert job is not None
        adapter = adapter_of({"adapter_model.safetensors": "f" * 64})
        runs.record_trained(tx, job.claim, adapter=adapter, trained_tokens=9)
        parity = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.")
        model = runs.record_success(tx, job.claim, parity=parity)
    assert model is not None
    database.close()
    return model.id


def test_from_a_model_to_its_rows_and_back(front: Front, mistral: httpx.Client) -> None:
    rows = [chat_row(f"there {n}", "and back") for n in range(3)]
    file_id = upload(mistral, "there.jsonl", *rows)
    model = tuned(front, mistral, file_id)
    lineage = mistral.get(f"/v1/models/{model}/lineage").json()
    assert (lineage["model"], lineage["stale"], lineage["rows_forgotten"]) == (model, None, 0)
    (file,) = lineage["files"]
    assert (file["filename"], file["rows"], file["use"]) == ("there.jsonl", 3, "train")
    params: dict[str, Any] = {"file_id": file_id, "limit": 2}
    first = mistral.get(f"/v1/models/{model}/rows", params=params).json()
    assert [row["id"] for row in first["data"]] == [row_id(row) for row in rows[:2]]
    assert first["has_more"]
    rest = mistral.get(f"/v1/models/{model}/rows", params={**params, "after_line": 2}).json()
    assert ([row["line"] for row in rest["data"]], rest["has_more"]) == ([3], False)
    seen = mistral.get(f"/v1/rows/{row_id(rows[1])}/models").json()
    assert [(one["model"], one["lines"]) for one in seen["models"]] == [(model, [2])]
    assert [one["filename"] for one in seen["files"]] == ["there.jsonl"]


def test_forgetting_by_line_marks_the_model_stale(front: Front, mistral: httpx.Client) -> None:
    rows = [chat_row("keep me", "yes"), chat_row("forget me", "yes")]
    file_id = upload(mistral, "forget.jsonl", *rows)
    model = tuned(front, mistral, file_id)
    body = {"file": file_id, "lines": [2], "reason": "the customer asked"}
    answer = mistral.post("/v1/rows/forget", json=body).json()
    assert answer["stale_models"] == [model]
    assert [row["id"] for row in answer["rows"]] == [row_id(rows[1])]
    assert [(file["file_id"], file["lines"]) for file in answer["files"]] == [(file_id, [2])]
    stale = mistral.get(f"/v1/models/{model}/lineage").json()["stale"]
    assert (stale["n_rows"], stale["reason"]) == (1, "the customer asked")
    found = mistral.get(f"/v1/rows/{row_id(rows[1])}/models").json()
    assert found["forgotten"]["reason"] == "the customer asked"
    assert [one["stale"] for one in found["models"]] == [True]
    card = mistral.get(f"/v1/models/{model}")
    assert card.status_code == 200, "it is served on: what to do about it is for people to decide"


def test_rows_of_a_file_are_named_by_their_lines(mistral: httpx.Client) -> None:
    row = chat_row("which row", "this one")
    file_id = upload(mistral, "which.jsonl", row)
    answer = mistral.get(f"/v1/files/{file_id}/rows", params={"line": 1}).json()
    assert answer["data"] == [{"id": row_id(row), "line": 1}]
    assert mistral.get(f"/v1/files/{file_id}/rows", params={"line": 2}).status_code == 422


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"rows": ["0" * 32]}, "reason"),
        ({"rows": ["x"], "reason": "r"}, "32 hex digits"),
        ({"rows": [], "reason": "r"}, "No row is named"),
        ({"lines": [1], "reason": "r"}, "go together"),
        ({"file": "f", "reason": "r"}, "go together"),
        ({"rows": ["0" * 32], "reason": "r", "extra": 1}, "extra"),
    ],
)
def test_a_wrong_wish_to_forget_is_refused(
    mistral: httpx.Client, body: dict[str, Any], says: str
) -> None:
    answer = mistral.post("/v1/rows/forget", json=body)
    assert answer.status_code == 422
    assert says in answer.text


def test_a_key_without_the_scope_may_not_ask(front: Front, mistral: httpx.Client) -> None:
    made = mistral.post("/v1/keys", json={"name": "infer", "scopes": ["infer"]}).json()
    with front.client(made["secret"]) as client:
        assert client.get(f"/v1/rows/{'0' * 32}/models").status_code == 403
        body = {"rows": ["0" * 32], "reason": "r"}
        assert client.post("/v1/rows/forget", json=body).status_code == 403
