"""Texts to ids and back over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from scripted import TINY, ScriptedEngine

from modiste.prepare import render

RENDERER = render.load(TINY)
HI = [{"role": "user", "content": "hi there"}]


def test_the_ids_of_a_text_are_those_of_its_completion(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {"model": "modiste-tiny", "prompt": "Once upon é"}
    told = openai.post("/v1/tokenize", json={**body, "return_token_strs": True}).json()
    openai.post("/v1/completions", json=body).raise_for_status()
    assert told["tokens"] == list(engine.asked[0].ids)
    assert (told["count"], told["max_model_len"]) == (len(told["tokens"]), 2048)
    assert told["token_strs"][0] == "<s>"
    assert told["token_strs"][-2:] == ["bytes:\\xc3", "bytes:\\xa9"]
    bare = openai.post("/v1/tokenize", json={**body, "add_special_tokens": False}).json()
    assert bare["tokens"] == told["tokens"][1:]
    assert bare["token_strs"] is None


def test_the_ids_of_a_chat_are_those_of_its_completion(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {"model": "modiste-tiny", "messages": HI}
    told = mistral.post("/v1/tokenize", json={**body, "add_generation_prompt": True}).json()
    mistral.post("/v1/chat/completions", json=body).raise_for_status()
    assert told["tokens"] == list(engine.asked[0].ids)


@pytest.mark.parametrize("text", ["Once upon", "naïve 🙂 漢字", "[INST] </s>", "", "  two"])
def test_a_text_comes_back(openai: httpx.Client, text: str) -> None:
    body = {"model": "modiste-tiny", "prompt": text}
    ids = openai.post("/v1/tokenize", json=body).json()["tokens"]
    back = openai.post("/v1/detokenize", json={"model": "modiste-tiny", "tokens": ids})
    assert back.json() == {"prompt": text}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("tokenize", {}, "expected one of prompt and messages"),
        ("tokenize", {"prompt": "a", "messages": HI}, "expected one of prompt and messages"),
        ("tokenize", {"prompt": "a", "tools": []}, "tools belongs to messages"),
        ("tokenize", {"messages": HI, "add_special_tokens": False}, "belongs to prompt"),
        ("tokenize", {"messages": HI, "add_generation_prompt": False}, "add_generation_prompt"),
        ("tokenize", {"messages": [{"role": "assistant", "content": "x"}]}, "must start with"),
        ("tokenize", {"model": "nope", "prompt": "a"}, "nope"),
        ("detokenize", {"tokens": [5, 4096]}, "tokens holds 4096; the tokens of modiste-tiny are"),
        ("detokenize", {}, "tokens"),
    ],
)
def test_what_cannot_be_done_is_named(
    mistral: httpx.Client, path: str, body: dict[str, Any], said: str
) -> None:
    answer = mistral.post(f"/v1/{path}", json={"model": "modiste-tiny", **body})
    assert answer.status_code in (400, 422)
    assert said in answer.json()["message"]


def test_a_key_that_may_not_infer_may_not_tokenize(
    mistral: httpx.Client,
) -> None:
    made = mistral.post("/v1/keys", json={"name": "files", "scopes": ["data"]}).json()
    answer = mistral.post(
        "/v1/tokenize",
        json={"model": "modiste-tiny", "prompt": "a"},
        headers={"authorization": f"Bearer {made['secret']}"},
    )
    assert answer.status_code == 403
