"""The OpenAPI document is complete, and real answers keep what it promises."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from scripted import Front, ScriptedEngine, chat_row, jsonl
from starlette.routing import Match

ASK = {"model": "modiste-tiny", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def document(front: Front) -> dict[str, Any]:
    answer = httpx.get(f"{front.url}/openapi.json", timeout=60)
    assert answer.status_code == 200
    return dict(answer.json())


def promised(document: dict[str, Any], answer: httpx.Response) -> dict[str, Any]:
    """The schema that the document gives for this answer."""
    path = answer.request.url.path
    by_length = sorted(document["paths"], key=len, reverse=True)
    exact = [template for template in by_length if _fits(template, path)]
    operation = document["paths"][exact[0]][answer.request.method.lower()]
    status = str(answer.status_code)
    said = operation["responses"].get(status) or operation["responses"][f"{status[0]}XX"]
    return {**said["content"]["application/json"]["schema"], "components": document["components"]}


def _fits(template: str, path: str) -> bool:
    from starlette.routing import Route

    route = Route(template.replace("{model_id}", "{model_id:path}"), lambda request: None)
    match, _ = route.matches({"type": "http", "path": path, "method": "GET"})
    return match is not Match.NONE


def test_every_route_is_in_the_document(document: dict[str, Any]) -> None:
    vendor = {
        "/files": {"get", "post"},
        "/files/{file_id}": {"get", "delete"},
        "/files/{file_id}/content": {"get"},
        "/files/{file_id}/url": {"get"},
        "/files/signed/{token}": {"get"},
        "/fine_tuning/jobs": {"get", "post"},
        "/fine_tuning/jobs/{job_id}": {"get"},
        "/fine_tuning/jobs/{job_id}/cancel": {"post"},
        "/fine_tuning/jobs/{job_id}/start": {"post"},
        "/fine_tuning/jobs/{job_id}/pause": {"post"},
        "/fine_tuning/jobs/{job_id}/resume": {"post"},
        "/fine_tuning/jobs/{job_id}/events": {"get"},
        "/fine_tuning/jobs/{job_id}/checkpoints": {"get"},
        "/batch/jobs": {"get", "post"},
        "/batch/jobs/{job_id}": {"get", "delete"},
        "/batch/jobs/{job_id}/cancel": {"post"},
        "/batches": {"get", "post"},
        "/batches/{batch_id}": {"get"},
        "/batches/{batch_id}/cancel": {"post"},
        "/fine_tuning/models/{model_id}": {"patch"},
        "/fine_tuning/models/{model_id}/archive": {"post", "delete"},
        "/models": {"get"},
        "/models/{model_id}": {"get", "delete"},
        "/chat/completions": {"post"},
        "/fim/completions": {"post"},
        "/moderations": {"post"},
        "/chat/moderations": {"post"},
        "/completions": {"post"},
        "/embeddings": {"post"},
        "/classifications": {"post"},
        "/chat/classifications": {"post"},
    }
    ours = {
        "/healthz": {"get"},
        "/v1/tokenize": {"post"},
        "/v1/detokenize": {"post"},
        "/v1/keys": {"get", "post"},
        "/v1/keys/{key_id}": {"delete"},
        "/v1/models/bases": {"get", "post"},
        "/v1/models/aliases": {"get"},
        "/v1/models/upstreams": {"post"},
        "/v1/models/aliases/{name}": {"get", "put", "delete"},
        "/v1/fine_tuning/jobs/{job_id}/metrics": {"get"},
        "/v1/fine_tuning/jobs/{job_id}/progress": {"get"},
        "/v1/fine_tuning/jobs/{job_id}/report": {"get"},
        "/v1/fine_tuning/jobs/{job_id}/preview": {"get"},
        "/v1/fine_tuning/jobs/{job_id}/worst": {"get"},
        "/v1/models/{model_id}/card": {"get"},
        "/v1/models/{model_id}/parity": {"get"},
        "/v1/models/{model_id}/parity/exports": {"post"},
        "/v1/models/{model_id}/files": {"get"},
        "/v1/models/{model_id}/files/{name}": {"get"},
        "/v1/files/{file_id}/report": {"get"},
        "/v1/files/{file_id}/rows": {"get"},
        "/v1/models/{model_id}/lineage": {"get"},
        "/v1/models/{model_id}/rows": {"get"},
        "/v1/rows/{row_id}/models": {"get"},
        "/v1/rows/forget": {"post"},
        "/v1/datasets": {"get", "post"},
        "/v1/datasets/{name}": {"get", "delete"},
        "/v1/datasets/{name}/versions": {"post"},
        "/v1/datasets/{name}/versions/{version}": {"get"},
        "/v1/datasets/{name}/versions/{version}/rows": {"get"},
        "/v1/datasets/{name}/versions/{version}/manifest": {"get"},
        "/v1/datasets/{name}/versions/{version}/report": {"get"},
        "/v1/evals/schema": {"get"},
        "/v1/evals/runs": {"get", "post"},
        "/v1/evals/runs:import": {"post"},
        "/v1/evals/runs/{run_id}": {"get", "delete"},
        "/v1/evals/runs/{run_id}/suite": {"get"},
        "/v1/evals/runs/{run_id}/samples": {"get"},
        "/v1/evals/runs/{run_id}/cancel": {"post"},
        "/v1/evals/runs/{run_id}/resume": {"post"},
        "/v1/evals/runs/{run_id}/rescore": {"post"},
        "/v1/policies": {"get", "post"},
        "/v1/policies/{name}": {"get", "delete"},
        "/v1/policies/{name}/versions": {"get"},
        "/v1/policies/{name}/diff": {"get"},
        "/v1/policies/{name}/attach": {"post"},
        "/v1/policies/{name}/detach": {"post"},
        "/v1/notifications": {"get"},
        "/v1/notifications/test": {"post"},
        "/v1/models/promotions": {"get", "post"},
        "/v1/models/promotions/{name}": {"get"},
        "/v1/models/promotions/{name}/rollback": {"post"},
    }
    expected = dict(ours)
    for mount in ("/v1", "/mistral/v1", "/openai/v1"):
        expected |= {f"{mount}{path}": methods for path, methods in vendor.items()}
    assert {path: set(item) for path, item in document["paths"].items()} == expected


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    known = set(document["components"]["schemas"])
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                found.add(value["$ref"].removeprefix("#/components/schemas/"))
            for each in value.values():
                walk(each)
        if isinstance(value, list):
            for each in value:
                walk(each)

    walk(document)
    assert found - known == set()


def test_every_route_but_health_and_signed_links_needs_a_key(document: dict[str, Any]) -> None:
    open_to_all = {
        path
        for path, item in document["paths"].items()
        for operation in item.values()
        if not operation.get("security")
    }
    signed = {f"{mount}/files/signed/{{token}}" for mount in ("/v1", "/mistral/v1", "/openai/v1")}
    assert open_to_all == {"/healthz"} | signed


def test_every_route_that_reads_a_body_describes_it(document: dict[str, Any]) -> None:
    without = {"cancel", "start", "pause", "resume", "archive", "test"}
    for path, item in document["paths"].items():
        for method in {"post", "patch"} & set(item):
            if path.rsplit("/", 1)[1] in without:
                continue
            content = item[method]["requestBody"]["content"]
            assert next(iter(content.values()))["schema"], path


def test_every_refusal_is_json(document: dict[str, Any]) -> None:
    """Also where the answer itself is a page, a stream or a file."""
    for path, item in document["paths"].items():
        for operation in item.values():
            for status, said in operation["responses"].items():
                if status[0] in "45" and "content" in said:
                    assert set(said["content"]) == {"application/json"}, (path, status)


def test_a_job_body_is_described_per_mount(document: dict[str, Any]) -> None:
    def names(mount: str) -> str:
        operation = document["paths"][f"{mount}/fine_tuning/jobs"]["post"]
        return str(operation["requestBody"]["content"]["application/json"]["schema"])

    assert "/JobIn" in names("/mistral/v1")
    assert "OpenAI" not in names("/mistral/v1")
    assert "OpenAIJobIn" in names("/openai/v1")
    assert "/JobIn" in names("/v1")
    assert "OpenAIJobIn" in names("/v1")


@pytest.mark.parametrize("mount", ["/v1", "/mistral/v1", "/openai/v1"])
def test_real_answers_keep_what_the_document_promises(
    front: Front, engine: ScriptedEngine, document: dict[str, Any], mount: str
) -> None:
    with front.client(**{"user-agent": "curl/8"}) as client:
        part = {"file": ("t.jsonl", jsonl(chat_row("q", mount)))}
        upload = client.post(f"{mount}/files", files=part)
        file_id = upload.json()["id"]
        other = {"file": ("kept.jsonl", jsonl(chat_row("kept", mount)))}
        kept = client.post(f"{mount}/files", files=other).json()["id"]
        job_body: dict[str, Any] = {
            "model": "modiste-tiny",
            "training_files": [file_id],
            "hyperparameters": {},
            "suffix": "doc",
        }
        if mount == "/openai/v1":
            job_body = {"model": "modiste-tiny", "training_file": file_id, "suffix": "doc"}
        job = client.post(f"{mount}/fine_tuning/jobs", json=job_body)
        job_id = job.json()["id"]
        jobs = f"{mount}/fine_tuning/jobs"
        line = {"custom_id": "a", "body": ASK}
        rows = {"file": ("b.jsonl", jsonl(line))}
        requests = client.post(f"{mount}/files", files=rows, data={"purpose": "batch"}).json()
        batch_body = {"endpoint": "/v1/chat/completions", "input_files": [requests["id"]]}
        batch = client.post(f"{mount}/batch/jobs", json=batch_body)
        asked = {"input_file_id": requests["id"], "completion_window": "24h"}
        openai_body = {"endpoint": "/v1/chat/completions", **asked}
        openai_batch = client.post(f"{mount}/batches", json=openai_body)
        one, other_one = batch.json()["id"], openai_batch.json()["id"]
        answers = [
            batch,
            openai_batch,
            client.post(f"{mount}/batch/jobs", json={}),
            client.post(f"{mount}/batches", json={}),
            client.get(f"{mount}/batch/jobs"),
            client.get(f"{mount}/batches"),
            client.get(f"{mount}/batch/jobs/{one}"),
            client.get(f"{mount}/batches/{other_one}"),
            client.post(f"{mount}/batch/jobs/{one}/cancel"),
            client.post(f"{mount}/batches/{other_one}/cancel"),
            client.get(f"{mount}/batch/jobs/{one}", params={"inline": True}),
            client.delete(f"{mount}/batch/jobs/{one}"),
            client.get(f"{mount}/batches/{one}"),
            upload,
            job,
            client.post(jobs, json=job_body),
            client.post(jobs, params={"dry_run": True}, json=job_body),
            client.post(jobs, json={}),
            client.get(jobs),
            client.get(f"{jobs}/{job_id}"),
            client.get(f"{jobs}/none"),
            client.get(f"{jobs}/{job_id}/events"),
            client.get(f"{jobs}/{job_id}/checkpoints"),
            client.post(f"{jobs}/{job_id}/cancel"),
            client.get(f"{mount}/files"),
            client.get(f"{mount}/files/{file_id}"),
            client.get(f"{mount}/files/{file_id}/url"),
            client.delete(f"{mount}/files/{file_id}"),
            client.get(f"{mount}/models"),
            client.get(f"{mount}/models/modiste-tiny"),
            client.get(f"{mount}/models/none"),
            client.delete(f"{mount}/models/modiste-tiny"),
            client.post(f"{mount}/chat/completions", json=ASK),
            client.post(f"{mount}/chat/completions", json={}),
            client.post(f"{mount}/fim/completions", json={}),
            client.post(f"{mount}/completions", json={"model": "modiste-tiny", "prompt": "a"}),
            client.post(f"{mount}/completions", json={}),
            client.post(f"{mount}/embeddings", json={"model": "modiste-tiny", "input": "a"}),
            client.post(f"{mount}/embeddings", json={}),
        ]
        if mount == "/v1":
            answers += [
                client.post("/v1/tokenize", json={"model": "modiste-tiny", "prompt": "a"}),
                client.post("/v1/detokenize", json={"model": "modiste-tiny", "tokens": [5]}),
                client.get("/healthz"),
                client.get("/v1/keys"),
                client.post("/v1/keys", json={"name": "doc", "scopes": ["infer"]}),
                client.get(f"{jobs}/{job_id}/metrics"),
                client.get(f"{jobs}/{job_id}/report"),
                client.get(f"{mount}/files/{kept}/report"),
                client.get(f"{mount}/files/{kept}/rows", params={"line": 1}),
                client.get(f"{mount}/rows/{'0' * 32}/models"),
                client.get(f"{mount}/models/modiste-tiny/lineage"),
                client.post(f"{mount}/datasets", json={"name": "doc", "files": [kept]}),
                client.post(f"{mount}/datasets/doc/versions", json={"files": [kept]}),
                client.get(f"{mount}/datasets"),
                client.get(f"{mount}/datasets/doc"),
                client.get(f"{mount}/datasets/doc/versions/1"),
                client.get(f"{mount}/datasets/doc/versions/1/rows"),
                client.get(f"{mount}/datasets/doc/versions/1/manifest"),
                client.get(f"{mount}/datasets/doc/versions/1/report"),
                client.delete(f"{mount}/datasets/doc"),
                client.post(f"{mount}/rows/forget", json={"rows": ["0" * 32], "reason": "doc"}),
            ]
    for answer in answers:
        schema = promised(document, answer)
        try:
            jsonschema.validate(answer.json(), schema)
        except jsonschema.ValidationError as error:
            pytest.fail(f"{answer.request.method} {answer.request.url}: {error.message}")
