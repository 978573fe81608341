"""A chat request in either vendor's names becomes one Ask."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from modiste.actions.answers import Choice, Completion, Usage
from modiste.actions.completions import Ask
from modiste.api import chat_shapes
from modiste.errors import InvalidInput, NotYetSupported
from modiste.serve.sequence import FinishReason
from modiste.types import Message, Role, ToolCall


def request(**changes: Any) -> chat_shapes.ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **changes}
    return chat_shapes.ChatRequest.model_validate(body)


def ask(**changes: Any) -> Ask:
    return chat_shapes.ask_of(request(**changes), max_temperature=2.0)


def test_what_is_absent_has_its_documented_default() -> None:
    assert ask() == Ask(model="m", messages=(Message(Role.USER, "hi"),), temperature=0.7)
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
        ({"stop": "x"}, "stop", ("x",)),
        ({"stop": ["x", "y"]}, "stop", ("x", "y")),
        ({"temperature": 0}, "temperature", 0),
        ({"safe_prompt": True}, "safe_prompt", True),
    ],
)
def test_both_vendors_names_mean_the_same(given: Any, field: str, value: object) -> None:
    assert getattr(ask(**given), field) == value


def test_every_kind_of_message_is_read() -> None:
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": {"a": 1}}}
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "abcdefghi", "name": "f"},
        {"role": "assistant", "content": "It", "prefix": True},
    ]
    assert ask(messages=messages).messages == (
        Message(Role.SYSTEM, "be brief"),
        Message(Role.USER, ""),
        Message(Role.ASSISTANT, None, tool_calls=(ToolCall("abcdefghi", "f", '{"a":1}'),)),
        Message(Role.TOOL, "42", tool_call_id="abcdefghi", name="f"),
        Message(Role.ASSISTANT, "It", prefix=True),
    )


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
    ],
)
def test_wrong_types_and_names_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        request(**given)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"min_tokens": 1}, "min_tokens"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"top_k": 3}, "top_k"),
        ({"prompt_mode": "reasoning"}, "prompt_mode"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"logit_bias": {"1": 2.0}}, "logit_bias"),
        ({"guardrails": [{"block_on_error": True}]}, "guardrails"),
        ({"modalities": ["audio"]}, "modalities"),
    ],
)
def test_what_this_version_cannot_do_is_refused_by_name(given: Any, named: str) -> None:
    with pytest.raises(NotYetSupported, match=named) as caught:
        ask(**given)
    assert caught.value.param == named


def test_a_missing_model_or_too_high_a_temperature_is_refused() -> None:
    with pytest.raises(InvalidInput, match="model is missing"):
        ask(model=None)
    with pytest.raises(InvalidInput, match=r"temperature is 1\.6, expected 0 to 1\.5"):
        chat_shapes.ask_of(request(temperature=1.6), max_temperature=1.5)


def test_an_answer_has_one_entry_per_choice_and_adds_up_its_usage() -> None:
    completion = Completion(
        (Choice(0, "a", FinishReason.STOP), Choice(1, "", FinishReason.LENGTH)), Usage(5, 3)
    )
    told = chat_shapes.completion_out(completion, id="x", created=1, model="m").model_dump()
    assert [choice["finish_reason"] for choice in told["choices"]] == ["stop", "length"]
    assert [choice["message"]["content"] for choice in told["choices"]] == ["a", ""]
    assert told["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
