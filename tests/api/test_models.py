"""Models over HTTP. A tuned model is registered as a worker would; its adapter is a few bytes."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from scripted import Front, ScriptedEngine, chat_row, jsonl

from modiste.actions import models
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.tables import JobRow

_seed = itertools.count(1)


@pytest.fixture
def tuned(front: Front, mistral: httpx.Client) -> str:
    """Id of a fine-tuned model, `ft:open-mistral-7b:…:mine:…`."""
    part = {"file": ("train.jsonl", jsonl(chat_row("q", "a")))}
    file_id = mistral.post("/v1/files", files=part).json()["id"]
    body = {
        "model": "open-mistral-7b",
        "training_files": [file_id],
        "hyperparameters": {"training_steps": 1, "seed": next(_seed)},
        "suffix": "mine",
    }
    job = mistral.post("/v1/fine_tuning/jobs", json=body).json()
    database = Database(front.settings)
    stored = database.blobs.put_stream([b"weights"], max_bytes=100)
    with database.transaction() as tx:
        row = tx.session.scalar(sa.select(JobRow).where(JobRow.id == job["id"]))
        assert row is not None
        adapter = adapter_of({"adapter_model.safetensors": stored.sha256})
        model = models.register(tx, row, adapter=adapter, parity=None)
    database.close()
    return model.id


def card(client: httpx.Client, model_id: str) -> dict[str, Any]:
    answer = client.get(f"/v1/models/{model_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_base_card_has_what_every_client_reads(mistral: httpx.Client) -> None:
    base = card(mistral, "modiste-tiny")
    assert base["object"] == "model"
    assert base["type"] == "base"
    assert isinstance(base["created"], int)
    assert base["owned_by"] == "modiste"
    assert base["permission"] == []
    assert base["aliases"] == ["open-mistral-7b"]
    assert base["max_context_length"] > 0
    assert base["deprecation"] is None
    able = {name for name, yes in base["capabilities"].items() if yes}
    assert able == {"completion_chat", "function_calling", "fine_tuning"}
    assert card(mistral, "open-mistral-7b") == base


def test_a_tuned_card_names_its_job_and_its_root(mistral: httpx.Client, tuned: str) -> None:
    told = card(mistral, tuned)
    assert told["type"] == "fine-tuned"
    assert told["root"] == "open-mistral-7b"
    assert told["parent"] == "modiste-tiny"
    assert told["id"].split(":")[-1] == told["job"][:8]
    assert told["archived"] is False
    able = {name for name, yes in told["capabilities"].items() if yes}
    assert able == {"completion_chat", "function_calling"}
    for dialect in ("mistral", "openai"):
        listed = mistral.get(f"/{dialect}/v1/models").json()["data"]
        assert next(model for model in listed if model["id"] == tuned) == told


def test_ids_are_read_raw_and_escaped(
    mistral: httpx.Client, openai: httpx.Client, tuned: str
) -> None:
    escaped = tuned.replace(":", "%3A")
    assert openai.get(f"/v1/models/{escaped}").json()["id"] == tuned
    unknown = mistral.get("/v1/models/org/name:x")
    assert unknown.status_code == 404
    assert "'org/name:x'" in unknown.json()["message"]
    assert openai.get("/v1/models/org%2Fname").json()["error"]["code"] == "model_not_found"


def test_a_list_shows_bases_first_and_can_be_narrowed(mistral: httpx.Client, tuned: str) -> None:
    listed = mistral.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["type"] for model in listed["data"][:2]] == ["base", "fine-tuned"]
    assert listed["data"][0] == card(mistral, "modiste-tiny")
    narrowed = mistral.get("/v1/models", params={"model": tuned}).json()["data"]
    assert [model["id"] for model in narrowed] == [tuned]
    assert mistral.get("/v1/models", params={"provider": "nobody"}).json()["data"] == []


def test_an_update_sets_what_is_given_and_answers_the_managed_model(
    mistral: httpx.Client, tuned: str
) -> None:
    path = f"/v1/fine_tuning/models/{tuned}"
    told = mistral.patch(path, json={"name": "n", "description": "d"}).json()
    assert (told["name"], told["description"]) == ("n", "d")
    assert told["model_type"] == "completion"
    assert told["root_version"] == ""
    assert len(told["workspace_id"]) == 8
    assert told["job"][:8] == tuned[-8:]
    told = mistral.patch(path, json={"description": "other"}).json()
    assert (told["name"], told["description"]) == ("n", "other")
    wrong = mistral.patch(path, json={"nam": "x"})
    assert wrong.status_code == 422
    assert wrong.json()["detail"][0]["loc"] == ["body", "nam"]


def test_an_archived_model_stays_listed_and_stops_answering(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine, tuned: str
) -> None:
    path = f"/v1/fine_tuning/models/{tuned}/archive"
    ask = {"model": tuned, "messages": [{"role": "user", "content": "hi"}]}
    assert mistral.post("/v1/chat/completions", json=ask).status_code == 200
    assert engine.asked[0].adapter is not None
    archived = mistral.post(path)
    assert archived.status_code == 200
    assert archived.json() == {"id": tuned, "object": "model", "archived": True}
    assert card(mistral, tuned)["archived"] is True
    refused = mistral.post("/v1/chat/completions", json=ask)
    assert refused.status_code == 400
    assert "archived" in refused.json()["message"]
    code = openai.post("/v1/chat/completions", json=ask).json()["error"]["code"]
    assert code == "model_archived"
    assert mistral.delete(path).json() == {"id": tuned, "object": "model", "archived": False}
    assert mistral.post("/v1/chat/completions", json=ask).status_code == 200


def test_a_tuned_model_is_deleted_and_a_base_is_not(
    mistral: httpx.Client, openai: httpx.Client, tuned: str
) -> None:
    answer = mistral.delete(f"/v1/models/{tuned}")
    assert answer.status_code == 200
    assert answer.json() == {"id": tuned, "object": "model", "deleted": True}
    assert mistral.get(f"/v1/models/{tuned}").status_code == 404
    for client in (mistral, openai):
        assert client.delete("/v1/models/modiste-tiny").status_code == 403
    assert mistral.get("/v1/models/modiste-tiny").status_code == 200
