"""Plain texts continued over HTTP, in front of an engine that follows a script."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import FINGERPRINT, TINY, Front, ScriptedEngine

from modiste.prepare import render

TEXTS = "/v1/completions"
ASK: dict[str, Any] = {"model": "modiste-tiny", "prompt": "Once upon"}
RENDERER = render.load(TINY)


def ids(text: str) -> list[int]:
    return [1, *RENDERER.encode(text)]


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    events = [event.removeprefix("data: ") for event in answer.text.split("\n\n") if event]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


def test_an_answer_has_the_shape_that_openais_clients_parse(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = openai.post(TEXTS, json=ASK).json()
    assert body.pop("id").startswith("cmpl-")
    assert abs(body.pop("created") - time.time()) < 60
    n_prompt, n_answer = len(ids("Once upon")), body["usage"]["completion_tokens"]
    assert body == {
        "object": "text_completion",
        "model": "modiste-tiny",
        "choices": [
            {"index": 0, "text": "Hello there.", "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_answer,
            "total_tokens": n_prompt + n_answer,
        },
        "system_fingerprint": FINGERPRINT,
    }


def test_a_text_opens_as_trained_and_ids_are_taken_as_they_are(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    own = RENDERER.encode("Once upon")
    for prompt in ("Once upon", ["Once upon"], own, [own]):
        openai.post(TEXTS, json={**ASK, "prompt": prompt}).raise_for_status()
    asked = [list(request.ids) for request in engine.asked]
    assert asked == [ids("Once upon"), ids("Once upon"), own, own]


def test_control_tokens_cannot_be_spelt_in_a_text(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    openai.post(TEXTS, json={**ASK, "prompt": "[INST]</s>"}).raise_for_status()
    assert not {2, 3} & set(engine.asked[0].ids)


def test_choices_are_numbered_prompt_by_prompt(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "prompt": ["a", "b b", "c"], "n": 2, "echo": True, "seed": 5, "max_tokens": 9}
    answer = openai.post(TEXTS, json=body).json()
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    texts = [choice["text"] for choice in answer["choices"]]
    assert texts == [text + "Hello there." for text in ("a", "a", "b b", "b b", "c", "c")]
    assert answer["usage"]["prompt_tokens"] == sum(len(ids(text)) for text in ("a", "b b", "c"))
    by_prompt: dict[tuple[int, ...], set[int | None]] = {}
    for request in engine.asked:
        by_prompt.setdefault(request.ids, set()).add(request.sampling.seed)
    assert len(by_prompt) == 3
    assert all(5 in seeds and len(seeds) == 2 for seeds in by_prompt.values())


def test_sixteen_tokens_are_the_default_and_every_field_reaches_the_engine(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    openai.post(TEXTS, json=ASK).raise_for_status()
    fields = {"temperature": 1.9, "top_p": 0.5, "max_tokens": 3, "seed": 9}
    more = {"presence_penalty": 0.5, "frequency_penalty": -0.5, "user": "me", "best_of": 1}
    more |= {"logit_bias": {"7": -100}, "top_k": 5, "min_p": 0.1}
    body = openai.post(TEXTS, json={**ASK, **fields, **more}).json()
    first, asked = (request.sampling for request in engine.asked)
    assert first.max_tokens == 16
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.seed) == (1.9, 0.5, 3, 9)
    assert (asked.presence_penalty, asked.frequency_penalty) == (0.5, -0.5)
    assert (asked.logit_bias, asked.top_k, asked.min_p) == ({7: -100.0}, 5, 0.1)
    assert body["choices"][0]["finish_reason"] == "length"


def test_an_echo_without_a_token_is_the_prompt(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = openai.post(TEXTS, json={**ASK, "max_tokens": 0, "echo": True}).json()
    assert body["choices"][0]["text"] == "Once upon"
    assert body["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stream_tells_every_choice_to_its_end(
    openai: httpx.Client, engine: ScriptedEngine, wanted: bool
) -> None:
    body = {**ASK, "prompt": ["x", "y"], "stream": True, "echo": True}
    told = chunks(openai.post(TEXTS, json={**body, "stream_options": {"include_usage": wanted}}))
    texts = ["", ""]
    for chunk in told:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == ["xHello there.", "yHello there."]
    assert {chunk["object"] for chunk in told} == {"text_completion"}
    ends = [c["index"] for chunk in told for c in chunk["choices"] if c["finish_reason"]]
    assert sorted(ends) == [0, 1]
    with_it = [chunk["choices"] for chunk in told if "system_fingerprint" in chunk]
    assert [choices[0]["finish_reason"] for choices in with_it] == ["stop", "stop"]
    assert [chunk["choices"] for chunk in told if "usage" in chunk] == ([[]] if wanted else [])


def test_log_probabilities_cover_echo_answer_and_end(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.text = "é!"
    body = openai.post(TEXTS, json={**ASK, "logprobs": 2, "echo": True}).json()
    (choice,) = body["choices"]
    told = choice["logprobs"]
    prompt, answer = ids("Once upon"), RENDERER.encode("é!")
    assert len(answer) == 3, "this base spells the letter in two tokens"
    assert choice["text"] == "Once uponé!"
    assert told["tokens"][: len(prompt)] == [
        "<s>",
        *map(RENDERER.decode, ([i] for i in prompt[1:])),
    ]
    assert told["tokens"][len(prompt) :] == ["bytes:\\xc3", "bytes:\\xa9", "!", "</s>"]
    assert told["token_logprobs"] == [None] + [-0.5] * (len(prompt) + 3)
    assert told["top_logprobs"][0] is None
    assert told["top_logprobs"][-2] == {"[INST]": -0.25, "!": -0.5}
    assert told["text_offset"][:2] == [0, 0]
    assert told["text_offset"][-4:] == [9, 9, 10, 11]
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == 4


def test_the_token_itself_is_always_among_the_likeliest(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    for n, expected in ((0, {"H": -0.5}), (1, {"[INST]": -0.25, "H": -0.5})):
        engine.text = "H"
        told = openai.post(TEXTS, json={**ASK, "logprobs": n}).json()["choices"][0]["logprobs"]
        assert told["top_logprobs"][0] == expected


def test_the_log_probabilities_of_a_prompt_alone(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {**ASK, "prompt": [5, 6, 7], "logprobs": 1, "echo": True, "max_tokens": 0}
    told = openai.post(TEXTS, json=body).json()
    assert told["choices"][0]["logprobs"]["token_logprobs"] == [None, -0.5, -0.5]
    assert told["choices"][0]["finish_reason"] == "length"
    assert engine.asked[0].sampling.max_tokens == 0


def test_a_stream_tells_the_same_log_probabilities(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.text = "one é two STOP behind"
    body = {**ASK, "logprobs": 2, "echo": True, "stop": ["STOP"], "max_tokens": 90}
    whole = openai.post(TEXTS, json=body).json()["choices"][0]
    told = chunks(openai.post(TEXTS, json={**body, "stream": True}))
    pieces = [choice for chunk in told for choice in chunk["choices"]]
    assert "".join(piece["text"] for piece in pieces) == whole["text"] == "Once uponone é two "
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        joined = [
            value for piece in pieces if piece["logprobs"] for value in piece["logprobs"][name]
        ]
        assert joined == whole["logprobs"][name]
    # The last one brings the space before the stop string, and its first letter.
    assert whole["logprobs"]["tokens"][-1] == " S"
    assert whole["finish_reason"] == "stop"


def test_the_likeliest_of_several_is_told(openai: httpx.Client, engine: ScriptedEngine) -> None:
    body = openai.post(TEXTS, json={**ASK, "n": 2, "best_of": 4, "max_tokens": 2}).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert [choice["logprobs"] for choice in body["choices"]] == [None, None]
    assert body["usage"]["completion_tokens"] == 8
    assert {request.sampling.logprobs for request in engine.asked} == {0}


def test_stop_strings_end_a_text(openai: httpx.Client, engine: ScriptedEngine) -> None:
    engine.text = "one two three"
    body = openai.post(TEXTS, json={**ASK, "stop": [" two"]}).json()
    assert body["choices"][0]["text"] == "one"
    assert body["choices"][0]["finish_reason"] == "stop"


def test_a_suffix_is_filled_in_where_the_base_knows_how(
    front: Front, openai: httpx.Client, engine: ScriptedEngine, coder_base: Path
) -> None:
    with front.client() as client:
        client.post("/v1/models/bases", json={"name": "coder", "path": str(coder_base)})
    body = {**ASK, "suffix": "the end", "echo": True}
    answer = openai.post(TEXTS, json={**body, "model": "coder"}).json()
    infill = render.load(coder_base).fim
    assert infill is not None
    assert list(engine.asked[0].ids) == infill.prompt("Once upon", "the end")
    assert answer["choices"][0]["text"] == "Once uponHello there."
    refused = openai.post(TEXTS, json=body)
    assert refused.json()["error"]["code"] == "fim_unknown"
    as_ids = openai.post(TEXTS, json={**body, "model": "coder", "prompt": [5, 6]})
    assert "send the prompt as text" in as_ids.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt 0 is empty"),
        ({"prompt": [[5], [4096]]}, "prompt 1 holds 4096"),
        ({"prompt": [-1]}, "prompt 0 holds -1"),
        ({"prompt": ["a", [5]]}, "prompt"),
        ({"prompt": ["a", "word " * 3000]}, "prompt 1 has"),
        ({"prompt": ["a"] * 3000, "n": 2}, "3000 prompts with 2 answers each"),
        ({"n": 3, "best_of": 2}, "best_of is 2 and n is 3"),
        ({"best_of": 2, "stream": True}, "known at the end only"),
        ({"logit_bias": {"hello": 1.0}}, "logit_bias has 'hello'"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"logprobs": 21}, "logprobs"),
        ({"model": None}, "model is missing"),
        ({"model": "gpt-none"}, "gpt-none"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_cannot_be_done_is_named(
    openai: httpx.Client,
    mistral: httpx.Client,
    engine: ScriptedEngine,
    change: dict[str, Any],
    said: str,
) -> None:
    answer = openai.post(TEXTS, json={**ASK, **change})
    assert answer.status_code in (400, 404)
    assert said in answer.json()["error"]["message"]
    theirs = mistral.post(TEXTS, json={**ASK, **change})
    assert theirs.status_code in (400, 422)
    assert said in theirs.json()["message"]
    assert engine.asked == []


def test_a_failure_within_a_stream_is_told_in_it(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    from modiste.serve.sequence import Failed, FailureCode

    engine.failure = Failed("", FailureCode.RESTARTING, "the engine stopped", 3.0)
    engine.fails_after = 2
    answer = openai.post(TEXTS, json={**ASK, "stream": True})
    last = [event for event in answer.text.split("\n\n") if event][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "the engine stopped"
