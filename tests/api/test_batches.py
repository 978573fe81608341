"""Batches over HTTP: made, listed, cancelled and forgotten in the words of both vendors."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from scripted import Front

from modiste.actions import batch_runs
from modiste.actions.batch_lines import Checked
from modiste.actions.batch_runs import Results
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import BatchCounts, Problem

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hi"}], "model": "modiste-tiny"}
LINES = [{"custom_id": str(n), "method": "POST", "url": CHAT, "body": BODY} for n in range(3)]
ASK: dict[str, Any] = {"endpoint": CHAT, "model": "modiste-tiny"}
HERE = WorkerId.of_this_process("tester")


def upload(client: httpx.Client, *lines: Any) -> str:
    content = "".join(json.dumps(line) + "\n" for line in lines or LINES)
    part = {"file": ("in.jsonl", content)}
    answer = client.post("/v1/files", files=part, data={"purpose": "batch"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def openai_batch(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    body = {"input_file_id": upload(client), "endpoint": CHAT, "completion_window": "24h"}
    answer = client.post("/v1/batches", json=body | changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ended(front: Front, batch_id: str, counts: BatchCounts, *lines: dict[str, Any]) -> None:
    """A worker takes the batch and ends it with these results."""
    database = Database(front.settings)
    while True:
        with database.transaction() as tx:
            claim = queue.claim(tx, HERE, {Phase.BATCH})
            assert claim is not None
            task = batch_runs.taken(tx, claim)
        path = front.settings.home / "output.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        mine = claim.job_id == batch_id
        output = batch_runs.store(database, task, path, errors=False) if mine and lines else None
        with database.transaction() as tx:
            batch_runs.record_ended(tx, claim, counts, Results(output, None))
        if mine:
            return database.close()


def test_mistral_makes_a_batch_of_a_file(mistral: httpx.Client) -> None:
    file_id = upload(mistral)
    made = mistral.post(
        "/v1/batch/jobs", json={**ASK, "input_files": [file_id], "metadata": {"k": "v"}}
    )
    assert made.status_code == 200, made.text
    body = made.json()
    assert body == mistral.get(f"/v1/batch/jobs/{body['id']}").json()
    assert {name: body[name] for name in ("object", "status", "input_files", "metadata")} == {
        "object": "batch",
        "status": "QUEUED",
        "input_files": [file_id],
        "metadata": {"k": "v"},
    }
    assert (body["total_requests"], body["completed_requests"], body["errors"]) == (3, 0, [])
    assert body["expires_at"] - body["created_at"] == 24 * 3600


def test_metadata_filters_by_its_own_name_in_the_query(mistral: httpx.Client) -> None:
    line = {"custom_id": "a", "body": BODY}
    ids = [
        mistral.post(
            "/v1/batch/jobs", json={**ASK, "requests": [line], "metadata": {"tag": tag}}
        ).json()["id"]
        for tag in ("one", "two")
    ]
    found = mistral.get("/v1/batch/jobs", params={"tag": "one", "order_by": "-created"}).json()
    assert ([each["id"] for each in found["data"]], found["total"]) == (ids[:1], 1)
    both = {"status": ["QUEUED", "CANCELLED"], "order_by": "created", "page_size": 1000}
    listed = [each["id"] for each in mistral.get("/v1/batch/jobs", params=both).json()["data"]]
    assert listed.index(ids[0]) < listed.index(ids[1])
    assert mistral.get("/v1/batch/jobs", params={"agent_id": "x"}).json()["data"] == []
    wrong = mistral.get("/v1/batch/jobs", params={"status": "DONE"})
    assert wrong.status_code == 422
    assert "'DONE'" in wrong.text


def test_inline_requests_are_refused_line_by_line(mistral: httpx.Client) -> None:
    bad = [{"custom_id": "a", "body": BODY}, {"custom_id": "a", "body": {"stream": True}}]
    refused = mistral.post("/v1/batch/jobs", json={**ASK, "requests": bad})
    assert refused.status_code == 422
    assert [entry["loc"] for entry in refused.json()["detail"]] == [
        ["file", "requests", 2, "custom_id"],
        ["file", "requests", 2, "body.stream"],
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpoint": "/v1/ocr"}, "batches here run /v1/chat/completions"),
        ({"agent_id": "ag"}, "no agents here"),
        ({"timeout_hours": 0}, "timeout_hours"),
        ({"model": "gone"}, "gone"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    mistral: httpx.Client, change: dict[str, Any], said: str
) -> None:
    body = {**ASK, "requests": [{"body": {"messages": []}}], **change}
    refused = mistral.post("/v1/batch/jobs", json=body)
    assert refused.status_code == 422
    assert said in refused.text


def test_an_ended_batch_shows_its_results_inline_and_is_deleted(
    front: Front, mistral: httpx.Client
) -> None:
    line = {"custom_id": "a", "body": BODY}
    batch_id = mistral.post("/v1/batch/jobs", json={**ASK, "requests": [line]}).json()["id"]
    one = f"/v1/batch/jobs/{batch_id}"
    assert mistral.delete(one).status_code == 409
    result = {"id": "r", "custom_id": "a"}
    ended(front, batch_id, BatchCounts(1, 1), result)
    told = mistral.get(one, params={"inline": True}).json()
    assert (told["status"], told["outputs"]) == ("SUCCESS", [result])
    assert mistral.get(one).json()["outputs"] is None
    file = mistral.get(f"/v1/files/{told['output_file']}").json()
    assert (file["purpose"], file["sample_type"], file["source"]) == (
        "batch",
        "batch_result",
        "mistral",
    )
    assert mistral.delete(one).json() == {"id": batch_id, "object": "batch", "deleted": True}
    assert mistral.get(one).status_code == 404


def test_the_first_generation_always_gets_a_model(front: Front, openai: httpx.Client) -> None:
    batch_id = openai_batch(openai)["id"]

    def model_for(agent: str) -> Any:
        with front.client(**{"user-agent": f"mistral-client-python/{agent}"}) as client:
            return client.get(f"/v1/batch/jobs/{batch_id}").json()["model"]

    assert (model_for("1.2.6"), model_for("3.7.0")) == ("", None)


def test_openai_makes_a_batch_of_a_file(openai: httpx.Client) -> None:
    batch = openai_batch(openai, metadata={"k": "v"})
    assert (batch["object"], batch["status"], batch["completion_window"]) == (
        "batch",
        "validating",
        "24h",
    )
    assert batch["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
    assert (batch["metadata"], batch["errors"], batch["model"]) == ({"k": "v"}, None, None)
    assert openai.get(f"/v1/batches/{batch['id']}").json() == batch


def test_openai_pages_by_cursor(openai: httpx.Client) -> None:
    made = [openai_batch(openai)["id"] for _ in range(3)]
    first = openai.get("/v1/batches", params={"limit": 2}).json()
    assert [each["id"] for each in first["data"]] == made[:0:-1]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (made[2], made[1], True)
    rest = openai.get("/v1/batches", params={"limit": 1, "after": made[1]}).json()
    assert [each["id"] for each in rest["data"]] == [made[0]]


def test_openai_cancels_and_reads_results_by_their_purpose(
    front: Front, openai: httpx.Client
) -> None:
    batch = openai_batch(openai)
    ended(front, batch["id"], BatchCounts(3, 2, 1, 10, 5), {"id": "r"})
    told = openai.get(f"/v1/batches/{batch['id']}").json()
    assert told["status"] == "completed"
    assert told["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert told["usage"]["total_tokens"] == 15
    file_id = told["output_file_id"]
    assert openai.get(f"/v1/files/{file_id}").json()["purpose"] == "batch_output"
    outputs = openai.get("/v1/files", params={"purpose": "batch_output"}).json()["data"]
    assert file_id in [file["id"] for file in outputs]
    inputs = openai.get("/v1/files", params={"purpose": "batch"}).json()["data"]
    assert batch["input_file_id"] in [file["id"] for file in inputs]
    assert file_id not in [file["id"] for file in inputs]
    late = openai.post(f"/v1/batches/{batch['id']}/cancel")
    assert (late.status_code, late.json()["error"]["code"]) == (400, "batch_finished")
    waiting = openai_batch(openai)["id"]
    assert openai.post(f"/v1/batches/{waiting}/cancel").json()["status"] == "cancelled"


def test_openai_is_told_the_lines_that_are_wrong(front: Front, openai: httpx.Client) -> None:
    batch = openai_batch(openai)
    database = Database(front.settings)
    while True:
        with database.transaction() as tx:
            claim = queue.claim(tx, HERE, {Phase.BATCH})
            assert claim is not None
            problem = Problem("in.jsonl", 2, "url", "invalid_url", "url is 'x'")
            batch_runs.record_refused(tx, claim, Checked(3, (problem,), 1))
        if claim.job_id == batch["id"]:
            break
    database.close()
    told = openai.get(f"/v1/batches/{batch['id']}").json()
    assert told["status"] == "failed"
    assert told["failed_at"] is not None
    [error] = told["errors"]["data"]
    assert (error["code"], error["line"], error["param"]) == ("invalid_url", 2, "url")
    with front.client(**{"user-agent": "mistral-client-python/3.7.0"}) as client:
        shown = client.get(f"/v1/batch/jobs/{batch['id']}").json()
    assert (shown["status"], shown["errors"]) == (
        "FAILED",
        [{"message": "in.jsonl line 2: url is 'x'", "count": 1}],
    )


def test_a_request_without_an_openai_client_is_refused_in_openais_words(front: Front) -> None:
    with front.client(**{"user-agent": "curl/8"}) as client:
        refused = client.post("/v1/batches", json={"endpoint": CHAT, "completion_window": "9d"})
    assert refused.status_code == 400
    assert "completion_window" in refused.json()["error"]["message"]
    assert "input_file_id" in refused.json()["error"]["message"]
