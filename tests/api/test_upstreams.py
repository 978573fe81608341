"""Registering models elsewhere over HTTP."""

from __future__ import annotations

import httpx
from scripted import Front

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
