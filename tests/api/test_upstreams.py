"""Registering models elsewhere over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from scripted import TINY, Front, ScriptedEngine, chat_row, jsonl, run_front, settings_for

from modiste.actions import models
from modiste.prepare import render
from modiste.serve.sequence import Generate, Sampling, Tokens
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.tables import JobRow

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from vllm_double import VllmDouble, running

BIG = {"name": "big", "url": "https://api.openai.com/v1", "key_env": "OPENAI_KEY"}


def test_a_hosted_model_is_registered_listed_and_deleted(mistral: httpx.Client) -> None:
    card = mistral.post("/v1/models/upstreams", json={**BIG, "max_context_length": 9}).json()
    assert (card["id"], card["owned_by"], card["max_context_length"]) == (
        "big",
        "api.openai.com",
        9,
    )
    assert (card["upstream"]["host"], card["upstream"]["model"]) == ("api.openai.com", "big")
    assert mistral.delete("/v1/models/big").json()["deleted"] is True
    assert mistral.get("/v1/models/big").status_code == 404


def test_addresses_that_are_not_permitted_and_other_keys_are_refused(
    front: Front, mistral: httpx.Client
) -> None:
    local = {**BIG, "url": "http://169.254.169.254/latest"}
    answer = mistral.post("/v1/models/upstreams", json=local)
    assert answer.status_code == 403
    assert "MODISTE_UPSTREAM_HOSTS" in answer.json()["message"]
    made = mistral.post("/v1/keys", json={"name": "t", "scopes": ["train", "infer"]}).json()
    with front.client(made["secret"]) as other:
        assert other.post("/v1/models/upstreams", json=BIG).status_code == 403


def test_a_wrong_key_is_never_said_back(mistral: httpx.Client) -> None:
    for odd in ({"api_key": ["sk-secret"]}, {"api_key": "sk-secret\n"}):
        answer = mistral.post("/v1/models/upstreams", json={**BIG, **odd})
        assert answer.status_code == 422
        assert "sk-secret" not in answer.text


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmDouble]:
    with running(VllmDouble(TINY, tmp_path_factory.mktemp("vllm"), max_model_len=200)) as double:
        yield double


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    settings = settings_for(tmp_path_factory.mktemp("home"), upstream_hosts="127.0.0.0/8")
    yield from run_front(settings, ScriptedEngine())


@pytest.fixture(scope="module")
def there(elsewhere: Front, vllm: VllmDouble) -> Iterator[httpx.Client]:
    """A front whose base `theirs` is computed by a vLLM server; its own engine is a script."""
    with elsewhere.client() as client:
        body = {"name": "theirs", "path": str(TINY), "served_by": f"vllm:{vllm.url}"}
        answer = client.post("/v1/models/bases", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["max_context_length"] == 200
        yield client


def chat(client: httpx.Client, model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "What is two and two?"}]
    body = {"model": model, "messages": messages, "temperature": 0.0, "max_tokens": 12, **more}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ours(vllm: VllmDouble, body: dict[str, Any], adapter: Path | None = None) -> str:
    """The text that our own engine gives for the ids that were sent."""
    request = Generate(
        "ours",
        str(TINY),
        tuple(body["prompt"]),
        adapter=None if adapter is None else str(adapter),
        adapter_version=None if adapter is None else "ours",
        stop_ids=frozenset(body["stop_token_ids"]),
        sampling=Sampling(temperature=0.0, max_tokens=12),
    )
    told = [event for event in vllm.compute(request) if isinstance(event, Tokens)]
    return render.load(TINY).decode([token for event in told for token in event.ids])


def test_a_base_served_by_vllm_answers_with_the_text_our_engine_would_give(
    there: httpx.Client, vllm: VllmDouble
) -> None:
    answer = chat(there, "theirs")
    said = answer["choices"][0]["message"]["content"]
    assert said == ours(vllm, vllm.bodies[-1])
    assert said != "Hello there."
    assert answer["usage"]["prompt_tokens"] == len(vllm.bodies[-1]["prompt"])
    assert chat(there, "modiste-tiny")["choices"][0]["message"]["content"] == "Hello there."
    card = there.get("/v1/models/theirs").json()["upstream"]
    assert (card["kind"], card["state"], card["today"]) == ("vllm", "closed", None)
    assert card["load"] is not None


def test_a_model_tuned_on_it_is_served_there_under_a_name_of_its_bytes(
    there: httpx.Client, vllm: VllmDouble, random_adapter: Callable[..., Path], elsewhere: Front
) -> None:
    database = Database(elsewhere.settings)
    folder = random_adapter(TINY, r=4)
    files = {
        path.name: database.blobs.put_file(path).sha256
        for path in folder.iterdir()
        if path.name.startswith("adapter")
    }
    part = {"file": ("train.jsonl", jsonl(chat_row("q", "a")))}
    file_id = there.post("/v1/files", files=part).json()["id"]
    wanted = {"training_files": [file_id], "hyperparameters": {"training_steps": 1}}
    job = there.post("/v1/fine_tuning/jobs", json={"model": "theirs", **wanted}).json()
    with database.transaction() as tx:
        row = tx.session.scalar(sa.select(JobRow).where(JobRow.id == job["id"]))
        assert row is not None
        made = models.register(tx, row, adapter=adapter_of(files), parity=None)
    database.close()
    said = chat(there, made.id)["choices"][0]["message"]["content"]
    assert said == ours(vllm, vllm.bodies[-1], folder)
    assert made.adapter is not None
    assert vllm.bodies[-1]["model"] == f"modiste-{made.adapter.version}"
    assert ":" not in vllm.bodies[-1]["model"]
    vllm.restart()
    assert chat(there, made.id)["choices"][0]["message"]["content"] == said
    there.put("/v1/models/aliases/bot", json={"model": made.id})
    assert chat(there, "bot")["choices"][0]["message"]["content"] == said


def test_embeddings_of_a_base_served_by_vllm_are_refused_by_name(there: httpx.Client) -> None:
    refused = there.post("/v1/embeddings", json={"model": "theirs", "input": "hi"})
    assert refused.status_code == 400
    assert "makes text and no embeddings" in refused.text


def test_json_by_a_schema_is_asked_of_vllm_and_forced_calls_are_refused_by_name(
    there: httpx.Client, vllm: VllmDouble
) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [4]}}, "required": ["n"]}
    wished = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = chat(there, "theirs", response_format=wished, max_tokens=60)
    said = "".join(answer["choices"][0]["message"]["content"].split())
    assert said.startswith('{"n":4')  # The small model may never end its spaces.
    assert vllm.bodies[-1]["structured_outputs"] == {"json": schema}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "theirs", "messages": messages, "tools": tools, "tool_choice": "any"}
    refused = there.post("/v1/chat/completions", json=body)
    assert refused.status_code == 422
    assert "not passed on to vLLM" in refused.text


@pytest.mark.parametrize(
    ("served_by", "status", "says"),
    [
        ("http://127.0.0.1:8000", 422, "expected vllm:URL"),
        ("vllm:http://10.0.0.1:8000", 403, "MODISTE_UPSTREAM_HOSTS"),
        ("vllm:http://127.0.0.1:1", 502, "cannot be reached"),
    ],
)
def test_a_server_that_cannot_serve_it_is_refused_when_the_base_is_added(
    there: httpx.Client, served_by: str, status: int, says: str
) -> None:
    body = {"name": "other", "path": str(TINY), "served_by": served_by}
    answer = there.post("/v1/models/bases", json=body)
    assert answer.status_code == status, answer.text
    assert says in answer.text
    assert there.get("/v1/models/other").status_code == 404
