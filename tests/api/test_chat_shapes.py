"""A chat request in either vendor's names becomes one Ask."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from modiste.actions.completions import Ask
from modiste.api import chat_shapes
from modiste.errors import InvalidInput, NotYetSupported
from modiste.prepare.manner import Effort
from modiste.serve.sequence import Sampling
from modiste.types import Message, Role


def request(**changes: Any) -> chat_shapes.ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **changes}
    return chat_shapes.ChatRequest.model_validate(body)


def ask(**changes: Any) -> Ask:
    return chat_shapes.ask_of(request(**changes), max_temperature=2.0)


def test_what_is_absent_has_its_documented_default() -> None:
    assert ask() == Ask(model="m", messages=(Message(Role.USER, "hi"),))
    assert ask().sampling == Sampling(temperature=0.7)
    nulls = dict.fromkeys(
        ("temperature", "top_p", "max_tokens", "stop", "random_seed", "n", "safe_prompt", "stream")
    )
    assert ask(**nulls) == ask()


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"max_tokens": 5}, "max_tokens", 5),
        ({"max_completion_tokens": 5}, "max_tokens", 5),
        ({"max_completion_tokens": 5, "max_tokens": 5}, "max_tokens", 5),
        ({"random_seed": 0}, "seed", 0),
        ({"seed": 4}, "seed", 4),
        ({"temperature": 0}, "temperature", 0),
        ({"top_p": 0.5}, "top_p", 0.5),
        ({"top_k": 5}, "top_k", 5),
        ({"top_k": -1}, "top_k", None),
        ({"top_k": 0}, "top_k", None),
        ({"presence_penalty": 1}, "presence_penalty", 1),
        ({"frequency_penalty": -1}, "frequency_penalty", -1),
        ({"logit_bias": {"7": -100}}, "logit_bias", {7: -100}),
        ({"logprobs": True}, "logprobs", 0),
        ({"logprobs": True, "top_logprobs": 3}, "logprobs", 3),
        ({"logprobs": False, "top_logprobs": 0}, "logprobs", None),
    ],
)
def test_both_vendors_names_mean_the_same(given: Any, field: str, value: object) -> None:
    assert getattr(ask(**given).sampling, field) == value


def test_what_is_no_matter_of_sampling_is_read_too() -> None:
    assert ask(stop="x").stop == ("x",)
    assert ask(stop=["x", "y"]).stop == ("x", "y")
    assert ask(safe_prompt=True).safe_prompt
    assert ask(n=3).n == 3
    assert ask(response_format={"type": "json_object"}).schema == {"type": "object"}


@pytest.mark.parametrize(
    "given",
    [
        {"messages": []},
        {"messages": [{"role": "user"}, {"role": "tool"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
        {"n": 0},
        {"n": 17},
        {"temperature": "1"},
        {"temperature": float("inf")},
        {"max_tokens": 1.5},
        {"stop": 3},
        {"random_seed": -1},
        {"stream": "true"},
        {"unheard_of": 1},
        {"logit_bias": {"the": 1}},
        {"logit_bias": {"7": 101}},
        {"top_logprobs": 21, "logprobs": True},
        {"tool_choice": "sometimes"},
        {"reasoning_effort": "much"},
        {"prompt_mode": "fast"},
        {"prediction": {"type": "content", "content": 3}},
    ],
)
def test_wrong_types_and_names_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        request(**given)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"audio": {"voice": "v"}}, "audio"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"store": True}, "store"),
        ({"verbosity": "low"}, "verbosity"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(given: Any, named: str) -> None:
    with pytest.raises(NotYetSupported, match=named) as caught:
        ask(**given)
    assert caught.value.param == named


@pytest.mark.parametrize(
    ("given", "effort"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, Effort.NONE),
        ({"reasoning_effort": "low"}, Effort.LOW),
        ({"prompt_mode": "reasoning"}, Effort.HIGH),
        ({"prompt_mode": "reasoning", "reasoning_effort": "medium"}, Effort.MEDIUM),
    ],
)
def test_how_much_to_think_has_an_older_and_a_newer_word(given: Any, effort: Effort | None) -> None:
    assert ask(**given).effort is effort
    with pytest.raises(InvalidInput, match="send one of them"):
        ask(prompt_mode="reasoning", reasoning_effort="none")


def test_alternatives_to_a_token_are_told_with_its_log_probability_only() -> None:
    with pytest.raises(InvalidInput, match="logprobs is not true") as caught:
        ask(top_logprobs=2)
    assert caught.value.param == "top_logprobs"
    with pytest.raises(InvalidInput, match="prompt_logprobs is not true") as caught:
        ask(top_prompt_logprobs=2, logprobs=True)
    assert caught.value.param == "top_prompt_logprobs"


def test_log_probabilities_of_the_prompt_are_asked_for_by_themselves() -> None:
    assert ask(prompt_logprobs=False, top_prompt_logprobs=0).prompt_logprobs is None
    assert ask(prompt_logprobs=True).prompt_logprobs == 0
    both = ask(prompt_logprobs=True, top_prompt_logprobs=4, logprobs=True, top_logprobs=1)
    assert (both.prompt_logprobs, both.sampling.logprobs) == (4, 1)


def test_a_missing_model_or_too_high_a_temperature_is_refused() -> None:
    with pytest.raises(InvalidInput, match="model is missing"):
        ask(model=None)
    with pytest.raises(InvalidInput, match=r"temperature is 1\.6, expected 0 to 1\.5"):
        chat_shapes.ask_of(request(temperature=1.6), max_temperature=1.5)
