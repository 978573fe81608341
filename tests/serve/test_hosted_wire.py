"""Requests in the words of each kind of upstream, nothing lost, and what answers took."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.errors import InvalidInput, NotYetSupported
from modiste.serve import hosted_wire
from modiste.serve.hosted_wire import Used
from modiste.types import UpstreamKind

USER = {"role": "user", "content": "hi"}
OPENAI, MISTRAL = UpstreamKind.OPENAI, UpstreamKind.MISTRAL


def sent(kind: UpstreamKind, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    body = {"model": "big", "messages": [USER], **fields}
    return hosted_wire.request_for(kind, body, model="theirs", stream=stream)


@pytest.mark.parametrize("kind", [OPENAI, MISTRAL])
def test_every_field_goes_on_under_the_upstreams_name_for_the_model(kind: UpstreamKind) -> None:
    fields = {
        "temperature": 0.0,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_object"},
        "a_field_of_tomorrow": {"x": 1},
        "n": 2,
    }
    told = sent(kind, stream_options=None, **fields)
    assert told == {"model": "theirs", "messages": [USER], **fields}


def test_openai_is_told_in_its_words() -> None:
    told = sent(OPENAI, random_seed=7, tool_choice="any", safe_prompt=False, max_tokens=5)
    assert told["seed"] == 7
    assert told["tool_choice"] == "required"
    assert told["max_tokens"] == 5
    assert {"random_seed", "safe_prompt"} & set(told) == set()
    assert sent(OPENAI, max_completion_tokens=5)["max_completion_tokens"] == 5


def test_mistral_is_told_in_its_words() -> None:
    told = sent(
        MISTRAL,
        seed=7,
        tool_choice="required",
        max_completion_tokens=5,
        user="u",
        store=False,
        logprobs=False,
        modalities=["text"],
    )
    assert set(told) == {"model", "messages", "random_seed", "tool_choice", "max_tokens"}
    assert (told["random_seed"], told["tool_choice"], told["max_tokens"]) == (7, "any", 5)
    body = {"messages": [{"role": "developer", "content": "x", "name": None}]}
    told = hosted_wire.request_for(MISTRAL, body, model="m", stream=False)
    assert told["messages"] == [{"role": "system", "content": "x"}]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (OPENAI, {"safe_prompt": True}),
        (OPENAI, {"prompt_mode": "reasoning"}),
        (MISTRAL, {"logprobs": True}),
        (MISTRAL, {"logit_bias": {"1": 1.0}}),
        (MISTRAL, {"functions": [{"name": "f"}]}),
        (MISTRAL, {"modalities": ["audio"]}),
    ],
)
def test_a_wish_without_a_word_is_refused_by_name(
    kind: UpstreamKind, field: dict[str, Any]
) -> None:
    with pytest.raises(NotYetSupported) as told:
        sent(kind, **field)
    assert told.value.param == next(iter(field))


def test_a_prefix_is_a_word_of_mistral_alone() -> None:
    body = {"messages": [USER, {"role": "assistant", "content": "So", "prefix": True}]}
    told = hosted_wire.request_for(MISTRAL, body, model="m", stream=False)
    assert told["messages"][1]["prefix"] is True
    with pytest.raises(NotYetSupported, match="prefix"):
        hosted_wire.request_for(OPENAI, body, model="m", stream=False)


def test_tool_calls_of_a_mistral_client_get_the_type_that_openai_insists_on() -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    body = {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]}
    told = hosted_wire.request_for(OPENAI, body, model="m", stream=False)
    assert told["messages"][1]["tool_calls"] == [{"type": "function", **call}]


def test_two_values_for_one_thing_are_refused() -> None:
    with pytest.raises(InvalidInput, match="random_seed is 1 but seed is 2"):
        sent(OPENAI, random_seed=1, seed=2)
    assert sent(OPENAI, random_seed=1, seed=1)["seed"] == 1


@pytest.mark.parametrize("messages", [None, [], "hi", ["hi"]])
def test_without_messages_nothing_is_sent(messages: Any) -> None:
    with pytest.raises(InvalidInput, match="messages"):
        hosted_wire.request_for(OPENAI, {"messages": messages}, model="m", stream=False)


def test_a_stream_always_asks_for_its_usage_where_that_must_be_asked_for() -> None:
    told = sent(OPENAI, stream=True, stream_options={"include_obfuscation": False})
    assert told["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert "stream_options" not in sent(
        MISTRAL, stream=True, stream_options={"include_usage": True}
    )


def test_usage_is_what_the_upstream_says_or_a_guess_that_says_so() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    assert hosted_wire.used_of({"usage": usage}) == Used(7, 3)
    for odd in ({}, {"usage": None}, {"usage": {"prompt_tokens": "7", "completion_tokens": 3}}):
        assert hosted_wire.used_of(odd) is None
    guess = hosted_wire.estimate({"messages": [{"role": "user", "content": "x" * 36}]}, 9)
    assert guess == Used(10, 3, estimated=True)  # "user" counts, too: (4 + 36) / 4.
