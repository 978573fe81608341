"""Answers in the shape that both vendors' clients parse."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.actions.answers import Choice, Completion, Usage
from modiste.actions.reading import Drawn, Likely
from modiste.api.chat_answers import Voice, completion_out, logprobs_out, reason_out
from modiste.serve.sequence import FinishReason
from modiste.types import ToolCall

CALLS = (ToolCall("a1B2c3D4e", "f", '{"a": 1}'), ToolCall("b1B2c3D4e", "g", "{}"))


def told(*choices: Choice, usage: Usage = Usage(5, 3), voice: Voice = Voice()) -> Any:
    completion = Completion(choices, usage)
    return completion_out(completion, id="x", created=1, model="m", voice=voice)


def test_an_answer_has_one_entry_per_choice_and_adds_up_its_usage() -> None:
    said = told(
        Choice(0, "a", FinishReason.STOP),
        Choice(1, "", FinishReason.LENGTH),
        usage=Usage(5, 3, reasoning_tokens=2, cached_tokens=4),
    )
    assert [choice["finish_reason"] for choice in said["choices"]] == ["stop", "length"]
    assert [choice["message"]["content"] for choice in said["choices"]] == ["a", ""]
    assert said["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {
            "reasoning_tokens": 2,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@pytest.mark.parametrize("silent", ["", None])
def test_calls_are_numbered_and_their_message_is_silent_as_each_vendor_has_it(
    silent: str | None,
) -> None:
    called = Choice(0, "", FinishReason.STOP, calls=CALLS, called=True)
    (choice,) = told(called, voice=Voice(silent))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == silent
    assert choice["message"]["tool_calls"] == [
        {"id": "a1B2c3D4e", "type": "function", "index": 0,
         "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "b1B2c3D4e", "type": "function", "index": 1,
         "function": {"name": "g", "arguments": "{}"}},
    ]  # fmt: skip
    (plain,) = told(Choice(0, "", FinishReason.STOP), voice=Voice(silent))["choices"]
    assert plain["message"]["content"] == ""


def test_an_answer_that_is_cut_off_behind_a_call_says_so() -> None:
    assert reason_out(FinishReason.LENGTH, called=False) == "length"


def test_each_token_has_its_bytes_and_the_likeliest_beside_it() -> None:
    half, eos = Likely(7, "\ufffd", b"\xc3", -1.5), Likely(2, "</s>", b"", -2.0)
    (entry,) = logprobs_out([Drawn(half, (half, eos))]).model_dump()["content"]
    assert entry["token"] == "\ufffd"
    assert (entry["bytes"], entry["logprob"], entry["token_id"]) == ([0xC3], -1.5, 7)
    assert [top["token"] for top in entry["top_logprobs"]] == ["\ufffd", "</s>"]
    assert entry["top_logprobs"][1]["bytes"] == []


def test_thoughts_are_chunks_of_the_content_or_a_field_beside_it() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}
    said = Choice(0, "It is.", FinishReason.STOP, thought="so")
    (chunked,) = told(said, voice=Voice(chunks=True))["choices"]
    assert chunked["message"]["content"] == [
        {**thought, "closed": True},
        {"type": "text", "text": "It is."},
    ]
    (beside,) = told(said)["choices"]
    assert beside["message"]["content"] == "It is."
    assert beside["message"]["reasoning_content"] == "so"
    (plain,) = told(Choice(0, "It is.", FinishReason.STOP))["choices"]
    assert "reasoning_content" not in plain["message"]
    cut = Choice(0, "", FinishReason.LENGTH, thought="so")
    (unfinished,) = told(cut, voice=Voice(chunks=True))["choices"]
    assert unfinished["message"]["content"] == [{**thought, "closed": False}]
