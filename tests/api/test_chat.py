"""Chat completions over HTTP, in front of an engine that follows a script."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import httpx
import pytest
from scripted import FINGERPRINT, Front, ScriptedEngine

from modiste.serve.sequence import Failed, FailureCode

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
ASK: dict[str, Any] = {"model": "modiste-tiny", "messages": HI}


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    """The chunks of a stream that ended as it should."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event for event in answer.text.split("\n\n") if event and not event.startswith(":")]
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]


def text_of(told: list[dict[str, Any]], index: int = 0) -> str:
    choices = [choice for chunk in told for choice in chunk["choices"]]
    return "".join(c["delta"].get("content", "") for c in choices if c["index"] == index)


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within a minute"
        time.sleep(0.02)


def test_a_blocking_answer_has_the_shape_that_every_client_parses(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    answer = mistral.post(CHAT, json={**ASK, "model": "open-mistral-7b"})
    assert answer.status_code == 200
    body = answer.json()
    n_prompt = len(engine.asked[0].ids)
    n_answer = body["usage"]["completion_tokens"]
    assert len(body.pop("id")) == 32
    assert abs(body.pop("created") - time.time()) < 60
    assert body == {
        "object": "chat.completion",
        "model": "open-mistral-7b",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello there.",
                    "tool_calls": None,
                    "prefix": False,
                },
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_answer,
            "total_tokens": n_prompt + n_answer,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "system_fingerprint": FINGERPRINT,
    }


def test_an_answer_that_stops_early_has_its_fingerprint_too(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = mistral.post(CHAT, json={**ASK, "stop": "there"}).json()
    assert body["choices"][0]["message"]["content"] == "Hello "
    assert body["system_fingerprint"] == FINGERPRINT
    assert mistral.post(CHAT, json={**ASK, "max_tokens": 0}).json()["system_fingerprint"] is None


def test_a_mistral_stream_ends_with_finish_reason_and_usage_in_one_chunk(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    told = chunks(mistral.post(CHAT, json={**ASK, "stream": True}))
    assert told[0]["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    ]
    assert text_of(told) == "Hello there."
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in told)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in told}) == 1
    assert all("finish_reason" in choice for chunk in told for choice in chunk["choices"])
    assert told[-1]["choices"][0]["finish_reason"] == "stop"
    assert told[-1]["usage"]["prompt_tokens"] == len(engine.asked[0].ids)
    assert all("usage" not in chunk for chunk in told[:-1])
    assert told[-1]["system_fingerprint"] == FINGERPRINT


@pytest.mark.parametrize("wanted", [True, False])
def test_an_openai_stream_has_usage_in_a_chunk_of_its_own_if_asked(
    openai: httpx.Client, engine: ScriptedEngine, wanted: bool
) -> None:
    body = {**ASK, "stream": True, "stream_options": {"include_usage": wanted}}
    told = chunks(openai.post(CHAT, json=body))
    with_usage = [chunk for chunk in told if "usage" in chunk]
    assert len(with_usage) == (1 if wanted else 0)
    if wanted:
        assert told[-1] is with_usage[0]
        assert told[-1]["choices"] == []
    finish = [c["finish_reason"] for chunk in told for c in chunk["choices"]]
    assert finish[-1] == "stop"
    ending = [chunk for chunk in told if chunk["choices"] and chunk["choices"][0]["finish_reason"]]
    assert [chunk["system_fingerprint"] for chunk in ending] == [FINGERPRINT]


def test_stop_strings_are_never_shown_even_when_they_begin_within_a_token(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.text = "One, two, three, four."
    body = {**ASK, "stop": [" three", "zzz"]}
    whole = mistral.post(CHAT, json=body).json()
    told = chunks(mistral.post(CHAT, json={**body, "stream": True}))
    assert whole["choices"][0]["message"]["content"] == "One, two,"
    assert text_of(told) == "One, two,"
    assert whole["choices"][0]["finish_reason"] == "stop"
    until(lambda: len(engine.aborted) == 2, "the abort of both sequences")


def test_characters_of_several_tokens_arrive_whole(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.text = "naïve 🙂 漢字 — fin"
    told = chunks(mistral.post(CHAT, json={**ASK, "stream": True}))
    pieces = [c["delta"].get("content", "") for chunk in told for c in chunk["choices"]]
    assert "".join(pieces) == engine.text
    assert not any("\ufffd" in piece for piece in pieces)


def test_several_choices_come_from_several_seeds(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = mistral.post(CHAT, json={**ASK, "n": 3, "random_seed": 7}).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    seeds = [request.sampling.seed for request in engine.asked]
    assert len(set(seeds)) == 3
    assert 7 in seeds
    n_each = (body["usage"]["completion_tokens"]) // 3
    assert body["usage"]["completion_tokens"] == 3 * n_each
    assert body["usage"]["prompt_tokens"] == len(engine.asked[0].ids)


def test_a_stream_of_several_choices_ends_each_and_counts_all(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.pause_s = 0.005
    told = chunks(mistral.post(CHAT, json={**ASK, "n": 2, "stream": True}))
    assert [text_of(told, index) for index in (0, 1)] == ["Hello there."] * 2
    ends = [c["index"] for chunk in told for c in chunk["choices"] if c["finish_reason"]]
    assert sorted(ends) == [0, 1]
    assert sum("usage" in chunk for chunk in told) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_tokens": 3}, "min_tokens is 4, more than max_tokens"),
        ({"response_format": {"type": "json_object"}}, "the answer's form decides where it ends"),
    ],
)
def test_more_tokens_than_can_be_are_refused(
    mistral: httpx.Client, engine: ScriptedEngine, change: dict[str, Any], said: str
) -> None:
    answer = mistral.post(CHAT, json={**ASK, "min_tokens": 4, **change})
    assert answer.status_code == 422
    assert said in answer.json()["message"]
    assert engine.asked == []


@pytest.mark.parametrize("name", ["random_seed", "seed"])
def test_the_seed_reaches_the_engine_under_both_names(
    mistral: httpx.Client, engine: ScriptedEngine, name: str
) -> None:
    mistral.post(CHAT, json={**ASK, name: 11}).raise_for_status()
    assert engine.asked[0].sampling.seed == 11


def test_every_sampling_field_reaches_the_engine(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {
        **ASK,
        "temperature": 0.3,
        "top_p": 0.8,
        "max_tokens": 3,
        "min_tokens": 2,
        "repetition_penalty": 1.25,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
    }
    answer = mistral.post(CHAT, json=body).json()
    sampling = engine.asked[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.3, 0.8, 3)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.5, -0.5)
    assert (sampling.min_tokens, sampling.repetition_penalty) == (2, 1.25)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


def test_no_max_tokens_means_up_to_the_end_of_the_context(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    context = mistral.get("/v1/models/modiste-tiny").json()["max_context_length"]
    mistral.post(CHAT, json=ASK).raise_for_status()
    asked = engine.asked[0]
    assert asked.sampling.max_tokens == context - len(asked.ids)


def test_no_token_at_all_may_be_asked_for(mistral: httpx.Client, engine: ScriptedEngine) -> None:
    body = mistral.post(CHAT, json={**ASK, "max_tokens": 0}).json()
    assert body["choices"][0]["message"]["content"] == ""
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 0
    assert engine.asked == []


def test_a_prefix_opens_the_answer_streamed_or_not(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    prefix = {"role": "assistant", "content": "Well: ", "prefix": True}
    body = {**ASK, "messages": [*HI, prefix]}
    whole = mistral.post(CHAT, json=body).json()
    told = chunks(mistral.post(CHAT, json={**body, "stream": True}))
    assert whole["choices"][0]["message"]["content"] == "Well: Hello there."
    assert text_of(told) == "Well: Hello there."
    assert whole["choices"][0]["message"]["prefix"] is False
    plain = mistral.post(CHAT, json=ASK).json()
    assert whole["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"]
    assert whole["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]


def test_the_prompts_log_probabilities_come_once_and_before_any_text(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "n": 2, "prompt_logprobs": True, "top_prompt_logprobs": 1}
    whole = mistral.post(CHAT, json=body).json()
    first, second = whole["choices"]
    assert "prompt_logprobs" not in second
    content = first["prompt_logprobs"]["content"]
    assert [token["token_id"] for token in content] == list(engine.asked[0].ids[1:])
    assert all(len(token["top_logprobs"]) == 1 for token in content)
    told = [
        c for e in chunks(mistral.post(CHAT, json={**body, "stream": True})) for c in e["choices"]
    ]
    at = next(n for n, choice in enumerate(told) if "prompt_logprobs" in choice)
    assert told[at]["prompt_logprobs"] == first["prompt_logprobs"]
    assert not any(choice["delta"].get("content") for choice in told[:at] if choice["index"] == 0)
    assert sum("prompt_logprobs" in choice for choice in told) == 1


def test_nothing_but_the_prompts_log_probabilities_may_be_asked_for(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    asked = {**ASK, "max_tokens": 0, "prompt_logprobs": True}
    (choice,) = mistral.post(CHAT, json=asked).json()["choices"]
    assert choice["message"]["content"] == ""
    assert choice["finish_reason"] == "length"
    assert len(choice["prompt_logprobs"]["content"]) == len(engine.asked[0].ids) - 1


def test_safe_prompt_changes_the_prompt(mistral: httpx.Client, engine: ScriptedEngine) -> None:
    plain = mistral.post(CHAT, json=ASK).json()["usage"]["prompt_tokens"]
    safe = mistral.post(CHAT, json={**ASK, "safe_prompt": True}).json()["usage"]["prompt_tokens"]
    assert safe > plain + 10


def test_text_chunks_are_read_as_their_text(mistral: httpx.Client, engine: ScriptedEngine) -> None:
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
    mistral.post(CHAT, json=ASK).raise_for_status()
    body = {**ASK, "messages": [{"role": "user", "content": parts}]}
    mistral.post(CHAT, json=body).raise_for_status()
    assert engine.asked[0].ids == engine.asked[1].ids


def test_an_answer_can_be_sent_back_as_it_came(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    said = mistral.post(CHAT, json=ASK).json()["choices"][0]["message"]
    for client, extra in (
        (mistral, {}),
        (openai, {"refusal": None, "annotations": [], "audio": None}),
    ):
        messages = [*HI, {**said, **extra}, {"role": "user", "content": "and?"}]
        assert client.post(CHAT, json={**ASK, "messages": messages}).status_code == 200


def test_an_unknown_model_is_refused_in_the_words_of_each_vendor(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "model": "ministral-3b-latest"}
    theirs = mistral.post(CHAT, json=body)
    assert theirs.status_code == 400
    error = theirs.json()
    assert (error["object"], error["type"], error["code"]) == ("error", "invalid_model", "1500")
    assert error["message"].startswith("Invalid model: ")
    assert "modiste models add ministral-3b-latest" in error["message"]
    ours = openai.post(CHAT, json=body)
    assert ours.status_code == 404
    assert ours.json()["error"]["code"] == "model_not_found"
    assert ours.json()["error"]["param"] == "model"


def test_what_is_not_done_here_is_refused_by_name_all_at_once(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "functions": [{"name": "f"}], "verbosity": "low", "store": True}
    for client in (mistral, openai):
        answer = client.post(CHAT, json=body)
        assert answer.status_code == 422
        for name in ("functions", "verbosity", "store"):
            assert name in answer.text
    error = mistral.post(CHAT, json=body).json()
    assert error["raw_status_code"] == 422
    assert isinstance(error["detail"], list)
    assert error["detail"][0]["loc"] == ["body", "functions"]
    assert engine.asked == []


def test_values_that_ask_for_nothing_are_no_reason_to_refuse(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {
        **ASK,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "logprobs": False,
        "parallel_tool_calls": True,
        "prediction": {"type": "content", "content": "abc"},
        "reasoning_effort": "none",
        "guardrails": [],
        "prompt_cache_key": "k",
        "metadata": {"a": "b"},
        "n": 1,
        "stream": False,
    }
    assert mistral.post(CHAT, json=body).status_code == 200


def test_wrong_fields_are_told_all_at_once_in_both_dialects(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {
        "model": 3,
        "messages": [{"role": "user", "content": 5}, {"role": "bot", "content": "x"}],
        "temperature": "hot",
        "top_p": 2,
        "max_tokens": True,
        "bogus": 1,
    }
    answer = mistral.post(CHAT, json=body)
    assert answer.status_code == 422
    error = answer.json()
    named = {entry["loc"][1] for entry in error["detail"]}
    assert named == {"model", "messages", "temperature", "top_p", "max_tokens", "bogus"}
    assert all({"type", "loc", "msg", "input"} == set(entry) for entry in error["detail"])
    assert error["object"] == "error"
    assert error["type"] == "invalid_request_error"
    theirs = openai.post(CHAT, json=body)
    assert theirs.status_code == 400
    assert set(theirs.json()) == {"error"}
    for name in named:
        assert name in theirs.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b"\xff", b"[]", b"3"])
def test_a_body_that_is_no_json_object_is_refused(
    mistral: httpx.Client, openai: httpx.Client, body: bytes
) -> None:
    theirs = mistral.post(CHAT, content=body)
    assert theirs.status_code == 422
    assert theirs.json()["detail"][0]["loc"] == ["body"]
    assert openai.post(CHAT, content=body).status_code == 400


def test_message_order_is_refused_with_the_vendors_code(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "messages": [*HI, {"role": "assistant", "content": "yes"}]}
    answer = mistral.post(CHAT, json=body)
    assert answer.status_code == 400
    assert answer.json()["type"] == "invalid_request_message_order"
    assert answer.json()["code"] == "3230"
    assert openai.post(CHAT, json=body).json()["error"]["code"] == "invalid_request_message_order"


def test_a_prompt_beyond_the_context_is_refused_before_the_engine(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "messages": [{"role": "user", "content": "word " * 5000}]}
    answer = mistral.post(CHAT, json=body)
    assert answer.status_code == 400
    assert "tokens" in answer.json()["message"]
    assert openai.post(CHAT, json=body).json()["error"]["code"] == "context_length_exceeded"
    assert engine.asked == []


def test_each_dialect_has_its_own_highest_temperature(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "temperature": 1.7}
    refused = mistral.post(CHAT, json=body)
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "temperature"]
    assert openai.post(CHAT, json=body).status_code == 200


def test_two_names_with_two_values_are_refused(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    answer = mistral.post(CHAT, json={**ASK, "seed": 1, "random_seed": 2})
    assert answer.status_code == 422
    assert "random_seed is 2 but seed is 1" in answer.json()["message"]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_full_engine_is_a_429_with_the_time_to_come_back(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine, streamed: bool
) -> None:
    engine.failure = Failed("", FailureCode.BUSY, "256 requests wait already", 2.2)
    for client in (mistral, openai):
        answer = client.post(CHAT, json={**ASK, "stream": streamed})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "3"
    error = mistral.post(CHAT, json={**ASK, "stream": streamed}).json()
    assert (error["type"], error["code"]) == ("rate_limited", "1300")


@pytest.mark.parametrize("streamed", [True, False])
def test_a_restarting_engine_is_a_503_even_behind_a_prefix(
    mistral: httpx.Client, engine: ScriptedEngine, streamed: bool
) -> None:
    engine.failure = Failed("", FailureCode.RESTARTING, "the engine is being restarted", 3.0)
    prefix = {"role": "assistant", "content": "Well", "prefix": True}
    answer = mistral.post(CHAT, json={**ASK, "messages": [*HI, prefix], "stream": streamed})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "3"


def test_an_engine_that_dies_within_a_stream_is_told_in_the_stream(
    mistral: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.failure = Failed("", FailureCode.RESTARTING, "the engine stopped", 3.0)
    engine.fails_after = 2
    for client in (mistral, openai):
        answer = client.post(CHAT, json={**ASK, "stream": True})
        assert answer.status_code == 200
        events = [event for event in answer.text.split("\n\n") if event]
        last = json.loads(events[-1].removeprefix("data: "))
        assert last["object"] == "error"
        assert last["message"] == last["error"]["message"] == "the engine stopped"


def test_a_blocking_client_that_hangs_up_stops_the_engine(
    front: Front, engine: ScriptedEngine
) -> None:
    engine.text, engine.pause_s = "word " * 400, 0.02
    hang_up_within(front, {**ASK, "n": 2})
    until(lambda: len(engine.aborted) == 2, "the abort of both sequences")


def test_a_streaming_client_that_hangs_up_stops_the_engine(
    front: Front, engine: ScriptedEngine
) -> None:
    engine.text, engine.pause_s = "word " * 400, 0.02
    hang_up_within(front, {**ASK, "stream": True})
    until(lambda: len(engine.aborted) == 1, "the abort")


def hang_up_within(front: Front, body: dict[str, Any]) -> None:
    """Send a request over a bare socket and close it while the answer is made."""
    content = json.dumps(body).encode()
    host, _, port = front.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as wire:
        wire.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            + f"Authorization: Bearer {front.key}\r\n".encode()
            + f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        until(lambda: front.engine.asked, "the request")
        time.sleep(0.2)


def test_a_key_without_the_scope_may_not_infer(front: Front, engine: ScriptedEngine) -> None:
    with front.client() as admin:
        made = admin.post("/v1/keys", json={"name": "files only", "scopes": ["data"]}).json()
    with front.client(made["secret"]) as client:
        answer = client.post(CHAT, json=ASK)
    assert answer.status_code == 403
    assert answer.json()["object"] == "error"
    assert "infer" in answer.json()["message"]
