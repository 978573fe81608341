"""Judges are asked over HTTP: what is sent, what is read, what is waited for."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from modiste.cli.models_over_http import HttpModels, answer_of, body_of
from modiste.client import Client
from modiste.errors import NotYetSupported
from modiste.evaluate.items import Prompt, TokenLogprob
from modiste.types import Message, Role

PROMPT = Prompt((Message(Role.SYSTEM, "judge"), Message(Role.USER, "this")), max_tokens=9, seed=3)
SAID = {
    "choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500},
}


def asked(handler, *, n=1, at_once=4):
    """Answers to `n` requests at a server that is `handler`."""
    http = httpx.Client(base_url="http://judge", transport=httpx.MockTransport(handler))

    async def ask(models):
        return await asyncio.gather(*(models.chat("j", PROMPT) for _ in range(n)))

    with HttpModels(Client(http, standing=True), at_once=at_once) as models:
        return asyncio.run(ask(models))


def server(*chats, card=None):
    """Says one after the other; the last one ever after."""
    chats = list(chats)

    def handle(request):
        if request.url.path.startswith("/v1/models/"):
            return httpx.Response(200, json=card or {"id": "j"})
        return chats.pop(0) if len(chats) > 1 else chats[0]

    return handle


def test_the_request_holds_what_was_asked_for_and_nothing_else():
    assert body_of("j", PROMPT) == {
        "model": "j",
        "messages": [
            {"role": "system", "content": "judge"},
            {"role": "user", "content": "this"},
        ],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 9,
        "seed": 3,
    }


def test_a_form_and_log_probabilities_are_asked_for():
    body = body_of("j", Prompt(PROMPT.messages, schema={"type": "object"}, top_logprobs=20))
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)


def test_an_answer_is_read_with_its_tokens_and_price():
    card = {"id": "j", "upstream": {"price_in_micro": 200_000, "price_out_micro": 600_000}}
    (answer,) = asked(server(httpx.Response(200, json=SAID), card=card))
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("fine", 1000, 500)
    assert answer.cost_micro == 500  # 1000 tokens at 0.2 and 500 at 0.6 micro-units each
    assert answer.latency_s > 0


def test_without_a_price_the_cost_is_unknown():
    (answer,) = asked(server(httpx.Response(200, json=SAID)))
    assert answer.cost_micro is None


def test_log_probabilities_and_chunks_are_read():
    top = [{"token": "4", "logprob": -0.1}, {"token": "5", "logprob": -2.5}]
    logprobs = {"content": [{"token": "4", "logprob": -0.1, "top_logprobs": top}]}
    thought = {"type": "thinking", "thinking": []}
    content = [thought, {"type": "text", "text": "4"}]
    told = {"choices": [{"message": {"content": content}, "logprobs": logprobs}]}
    answer = answer_of(told, 0.1, None)
    assert answer.text == "4"
    assert answer.logprobs == (TokenLogprob("4", -0.1, (("4", -0.1), ("5", -2.5))),)


def test_a_full_server_is_waited_for():
    full = httpx.Response(429, json={"message": "full"}, headers={"retry-after": "0"})
    answers = asked(server(full, full, httpx.Response(200, json=SAID)), n=3)
    assert [answer.text for answer in answers] == ["fine"] * 3


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (422, "invalid_input"), (401, "unauthorized")]
)
def test_what_waiting_does_not_help_is_a_failure_at_once(status, code):
    calls = []

    def handle(request):
        calls.append(request)
        return httpx.Response(status, json={"message": "no"})

    (answer,) = asked(handle)
    assert answer.failure is not None
    assert answer.failure.code == code
    assert len(calls) == 1


def test_a_server_that_never_answers_in_time_is_a_timeout():
    gone = httpx.Response(504, json={"message": "late"}, headers={"retry-after": "0"})
    (answer,) = asked(server(gone))
    assert answer.failure is not None
    assert answer.failure.code == "timeout"


def test_texts_are_embedded():
    def handle(request):
        n = len(json.loads(request.content)["input"])
        return httpx.Response(200, json={"data": [{"embedding": [1, 0.5]}] * n})

    http = httpx.Client(base_url="http://judge", transport=httpx.MockTransport(handle))
    with HttpModels(Client(http, standing=True), at_once=1) as models:
        assert asyncio.run(models.embed("e", ["x", "y"])) == [[1.0, 0.5], [1.0, 0.5]]


def test_likelihoods_are_refused_by_name():
    with (
        HttpModels(Client(httpx.Client(base_url="http://judge"), standing=True), at_once=1) as m,
        pytest.raises(NotYetSupported),
    ):
        asyncio.run(m.likelihoods("j", "x", ["y"]))
