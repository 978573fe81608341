"""Requests under policies, over HTTP: blocked, changed, held back, by every way around."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from scripted import TINY, ScriptedEngine

from modiste.prepare import render

CHAT = "/v1/chat/completions"
RENDERER = render.load(TINY)
MAIL = "anna.kern@gmx.net"
FILL = "one two three four five " * 40


def policy(action: str = "block", **more: Any) -> dict[str, Any]:
    category = {"code": "rivals", "title": "Rivals", "definition": "Praises another shop"}
    places = ["input", "retrieved", "tool_arguments", "output"]
    return {
        "name": "shop",
        "categories": [{**category, "action": action, "applies_to": places, **more}],
        "detectors": [{"name": "w", "kind": "words", "category": "rivals", "words": ["Globex"]}],
        "block_message": "Not here.",
    }


@pytest.fixture
def guard(mistral: httpx.Client) -> Iterator[Any]:
    """`guard(policy)` holds it over the shipped model for the length of a test."""

    def attach(made: dict[str, Any], **target: Any) -> None:
        mistral.post("/v1/policies", json={"policy": made}).raise_for_status()
        bound = target or {"model": "modiste-tiny"}
        mistral.post(f"/v1/policies/{made['name']}/attach", json=bound).raise_for_status()
        if (made["name"], bound) not in held:
            held.append((made["name"], bound))

    held: list[tuple[str, Any]] = []
    yield attach
    for name, bound in held:
        mistral.post(f"/v1/policies/{name}/detach", json=bound).raise_for_status()


def ask(*messages: Any, **more: Any) -> dict[str, Any]:
    said = [
        {"role": "user", "content": each} if isinstance(each, str) else each
        for each in messages or ("Hi",)
    ]
    return {"model": "modiste-tiny", "messages": said, **more}


def streamed(client: httpx.Client, body: dict[str, Any], path: str = CHAT) -> list[dict[str, Any]]:
    lines = client.post(path, json={**body, "stream": True}).text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def text_of(chunks: list[dict[str, Any]]) -> str:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_a_blocked_request_is_a_403_in_the_vendors_words_and_the_engine_stops(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine, guard: Any
) -> None:
    guard(policy())
    engine.pause_s = 0.05
    for client in (mistral, openai):
        for stream in (False, True):
            answer = client.post(CHAT, json=ask("Is Globex good?", stream=stream))
            assert answer.status_code == 403
            body = answer.json()
            assert (body["error"]["message"], body["error"]["status"]) == ("Not here.", 403)
            told = body["guardrails"]["results"]["shop"]
            assert (told["model_name"], told["policy_version"]) == ("shop", 1)
            decision = told["decisions"]["rivals"]
            assert decision == {"threshold": 0.5, "score": 1.0, "violated": True}
    assert {asked.id for asked in engine.asked} == set(engine.aborted)
    assert mistral.post(CHAT, json=ask("Hello")).status_code == 200


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Praise Globex."},
        {"role": "user", "content": [{"type": "text", "text": "Gl\u200bobex"}]},
        {"role": "assistant", "content": "Globex is", "prefix": True},
        {"role": "tool", "content": "Globex", "tool_call_id": "abcdefghi", "name": "f"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "abcdefghi", "function": {"name": "f", "arguments": '{"a": "Globex"}'}}]},
    ],
)  # fmt: skip
def test_no_role_prefix_or_call_is_a_way_around(
    mistral: httpx.Client, engine: ScriptedEngine, guard: Any, message: dict[str, Any]
) -> None:
    guard(policy())
    before = [] if message["role"] in ("system", "user") else ["Hi"]
    after = ["Well?"] if message["role"] == "system" else []
    answer = mistral.post(CHAT, json=ask(*before, message, *after))
    # What this base's format has no words for is refused before a policy is asked.
    assert answer.status_code == (403 if "tool" not in str(message) else answer.status_code)
    assert answer.status_code in (400, 403, 422)


def test_words_in_tools_and_schemas_are_words_too(
    mistral: httpx.Client, engine: ScriptedEngine, guard: Any
) -> None:
    guard(policy())
    schema = {"type": "object", "properties": {"shop": {"enum": ["Globex"]}}}
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    tool = {"type": "function", "function": {"name": "f", "description": "Of Globex",
                                             "parameters": {"type": "object"}}}  # fmt: skip
    for offered in ({"response_format": form}, {"tools": [tool]}):
        assert mistral.post(CHAT, json=ask("Hi", **offered)).status_code == 403
    assert engine.asked == []


def test_an_answer_that_violates_is_not_told_whole_or_streamed(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine, guard: Any
) -> None:
    guard(policy())
    engine.text = f"{FILL}and then Globex is best. {FILL}"
    for client in (mistral, openai):
        assert client.post(CHAT, json=ask()).status_code == 403
        chunks = streamed(client, ask())
        said = text_of(chunks)
        assert said.startswith("one two three")
        assert "Glob" not in said
        assert chunks[-1]["error"]["status"] == 403
        assert "finish_reason" not in str(chunks[-1])
    assert mistral.post(CHAT, json=ask(n=2)).status_code == 403


def test_an_answer_without_a_violation_arrives_letter_by_letter_as_it_was(
    mistral: httpx.Client, engine: ScriptedEngine, guard: Any
) -> None:
    guard(policy())
    engine.text = FILL.strip()
    chunks = streamed(mistral, ask())
    assert text_of(chunks) == FILL.strip()
    assert len(chunks) > 3
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    whole = mistral.post(CHAT, json=ask()).json()
    assert whole["choices"][0]["message"]["content"] == FILL.strip()


def test_what_is_redacted_never_leaves_not_even_as_a_token(
    mistral: httpx.Client, engine: ScriptedEngine, guard: Any
) -> None:
    redacting = {
        "name": "redacting",
        "categories": [{"code": "pii", "definition": "d", "title": "private", "action": "redact"}],
        "detectors": [{"name": "p", "kind": "personal", "category": "pii"}],
    }
    guard(redacting)
    engine.text = f"{FILL}Write to {MAIL} or {MAIL}. {FILL}"
    expected = engine.text.replace(MAIL, "[private]")
    said = text_of(streamed(mistral, ask()))
    assert said == expected
    told = mistral.post(CHAT, json=ask(logprobs=True, top_logprobs=2))
    assert told.json()["choices"][0]["message"]["content"] == expected
    assert told.json()["choices"][0].get("logprobs") is None
    engine.text = "Fine."
    mistral.post(CHAT, json=ask(f"I am {MAIL}")).raise_for_status()
    asked = RENDERER.decode(engine.asked[-1].ids)
    assert "I am [private]" in asked
    assert "anna" not in asked


def test_a_rewritten_answer_is_its_template_and_a_safe_one_is_asked_for_anew(
    mistral: httpx.Client, engine: ScriptedEngine, guard: Any
) -> None:
    guard(policy("rewrite", template="No {{category}}.", applies_to=["output"]))
    engine.text = f"Globex {FILL}"
    assert text_of(streamed(mistral, ask())) == "No Rivals."
    told = mistral.post(CHAT, json=ask()).json()
    assert told["choices"][0]["message"]["content"] == "No Rivals."
    guard(policy("safe_completion", instruction="Speak of us alone.", applies_to=["output"]))
    assert mistral.post(CHAT, json=ask()).status_code == 403  # it says the same again
    assert "Speak of us alone." in RENDERER.decode(engine.asked[-1].ids)


def test_plain_texts_are_guarded_as_text_and_as_ids(
    openai: httpx.Client, engine: ScriptedEngine, guard: Any
) -> None:
    guard(policy())
    path = "/v1/completions"
    for prompt in ("Globex is", RENDERER.encode("Globex is")):
        answer = openai.post(path, json={"model": "modiste-tiny", "prompt": prompt})
        assert answer.status_code == 403
    body = {"model": "modiste-tiny", "prompt": "It is", "max_tokens": 400}
    assert openai.post(path, json=body).json()["choices"][0]["text"] == "Hello there."
    engine.text = "Globex"
    assert openai.post(path, json=body).status_code == 403
    assert "Globex" not in openai.post(path, json={**body, "stream": True}).text


def test_other_names_and_keys_are_no_way_around(
    mistral: httpx.Client, front: Any, engine: ScriptedEngine, guard: Any
) -> None:
    guard(policy())
    mistral.put("/v1/models/aliases/bot", json={"model": "modiste-tiny"}).raise_for_status()
    assert mistral.post(CHAT, json={**ask("Globex"), "model": "bot"}).status_code == 403
    key = mistral.post("/v1/keys", json={"name": "k", "scopes": ["infer"]}).json()
    with front.client(key["secret"]) as other:
        assert other.post(CHAT, json=ask("Globex")).status_code == 403
        other_policy = {**policy(), "name": "keyed"}
        other_policy["detectors"] = [{**policy()["detectors"][0], "words": ["Initech"]}]
        guard(other_policy, key=key["id"])
        assert other.post(CHAT, json=ask("Initech")).status_code == 403
        assert other.post(CHAT, json=ask("Globex")).status_code == 403
    assert mistral.post(CHAT, json=ask("Initech")).status_code == 200


def guardrail(**more: Any) -> dict[str, Any]:
    return {"guardrails": [{"moderation_llm_v2": {"model_name": "default", **more}}]}


def test_a_request_may_bring_its_own_guardrails(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    said = f"Write to {MAIL}"
    answer = mistral.post(CHAT, json=ask(said, **guardrail()))
    assert answer.status_code == 403
    told = answer.json()["guardrails"]["results"]["moderation_llm_v2"]
    assert told["decisions"]["pii"]["violated"] is True
    assert told["decisions"]["jailbreaking"]["violated"] is False
    for passing in (
        guardrail(action="none"),
        guardrail(ignore_other_categories=True, custom_category_thresholds={"jailbreaking": 0.5}),
    ):
        assert mistral.post(CHAT, json=ask(said, **passing)).status_code == 200
    unknown = guardrail(custom_category_thresholds={"astrology": 0.5})
    refused = mistral.post(CHAT, json=ask(said, **unknown))
    assert refused.status_code == 422
    assert "'astrology'" in refused.json()["message"]
    assert mistral.post(CHAT, json=ask(said, guardrails=[{}])).status_code == 422


def test_a_guardrail_whose_detector_fails_follows_block_on_error(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    broken = policy()
    broken["name"] = "broken"
    broken["detectors"] = [
        {"name": "g", "kind": "guard", "model": "gone", "categories": ["rivals"]}
    ]
    mistral.post("/v1/policies", json={"policy": broken}).raise_for_status()
    for on_error, status in ((True, 403), (False, 200)):
        asked = {"block_on_error": on_error, "moderation_llm_v1": {"model_name": "broken"}}
        assert mistral.post(CHAT, json=ask("Hi", guardrails=[asked])).status_code == status
