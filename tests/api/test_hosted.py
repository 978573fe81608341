"""Hosted models through both dialects, streamed and whole, by name and by an alias that switches.

The upstream is a double on loopback; everything before it is real.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import Front, ScriptedEngine, run_front, settings_for
from starlette.responses import JSONResponse

from modiste.api import hosted
from modiste.api.dialect import Dialect

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from hosted_double import USAGE, HostedDouble, chunk, completion, running, streamed

KEY = "sk-very-secret"
ASK = {"model": "big", "messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def server() -> Iterator[HostedDouble]:
    with running(HostedDouble()) as double:
        yield double


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, server: HostedDouble) -> Iterator[Front]:
    home = tmp_path_factory.mktemp("home")
    fronts = run_front(settings_for(home, upstream_hosts="127.0.0.0/8"), ScriptedEngine())
    front = next(fronts)
    with front.client() as admin:
        for kind in ("openai", "mistral"):
            name = "big" if kind == "openai" else "le-big"
            body = {"name": name, "url": server.url, "kind": kind, "model": "theirs"}
            answer = admin.post("/v1/models/upstreams", json={**body, "api_key": KEY})
            assert answer.status_code == 200, answer.text
            assert KEY not in answer.text
    yield front
    fronts.close()


@pytest.fixture
def double(server: HostedDouble) -> HostedDouble:
    server.__dict__.update({**HostedDouble().__dict__, "url": server.url})
    return server


def events(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    with client.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True, **body}) as got:
        assert got.status_code == 200, got.read()
        lines = [line.removeprefix("data: ") for line in got.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_both_dialects_get_the_answer_with_all_it_has(
    double: HostedDouble, mistral: httpx.Client, openai: httpx.Client
) -> None:
    for client in (mistral, openai):
        answer = client.post("/v1/chat/completions", json=ASK).json()
        assert answer == {**completion("Hello there."), "model": "big"}
    assert [headers["authorization"] for headers in double.headers] == [f"Bearer {KEY}"] * 2


def test_every_field_goes_on_even_those_we_do_not_know(
    double: HostedDouble, openai: httpx.Client
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    fields = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}, image]}],
        "tools": TOOLS,
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "reasoning_effort": "high",
        "a_field_of_tomorrow": [1],
    }
    assert openai.post("/v1/chat/completions", json={**ASK, **fields}).status_code == 200
    assert double.bodies == [{**fields, "model": "theirs"}]


def test_tool_calls_pass_through_in_the_shape_each_client_reads(
    double: HostedDouble, openai: httpx.Client, mistral: httpx.Client
) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}
    double.answer = completion("", tool_calls=[call])
    double.answer["choices"][0]["finish_reason"] = "tool_calls"
    for client in (openai, mistral):
        answer = client.post("/v1/chat/completions", json={**ASK, "tools": TOOLS}).json()
        (told,) = answer["choices"][0]["message"]["tool_calls"]
        assert (told["id"], told["type"], told["index"]) == ("c", "function", 0)
        assert json.loads(told["function"]["arguments"]) == {"x": 1}
        assert answer["choices"][0]["finish_reason"] == "tool_calls"


def test_mistral_clients_find_the_usage_with_the_end_of_a_stream(
    double: HostedDouble, mistral: httpx.Client
) -> None:
    told = events(mistral)
    assert [c["choices"][0]["delta"].get("content") for c in told] == ["", "Hello", " there.", None]
    assert {c["model"] for c in told} == {"big"}
    assert [c.get("usage") for c in told] == [None, None, None, USAGE]
    assert told[-1]["choices"][0]["finish_reason"] == "stop"


def test_openai_clients_find_it_behind_the_end_if_they_asked(
    double: HostedDouble, openai: httpx.Client
) -> None:
    told = events(openai, stream_options={"include_usage": True})
    assert (told[-1]["choices"], told[-1]["usage"], told[-1]["model"]) == ([], USAGE, "big")
    assert told[-2]["choices"][0]["finish_reason"] == "stop"
    assert [c for c in events(openai) if "usage" in c] == []
    assert all(body["stream_options"]["include_usage"] for body in double.bodies)


def test_a_mistral_upstream_answers_openai_clients_in_their_shape(
    double: HostedDouble, openai: httpx.Client
) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    parts = [thinking, {"type": "text", "text": "Four."}]
    ending = chunk({"content": parts}, "model_length", usage={**USAGE})
    double.chunks = [chunk({"role": "assistant", "content": ""}), ending, b"data: [DONE]\n\n"]
    told = events(openai, model="le-big", stream_options={"include_usage": True}, seed=4)
    assert told[1]["choices"][0]["delta"] == {"content": "Four.", "reasoning_content": "Hm."}
    assert told[1]["choices"][0]["finish_reason"] == "length"
    assert told[2]["usage"] == USAGE
    assert (double.bodies[0]["random_seed"], "stream_options" in double.bodies[0]) == (4, False)


def test_refusals_have_a_status_before_the_stream_and_an_event_within_it(
    double: HostedDouble, mistral: httpx.Client, openai: httpx.Client
) -> None:
    for client, status in ((mistral, 429), (openai, 429)):
        body = {"error": {"message": "slow down"}}
        double.script = [JSONResponse(body, status, headers={"retry-after": "40"})]
        answer = client.post("/v1/chat/completions", json={**ASK, "stream": True})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "40")
        assert "big (127.0.0.1" in answer.text
    double.chunks = streamed("Hello")[:2]
    with mistral.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as got:
        lines = [line for line in got.iter_lines() if line]
    assert "broke off" in lines[-1]
    assert "[DONE]" not in lines[-1]


def test_a_key_the_upstream_refuses_is_in_no_answer(
    double: HostedDouble, mistral: httpx.Client
) -> None:
    double.script = [JSONResponse({"error": {"message": f"bad key {KEY}"}}, 401)]
    answer = mistral.post("/v1/chat/completions", json=ASK)
    assert answer.status_code == 502
    assert "refuses the key" in answer.text
    assert KEY not in answer.text


def test_an_alias_switches_from_the_hosted_model_to_our_own_and_the_client_never_notices(
    double: HostedDouble, mistral: httpx.Client, openai: httpx.Client
) -> None:
    path, ask = "/v1/models/aliases/support-bot", {**ASK, "model": "support-bot"}
    for target in ("big", "modiste-tiny"):
        assert mistral.put(path, json={"model": target}).status_code == 200
        for client in (mistral, openai):
            answer = client.post("/v1/chat/completions", json=ask).json()
            assert answer["model"] == "support-bot"
            assert answer["choices"][0]["message"]["content"] == "Hello there."
            assert (
                "".join(
                    choice["delta"].get("content") or ""
                    for told in events(client, model="support-bot")
                    for choice in told["choices"]
                )
                == "Hello there."
            )
    assert len(double.bodies) == 4


def test_the_card_says_how_the_upstream_does_and_what_it_took(
    double: HostedDouble, mistral: httpx.Client
) -> None:
    before = mistral.get("/v1/models/big").json()["upstream"]
    mistral.post("/v1/chat/completions", json=ASK)
    card = mistral.get("/v1/models/big").json()
    assert (card["type"], card["capabilities"]["fine_tuning"]) == ("base", False)
    told = card["upstream"]
    assert (told["kind"], told["model"], told["state"]) == ("openai", "theirs", "closed")
    assert told["today"]["n_requests"] == before["today"]["n_requests"] + 1
    assert told["today"]["prompt_tokens"] == before["today"]["prompt_tokens"] + 7
    health = mistral.get("/healthz").json()["parts"]["upstreams"]
    assert health["details"]["closed"] >= 1
    assert "big" not in json.dumps(health)
    listed = mistral.get("/v1/models").json()["data"]
    assert {card["id"] for card in listed if card.get("upstream")} == {"big", "le-big"}


def test_doors_for_tokens_refuse_a_hosted_model_by_name(mistral: httpx.Client) -> None:
    answer = mistral.post("/v1/fim/completions", json={"model": "big", "prompt": "a"})
    assert answer.status_code == 400
    assert "chat completions alone" in answer.json()["message"]


def test_what_does_not_depend_on_the_dialect_is_left_alone() -> None:
    odd = {"choices": [{"index": 0, "message": {"content": None, "annotations": [1]}}], "x": 1}
    for spoken in Dialect:
        told = hosted.for_caller(odd, spoken)
        assert told["x"] == 1
        assert told["choices"][0]["message"] == {"content": None, "annotations": [1]}


def test_a_hosted_model_under_a_policy_is_looked_at_and_answers_with_text_alone(
    double: HostedDouble, mistral: httpx.Client, openai: httpx.Client
) -> None:
    policy = {
        "name": "hosted",
        "categories": [{"code": "rivals", "definition": "Praises another shop"}],
        "detectors": [{"name": "w", "kind": "words", "category": "rivals", "words": ["Globex"]}],
    }
    mistral.post("/v1/policies", json={"policy": policy}).raise_for_status()
    mistral.post("/v1/policies/hosted/attach", json={"model": "big"}).raise_for_status()
    path = "/v1/chat/completions"
    try:
        for client in (mistral, openai):
            told = client.post(path, json=ASK).json()
            assert told["choices"][0]["message"]["content"] == "Hello there."
            globex = {"messages": [{"role": "user", "content": "Globex?"}]}
            assert client.post(path, json={**ASK, **globex}).status_code == 403
            assert client.post(path, json={**ASK, "tools": TOOLS}).status_code >= 400
        double.chunks = streamed("Glo", "bex is better.")  # Under a policy it is asked to stream.
        assert mistral.post(path, json=ASK).status_code == 403
        assert "Glo" not in mistral.post(path, json={**ASK, "stream": True}).text
    finally:
        mistral.post("/v1/policies/hosted/detach", json={"model": "big"}).raise_for_status()


def test_a_hosted_model_may_be_the_guard(double: HostedDouble, mistral: httpx.Client) -> None:
    policy = {
        "name": "tried",
        "categories": [{"code": "rivals", "definition": "Praises another shop"}],
        "detectors": [{"name": "g", "kind": "guard", "model": "big", "categories": ["rivals"]}],
    }
    for said, flagged in (("Yes", True), ("No", False)):
        double.answer = completion(said)
        asked = {"input": "Go to Globex", "policy": policy}
        (result,) = mistral.post("/v1/moderations", json=asked).json()["results"]
        assert (result["flagged"], result["decisions"][0]["failure"]) == (flagged, None)
