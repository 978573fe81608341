"""What every answer has, and what is answered when something goes wrong."""

from __future__ import annotations

import logging

import httpx
import pytest
from scripted import Front, ScriptedEngine, jsonl

ASK = {"model": "modiste-tiny", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/nothing", "/openapi.json"])
def test_every_answer_has_a_request_id(mistral: httpx.Client, path: str) -> None:
    ids = {mistral.get(path).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_the_callers_own_request_id_is_kept_if_it_is_harmless(mistral: httpx.Client) -> None:
    kept = mistral.get("/v1/models", headers={"x-request-id": "abc-1.2_3"})
    assert kept.headers["x-request-id"] == "abc-1.2_3"
    changed = mistral.get("/v1/models", headers={"x-request-id": "a b;c" * 40})
    assert changed.headers["x-request-id"] != "a b;c" * 40


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic abc", "mod_x"])
def test_a_request_without_a_key_that_opens_is_a_401_in_both_dialects(
    front: Front, authorization: str
) -> None:
    headers = {"authorization": authorization} if authorization else {}
    theirs = httpx.get(f"{front.url}/v1/models", headers=headers)
    assert theirs.status_code == 401
    assert theirs.json()["detail"] == "Unauthorized"
    assert theirs.json()["request_id"] == theirs.headers["x-request-id"]
    ours = httpx.get(f"{front.url}/openai/v1/models", headers=headers)
    assert ours.status_code == 401
    assert ours.json()["error"]["code"] == "invalid_api_key"


def test_an_unknown_route_is_a_404_in_both_dialects(
    mistral: httpx.Client, openai: httpx.Client
) -> None:
    theirs = mistral.get("/v1/rag/indexes")
    assert theirs.status_code == 404
    assert theirs.json()["message"] == "no Route matched with those values"
    assert openai.get("/v1/rag/indexes").json()["error"]["code"] == "unknown_url"
    wrong_method = mistral.put("/v1/models")
    assert wrong_method.status_code == 405
    assert "GET" in wrong_method.headers["allow"]


def test_bodies_on_requests_that_need_none_are_ignored(mistral: httpx.Client) -> None:
    for kind, content in (("application/json", b"{}"), ("application/octet-stream", b"")):
        for path in ("/v1/models", "/v1/files", "/v1/fine_tuning/jobs"):
            headers = {"content-type": kind}
            answer = mistral.request("GET", path, content=content, headers=headers)
            assert answer.status_code == 200
            assert answer.json()["object"] == "list"


def test_success_is_200_json_and_carries_no_deprecation_header(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    for answer in (
        mistral.get("/v1/models"),
        mistral.post("/v1/chat/completions", json=ASK),
        mistral.post("/v1/chat/completions", json={**ASK, "stream": True}),
    ):
        assert answer.status_code == 200
        assert "x-model-deprecation-timestamp" not in answer.headers


def test_every_success_of_the_vendor_surface_names_its_object(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    """The 0.x client takes a body without it for a failure."""
    for client in (mistral, openai):
        part = {"file": ("o.jsonl", jsonl({"text": "object"}))}
        file_id = client.post("/v1/files", files=part).json()["id"]
        jobs = "/v1/fine_tuning/jobs"
        body = {"model": "modiste-tiny", "training_files": [file_id], "hyperparameters": {}}
        job = mistral.post(jobs, json=body).json()["id"]
        for method, path, sent in (
            ("GET", jobs, None),
            ("GET", f"{jobs}/{job}", None),
            ("GET", f"{jobs}/{job}/events", None),
            ("GET", f"{jobs}/{job}/checkpoints", None),
            ("POST", f"{jobs}/{job}/pause", None),
            ("POST", f"{jobs}/{job}/resume", None),
            ("POST", f"{jobs}/{job}/start", None),
            ("POST", f"{jobs}/{job}/cancel", None),
            ("GET", "/v1/files", None),
            ("GET", f"/v1/files/{file_id}", None),
            ("DELETE", f"/v1/files/{file_id}", None),
            ("GET", "/v1/models", None),
            ("GET", "/v1/models/modiste-tiny", None),
            ("POST", "/v1/chat/completions", ASK),
        ):
            answer = client.request(method, path, json=sent)
            assert answer.status_code == 200, f"{method} {path}: {answer.text}"
            assert answer.headers["content-type"].startswith("application/json")
            assert isinstance(answer.json()["object"], str), path


class Broken(ScriptedEngine):
    """Fails as nobody foresaw."""

    async def generate(self, request: object) -> object:  # type: ignore[override]
        raise ZeroDivisionError("a secret detail")
        yield


@pytest.mark.parametrize("streamed", [True, False])
def test_what_nobody_foresaw_is_a_500_that_names_the_log_and_tells_no_detail(
    front: Front,
    mistral: httpx.Client,
    openai: httpx.Client,
    engine: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    streamed: bool,
) -> None:
    monkeypatch.setattr(ScriptedEngine, "generate", Broken.generate)
    with caplog.at_level(logging.ERROR):
        theirs = mistral.post("/v1/chat/completions", json={**ASK, "stream": streamed})
    assert theirs.status_code == 500
    assert theirs.json()["object"] == "error"
    request_id = theirs.headers["x-request-id"]
    assert request_id in theirs.json()["message"]
    assert "secret" not in theirs.text
    assert request_id in caplog.text
    assert "a secret detail" in caplog.text
    ours = openai.post("/v1/chat/completions", json={**ASK, "stream": streamed})
    assert ours.status_code == 500
    assert ours.json()["error"]["type"] == "server_error"


def test_the_0_x_client_is_told_no_where_later_would_make_it_repeat_wrongly(
    front: Front, mistral: httpx.Client, mistral_0: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modiste.actions import files
    from modiste.errors import Unavailable

    def locked(*_: object, **__: object) -> None:
        raise Unavailable("the database is locked", retry_after_s=1.0)

    monkeypatch.setattr(files, "add_received", locked)
    part = {"file": ("a.jsonl", b'{"text": "a"}\n')}
    later = mistral.post("/v1/files", files=part)
    assert later.status_code == 503
    assert later.headers["retry-after"] == "1"
    no = mistral_0.post("/v1/files", files=part)
    assert no.status_code == 400
    assert no.json()["detail"] == "the database is locked"
