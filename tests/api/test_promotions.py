"""Promotions over HTTP: the name with `@` answers, a refusal says why, all is on record."""

from __future__ import annotations

import httpx
from scripted import ScriptedEngine

NAME = "support-bot@production"
PATH = "/v1/models/promotions"


def test_a_promoted_name_answers_and_is_guarded(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    asked = {"name": NAME, "model": "modiste-tiny", "override": "first deployment"}
    made = mistral.post(PATH, json=asked)
    assert made.status_code == 200, made.text
    assert (made.json()["kind"], made.json()["previous"]) == ("overridden", None)
    chat = {"model": NAME, "messages": [{"role": "user", "content": "hi"}]}
    for client in (mistral, openai):
        answer = client.post("/v1/chat/completions", json=chat)
        assert answer.json()["choices"][0]["message"]["content"] == "Hello there."
        assert NAME in client.get(f"/v1/models/{NAME}").json()["aliases"]
    refused = mistral.put(f"/v1/models/aliases/{NAME}", json={"model": "modiste-tiny"})
    assert refused.status_code == 409
    assert mistral.post(f"{PATH}/{NAME}/rollback", json={}).status_code == 400
    (decision,) = mistral.get(f"{PATH}/{NAME}").json()["data"]
    assert decision["reason"] == "first deployment"
    assert [each["name"] for each in mistral.get(PATH).json()["data"]] == [NAME]


def test_a_gate_without_its_runs_is_refused_before_anything_is_written(
    mistral: httpx.Client,
) -> None:
    asked = {
        "name": "bot@staging",
        "model": "modiste-tiny",
        "gate": {"primary": {"metric": "exact"}},
    }
    answer = mistral.post(PATH, json=asked)
    assert answer.status_code == 422
    assert "no run of the candidate" in answer.text
    assert mistral.get(f"{PATH}/bot@staging").status_code == 404
    wrong = {**asked, "gate": {"primery": {}}}
    assert "did you mean 'primary'" in mistral.post(PATH, json=wrong).text
