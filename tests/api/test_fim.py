"""Fill-in-the-middle over HTTP, in front of an engine that follows a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import Front, ScriptedEngine

from modiste.prepare import render

FIM = "/v1/fim/completions"
ASK: dict[str, Any] = {"model": "coder", "prompt": "def f(", "suffix": "):\n    pass"}


@pytest.fixture(scope="module", autouse=True)
def coder(front: Front, coder_base: Path) -> Path:
    """A base that knows fill-in-the-middle."""
    with front.client() as client:
        added = client.post("/v1/models/bases", json={"name": "coder", "path": str(coder_base)})
    assert added.status_code == 200, added.text
    return coder_base


def test_the_engine_is_asked_for_the_middle_as_training_asks(
    mistral: httpx.Client, engine: ScriptedEngine, coder: Path
) -> None:
    engine.text = " a, b"
    body = mistral.post(FIM, json=ASK).json()
    infill = render.load(coder).fim
    assert infill is not None
    assert list(engine.asked[0].ids) == infill.prompt("def f(", "):\n    pass")
    assert infill.marks < engine.asked[0].stop_ids
    assert body["object"] == "chat.completion"
    assert body["model"] == "coder"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": " a, b",
        "tool_calls": None,
        "prefix": False,
    }
    assert body["usage"]["prompt_tokens"] == len(engine.asked[0].ids)


def test_no_suffix_and_an_empty_one_are_the_same(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    for suffix in ({"suffix": ""}, {"suffix": None}, {}):
        alone = {"model": "coder", "prompt": "x", **suffix}
        assert mistral.post(FIM, json=alone).status_code == 200
    assert len({request.ids for request in engine.asked}) == 1


def test_cards_tell_in_both_dialects_which_bases_know_how(
    mistral: httpx.Client, openai: httpx.Client
) -> None:
    for client in (mistral, openai):
        cards = {model["id"]: model for model in client.get("/v1/models").json()["data"]}
        assert client.get("/v1/models/coder").json() == cards["coder"]
        assert cards["coder"]["capabilities"]["completion_fim"]
        assert not cards["modiste-tiny"]["capabilities"]["completion_fim"]


def test_every_field_reaches_the_engine(mistral: httpx.Client, engine: ScriptedEngine) -> None:
    engine.text = "one two three"
    fields = {"temperature": 0.0, "top_p": 0.5, "max_tokens": 50, "random_seed": 9, "min_tokens": 7}
    body = mistral.post(FIM, json={**ASK, **fields, "stop": " two", "metadata": {"a": 1}}).json()
    asked = engine.asked[0].sampling
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.seed) == (0.0, 0.5, 50, 9)
    assert asked.min_tokens == 7
    assert body["choices"][0]["message"]["content"] == "one"
    assert body["choices"][0]["finish_reason"] == "stop"


def test_a_stream_has_the_chunks_of_a_chat(mistral: httpx.Client, engine: ScriptedEngine) -> None:
    answer = mistral.post(FIM, json={**ASK, "stream": True})
    events = [event.removeprefix("data: ") for event in answer.text.split("\n\n") if event]
    assert events[-1] == "[DONE]"
    told = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in told} == {"chat.completion.chunk"}
    deltas = [choice["delta"]["content"] for chunk in told for choice in chunk["choices"]]
    assert "".join(deltas) == "Hello there."
    assert told[-1]["usage"]["prompt_tokens"] == len(engine.asked[0].ids)


def test_a_base_that_does_not_know_how_is_refused_in_both_dialects(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "model": "modiste-tiny"}
    answer = mistral.post(FIM, json=body)
    assert answer.status_code == 422
    assert "modiste-tiny cannot fill in the middle" in answer.json()["message"]
    assert answer.json()["detail"][0]["loc"] == ["body", "model"]
    assert openai.post(FIM, json=body).json()["error"]["code"] == "fim_unknown"
    assert engine.asked == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": None}, "prompt"),
        ({"model": None}, "model is missing"),
        ({"model": "nope"}, "Invalid model"),
        ({"min_tokens": 3, "max_tokens": 2}, "min_tokens is 3, more than max_tokens"),
        ({"messages": []}, "messages"),
        ({"prompt": "word " * 3000}, "shorten the prompt"),
        ({"seed": 1, "random_seed": 2}, "they mean the same"),
    ],
)
def test_what_cannot_be_done_is_named(
    mistral: httpx.Client, engine: ScriptedEngine, change: dict[str, Any], said: str
) -> None:
    answer = mistral.post(FIM, json={**ASK, **change})
    assert answer.status_code in (400, 422)
    assert said in answer.json()["message"]
    assert engine.asked == []


def test_prompt_suffix_and_middle_are_looked_at(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    policy = {
        "name": "coding",
        "categories": [{"code": "rivals", "definition": "Praises another shop"}],
        "detectors": [{"name": "w", "kind": "words", "category": "rivals", "words": ["Globex"]}],
    }
    mistral.post("/v1/policies", json={"policy": policy}).raise_for_status()
    mistral.post("/v1/policies/coding/attach", json={"model": "coder"}).raise_for_status()
    try:
        engine.text = " a, b"
        assert mistral.post(FIM, json=ASK).status_code == 200
        for field in ("prompt", "suffix"):
            assert mistral.post(FIM, json={**ASK, field: "# Globex"}).status_code == 403
        engine.text = "Globex"
        for stream in (False, True):
            answer = mistral.post(FIM, json={**ASK, "stream": stream})
            # A stream that took its time has begun when it is blocked, and ends in an error.
            assert answer.status_code == 403 or (stream and "content_blocked" in answer.text)
            assert "Globex" not in answer.text
    finally:
        mistral.post("/v1/policies/coding/detach", json={"model": "coder"}).raise_for_status()
